"""Special tokens count in a prompt's frame and never in its input."""

from __future__ import annotations

import copy
import pickle

from hypothesis import given
from hypothesis import strategies as st

from metier.students.lm.engine.segments import runs_of
from metier.students.lm.parts import Prompt, PromptForm

SPECIALS = {"<bos>", "<eos>", "<eos>x"}


def test_the_input_is_plain_whatever_it_holds() -> None:
    form = PromptForm("<bos>Read: ", "\n<eos>Answer:", "<eos>", False)
    assert runs_of(form.write("a <eos> b"), SPECIALS) == [
        ("<bos>", True),
        ("Read: a <eos> b\n", False),
        ("<eos>", True),
        ("Answer:", False),
    ]


def test_any_other_string_is_read_as_it_is_written() -> None:
    prompt = Prompt("<bos>", "a <eos>", "!")
    assert runs_of(str.__str__(prompt) + "", SPECIALS) == [
        ("<bos>", True),
        ("a ", False),
        ("<eos>", True),
        ("!", False),
    ]
    assert runs_of("<eos>x<eos>", SPECIALS) == [("<eos>x", True), ("<eos>", True)]
    assert runs_of("", SPECIALS) == []


@given(st.text(), st.text(), st.text())
def test_nothing_is_lost(prefix: str, text: str, suffix: str) -> None:
    prompt = Prompt(prefix, text, suffix)
    assert prompt == prefix + text + suffix
    assert "".join(run for run, _ in runs_of(prompt, SPECIALS)) == prompt
    for other in (pickle.loads(pickle.dumps(prompt)), copy.copy(prompt), copy.deepcopy(prompt)):
        assert (str(other), other.start, other.stop) == (str(prompt), prompt.start, prompt.stop)
