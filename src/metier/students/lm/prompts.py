"""How an input is put before the model: with the frontier prompt's instructions around it (full), or bare (baked)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier.artefacts.tasks import Template
from metier.errors import BadArtefact
from metier.students.base import TaskSpec
from metier.students.lm.chat import TemplateFails, render
from metier.students.lm.notation import answer_parts
from metier.students.lm.parts import PromptForm

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ANSWER_MARK = "### Answer\n"
# What a base model, which knows no turns, reads above each message of a prompt that has several.
_HEADINGS = {"system": "### Instructions\n", "user": "### Input\n", "assistant": ANSWER_MARK}
_ROLES = {"developer": "system", "system": "system", "assistant": "assistant", "model": "assistant"}
# Stand for the input and the answer while a template is written out; private characters that no prompt holds.
_INPUT, _ANSWER = "\ue000\ue001\ue000", "\ue000\ue002\ue000"

Message = dict[str, str]


def full_form(task: TaskSpec, folder: Path) -> PromptForm:
    """The frontier model's prompt around the input, through the base's chat template where it has one.

    `folder` is the base in Hugging Face layout. Where the task has no prompt of its own with one slot for the input, the
    form is the baked one, and says so in its notes: there are no instructions to read.
    """
    if task.template is None:
        return _noted(baked_form(task, folder), "the traffic holds no prompt of its own for this task")
    messages = _messages(task.template)
    if messages is None:
        return _noted(baked_form(task, folder), "the task's prompt has not exactly one place for the input")
    return _form(messages, folder, is_baked=False)


def baked_form(task: TaskSpec, folder: Path) -> PromptForm:  # noqa: ARG001  (both forms are asked for alike)
    """The input alone and a short mark that asks for the answer: the job itself is learnt in tuning, not read each time."""
    return _form([{"role": "user", "content": _INPUT}], folder, is_baked=True)


def has_instructions(full: PromptForm, baked: PromptForm) -> bool:
    """Whether the two forms differ, so that there is something to decide."""
    return (full.prefix, full.suffix) != (baked.prefix, baked.suffix)


def form_to_json(form: PromptForm) -> dict[str, Any]:
    """The form as plain JSON values."""
    return {**dataclasses.asdict(form), "notes": list(form.notes)}


def form_from_json(stored: Mapping[str, Any]) -> PromptForm:
    """The form that `form_to_json` gave. Raises BadArtefact where a field is missing or of another type."""
    texts = [stored.get(name) for name in ("prefix", "suffix", "end")]
    notes, is_baked = stored.get("notes", []), stored.get("is_baked")
    if not all(isinstance(text, str) for text in (*texts, *notes)) or not isinstance(is_baked, bool):
        raise BadArtefact(
            f"A prompt form needs prefix, suffix, end (texts) and is_baked, but this was stored: {stored!r}."
        )
    prefix, suffix, end = (str(text) for text in texts)
    return PromptForm(prefix, suffix, end, is_baked, tuple(notes))


def _messages(template: Template) -> list[Message] | None:
    """The prompt's messages with the mark for the input in its slot; None where it has not exactly one."""
    if sum(max(len(message.literals) - 1, 0) for message in template.messages) != 1:
        return None
    return [
        {"role": _ROLES.get(message.role, "user"), "content": _INPUT.join(message.literals)}
        for message in template.messages
    ]


def _form(messages: list[Message], folder: Path, *, is_baked: bool) -> PromptForm:
    config = _read_json(folder / "tokenizer_config.json")
    notes: tuple[str, ...] = ()
    template = _chat_template(folder, config)
    if template is not None:
        specials = {
            name: _token(config.get(name)) or "" for name in ("bos_token", "eos_token", "pad_token", "unk_token")
        }
        try:
            form = _chat_form(template, messages, specials, _end(folder, config), is_baked=is_baked)
            return dataclasses.replace(form, prefix=form.prefix.removeprefix(_begin(folder)))
        except TemplateFails as error:
            notes = (f"the base's chat template could not be used ({error}): the prompt is plain text",)
    prefix, suffix = _plain(messages)
    return PromptForm(prefix, suffix, _end(folder, config), is_baked, notes)


