"""Prompts and answers as token ids: the same at training and at run time, whatever stands in the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from metier.errors import BadArtefact, BadInput
from metier.students.lm.engine.segments import runs_of
from metier.students.lm.notation import answer_parts
from metier.students.lm.parts import Encoded, PromptForm
from metier.students.lm.prompts import load_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Coder:
    """A tokenizer with one prompt form: the ids that the engines read for `form.write(text)`, and those of its answer.

    `begin` is what the tokenizer puts before every text, `specials` the special tokens that the form's own texts hold. They
    count there alone: an input or an answer that holds "<eos>" holds these five characters. The answer is tokenised by
    itself, since at run time the model writes it after a prompt that is tokenised already; the texts of a record apart from
    the JSON around them (`notation.answer_parts`), unless the tokenizer would add a space to each (`joins`). Nothing is
    ever cut. Safe to use from several threads.
    """

    tokenizer: Tokenizer
    form: PromptForm
    begin: tuple[int, ...]
    specials: Mapping[str, int]
    end: int
    joins: bool

    def prompts(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The ids of each input's whole prompt."""
        runs = [runs_of(self.form.write(text), self.specials) for text in texts]
        plain = iter(self._plain([run for found in runs for run, is_special in found if not is_special]))
        return [
            (
                *self.begin,
                *(id for run, is_special in found for id in ((self.specials[run],) if is_special else next(plain))),
            )
            for found in runs
        ]

    def prompt(self, text: str) -> tuple[int, ...]:
        """The ids of one input's whole prompt."""
        return self.prompts([text])[0]

    def encode(self, texts: Sequence[str], answers: Sequence[str]) -> list[Encoded]:
        """Prompts with their answers, each closed by the end-of-text token."""
        if len(texts) != len(answers):
            raise BadInput(f"{len(texts)} inputs but {len(answers)} answers: give one for each input.")
        return [
            Encoded((*prompt, *answer, self.end), len(prompt))
            for prompt, answer in zip(self.prompts(texts), self._answers(answers), strict=True)
        ]

    def _answers(self, answers: Sequence[str]) -> list[list[int]]:
        parts = [answer_parts(answer) if self.joins else [answer] for answer in answers]
        ids = iter(self._plain([part for some in parts for part in some]))
        return [[id for _ in some for id in next(ids)] for some in parts]

    def _plain(self, texts: Sequence[str]) -> list[list[int]]:
        return [found.ids for found in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def coder_for(tokenizer: Tokenizer | Path, form: PromptForm) -> Coder:
    """The coder of a form; `tokenizer` may be a model's folder or its tokenizer.json.

    From here on the tokenizer reads special tokens in no text; it is not to be used for other ends. Raises BadArtefact
    where the form's end is no token of this vocabulary.
    """
    known = load_tokenizer(tokenizer) if isinstance(tokenizer, Path) else tokenizer
    known.encode_special_tokens = True
    known.no_truncation()
    known.no_padding()
    end = known.token_to_id(form.end)
    if end is None:
        raise BadArtefact(f"The vocabulary has no token {form.end!r} to end an answer with.")
    added = known.get_added_tokens_decoder()
    specials = {
        token.content: place
        for place, token in added.items()
        if token.special and (token.content in form.prefix or token.content in form.suffix)
    }
    return Coder(known, form, tuple(known.encode("").ids), specials, end, _joins(known))


def _joins(tokenizer: Tokenizer) -> bool:
    """Whether texts that are tokenised apart are the text itself, put together: some tokenizers begin each with a space."""
    parts = ("{", "a")
    ids = [id for part in parts for id in tokenizer.encode(part, add_special_tokens=False).ids]
    return str(tokenizer.decode(ids)) == "".join(parts)


def encode(tokenizer: Tokenizer | Path, form: PromptForm, text: str, answer: str) -> Encoded:
    """One prompt with its answer; for many, `coder_for` once and `Coder.encode`."""
    return coder_for(tokenizer, form).encode([text], [answer])[0]


def fitting(encoded: Sequence[Encoded], n_context: int) -> tuple[list[int], list[int]]:
    """The places of those of at most `n_context` tokens, answer included, and of those that are longer: to be counted and
    named by whoever leaves them out, since a prompt that was cut would teach answers to what was not read."""
    places = range(len(encoded))
    return (
        [i for i in places if len(encoded[i].ids) <= n_context],
        [i for i in places if len(encoded[i].ids) > n_context],
    )
