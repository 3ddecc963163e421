from __future__ import annotations

from metier.artefacts.tasks import OutputKind, Task, Template, TemplateMessage
from metier.generalists import Question
from metier.generalists.prompts import fill, messages_for, task_template

LABELS = ("a", "b")


def template(id_: str, n_calls: int, *literals: tuple[str, ...]) -> Template:
    roles = ("system", "user", "user")
    return Template(
        id_, tuple(TemplateMessage(role, part) for role, part in zip(roles, literals, strict=False)), n_calls
    )


def task(*templates: Template) -> Task:
    return Task("t", "t", "", templates, OutputKind.LABEL, LABELS)


def test_without_a_prompt_the_labels_are_listed():
    system, user = messages_for(Question("1", "my text", LABELS))
    assert system["role"] == "system"
    assert system["content"].endswith("nothing else:\na\nb")
    assert user == {"role": "user", "content": "my text"}


def test_the_tasks_own_prompt_is_used_as_recorded():
    own = template("x", 5, ("Classify.",), ("Text: ", "\nAnswer:"))
    assert messages_for(Question("1", "hello", LABELS, own)) == [
        {"role": "system", "content": "Classify."},
        {"role": "user", "content": "Text: hello\nAnswer:"},
    ]


def test_the_users_prompt_comes_first():
    own = template("x", 5, ("Classify.",), ("", ""))
    question = Question("1", "hello", LABELS, own)
    assert messages_for(question, "One of {labels}? {input}") == [{"role": "user", "content": "One of a\nb? hello"}]
    assert messages_for(question, "One of {labels}.") == [
        {"role": "system", "content": "One of a\nb."},
        {"role": "user", "content": "hello"},
    ]


def test_braces_in_the_input_stay_as_they_are():
    question = Question("1", "{labels} {input} {x}", LABELS)
    assert messages_for(question, 'JSON {"a": 1}: {input}')[0]["content"] == 'JSON {"a": 1}: {labels} {input} {x}'


def test_the_most_frequent_usable_wording_is_the_tasks_prompt():
    bare = template("bare", 90, ("",), ("", ""))
    two_slots = template("two", 80, ("Do ", " now"), ("", ""))
    rare, common = template("rare", 3, ("A.",), ("", "")), template("common", 7, ("B.",), ("", ""))
    assert task_template(task(bare, two_slots, rare, common)) == common
    assert task_template(task(bare)) is None
    assert task_template(None) is None


def test_a_template_with_two_slots_is_not_filled():
    assert fill(template("two", 1, ("a ", " b"), ("", "")), "x") is None
    question = Question("1", "hello", LABELS, template("two", 1, ("a ", " b"), ("", "")))
    assert "exactly one of these labels" in messages_for(question)[0]["content"]