def _chat_form(
    template: str, messages: list[Message], specials: Mapping[str, str], eos: str, *, is_baked: bool
) -> PromptForm:
    asked = render(template, messages, specials, for_answer=True)
    answered = render(template, [*messages, {"role": "assistant", "content": _ANSWER}], specials, for_answer=False)
    prefix, found, suffix = asked.partition(_INPUT)
    if not found or _INPUT in suffix:
        raise TemplateFails("it does not write a message exactly once and as it is")
    closing = answered.partition(_ANSWER)[2]
    # A turn's end may be a token of its own (<end_of_turn>); some templates leave it to the end of the text.
    end = closing.strip().split("\n", 1)[0].strip() or eos
    if is_baked:
        prefix = _bare(template, prefix, closing, specials)
    return PromptForm(prefix, suffix, end, is_baked)


def _bare(template: str, prefix: str, closing: str, specials: Mapping[str, str]) -> str:
    """The opening of a user's turn without the instructions that some templates put at the head of every talk by
    themselves: as it stands after an answer."""
    talk = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": _ANSWER},
        {"role": "user", "content": _INPUT},
    ]
    between = render(template, talk, specials, for_answer=True).partition(_ANSWER)[2].partition(_INPUT)[0]
    opening = between.removeprefix(closing)
    if not opening or not between.startswith(closing) or not prefix.endswith(opening):
        return prefix
    bos = specials.get("bos_token", "")
    return bos + opening if bos and prefix.startswith(bos) and not opening.startswith(bos) else opening


def _plain(messages: list[Message]) -> tuple[str, str]:
    if len(messages) == 1:
        text = messages[0]["content"]
    else:
        text = "\n\n".join(f"{_HEADINGS[message['role']]}{message['content']}" for message in messages)
    prefix, _, suffix = text.partition(_INPUT)
    return prefix, f"{suffix.rstrip()}\n\n{ANSWER_MARK}"


def _noted(form: PromptForm, note: str) -> PromptForm:
    return dataclasses.replace(form, notes=(*form.notes, note))


def _chat_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    beside = folder / "chat_template.jinja"
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    stored = config.get("chat_template")
    if isinstance(stored, list):  # several, by name
        named = {item.get("name"): item.get("template") for item in stored if isinstance(item, Mapping)}
        stored = named.get("default")
    return stored if isinstance(stored, str) and stored else None


def _begin(folder: Path) -> str:
    """What the tokenizer puts before every text by itself, and a template may have written out as well."""
    return "".join(load_tokenizer(folder).encode("").tokens)


def _end(folder: Path, config: Mapping[str, Any]) -> str:
    named = _token(config.get("eos_token"))
    if named:
        return named
    ids = _read_json(folder / "config.json").get("eos_token_id")
    first = ids[0] if isinstance(ids, list) and ids else ids
    token = load_tokenizer(folder).id_to_token(first) if isinstance(first, int) else None
    if token is None:
        raise BadArtefact(f"{folder} names no end-of-text token: give eos_token in tokenizer_config.json.")
    return str(token)


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model in Hugging Face layout, without padding or truncation."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json" if folder.is_dir() else folder
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise BadArtefact(f"{path} is no tokenizer that can be read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _token(value: object) -> str | None:
    """A token's text: written plainly, or as an object with its content."""
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) and value else None


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadArtefact(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadArtefact(f"{path} should hold a JSON object.")
    return value


def texts_read(form: PromptForm, inputs: Sequence[str], answers: Sequence[str]) -> list[str]:
    """The prompts and the answers as they are tokenised: what a cut vocabulary must cover."""
    return [*(str(form.write(text)) for text in inputs), *(part for answer in answers for part in answer_parts(answer))]
