"""[lm] of metier.toml: how the language-model student is trained and exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from metier.errors import BadInput

# What is needed to begin, and what does the same work in another way, shape nothing that is made.
_CONSENT, _PROCESSES = "accepted_licences", "processes"
_OF_TEACHER = ("teacher", "teacher_weight")
# Read again as it is, a small split is soon learnt by heart; of variants each is new. Four passes over receipts were tried:
# docs/lm.md has the figures.
_PASSES, _VARIED_PASSES = 3, 6


class LmSettings(BaseModel):
    """How the student `lm` is trained, exported and asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str = Field(
        "gemma3-270m",
        description="Language model to start from: gemma3-270m or smollm2 (packages), hf:organisation/name or "
        "hf:organisation/name@revision, a local folder, or a GGUF file.",
    )
    accepted_licences: tuple[str, ...] = Field(
        (),
        description="Licences that you have read and accept, where a base asks for it: gemma.",
        json_schema_extra={"option": "accept-licence"},
    )
    vocabulary: Literal["trim", "keep"] = Field(
        "trim", description="trim cuts the vocabulary to the tokens that the task needs; keep leaves it whole."
    )
    method: Literal["auto", "full", "lora"] = Field(
        "auto", description="Tune the layers' whole matrices (full) or low-rank adapters (lora); auto takes adapters."
    )
    epochs: int = Field(
        0,
        ge=0,
        le=100,
        description="Passes over the training examples, at most; 0 takes 3, or 6 where variants stand in for all but one.",
    )
    trainings: int = Field(
        1,
        ge=1,
        le=10,
        description="Trainings with seeds of their own, whose weights are averaged unless the tune split's loss is higher "
        "by that. Each takes its time.",
    )
    teacher: str = Field(
        "",
        description="Larger language model of the base's family, named as a base is: its token probabilities on the "
        "training answers are learnt beside them. It must split texts into the same tokens.",
    )
    teacher_weight: float = Field(
        0.5, gt=0, le=1, description="Share of the loss that follows the teacher; the rest follows the answers."
    )
    variants: Literal["auto", "off"] = Field(
        "auto",
        description="Learn from variants of the examples in place of further passes, where records hold names or addresses "
        "that stand in the input: other groups' values and made-up ones, other amounts and dates, other lines between.",
    )
    learning_rate: float = Field(
        0.0, ge=0, lt=1, description="Highest learning rate; 0 takes the one that suits the method."
    )
    processes: int = Field(
        0,
        ge=0,
        le=64,
        description="Processes that share every step of the tuning, each on a GPU of its own or on its share of the cores; "
        "0 takes as many as there are GPUs, on a processor one.",
    )
    max_tokens: int = Field(
        2048,
        ge=32,
        le=131_072,
        description="Longer prompts are not trained on; at run time those that leave no room for an answer escalate.",
    )
    max_output_tokens: int = Field(512, ge=1, le=32_768, description="Longest answer; longer ones are cut off.")
    preference: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Preference tuning on its own mistakes: auto does it where the tune split shows mistakes to learn "
        "from; what does not help is not kept.",
    )
    refit: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Once everything has been chosen on the tune split, learn from its examples too; auto does it for "
        "records, without a teacher.",
    )
    baking: Literal["auto", "keep", "bake"] = Field(
        "auto",
        description="Drop the frontier prompt's instructions: where the tune split shows no loss, never, always.",
    )
    copying: Literal["auto", "off"] = Field(
        "auto",
        description="Let fields whose values stand in the training inputs be nothing but spans of the input, where the "
        "tune split's answers get no worse; off holds them to the schema alone.",
    )
    quantisation: Literal["auto", "q8_0", "q4", "shared"] = Field(
        "auto",
        description="Build that answers; auto takes the smallest that is shown to keep to the parity margin, else the one "
        "most like the model as it was tuned. shared: the base's own, with the adapter on top, so that specialists of one "
        "base share it in memory (needs vocabulary = keep).",
    )
    parity_margin: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="Largest share of the tune split's answers that a build may lose against the model as it was tuned.",
    )
    rationale: Literal["off", "on"] = Field(
        "off",
        description="on: of a label task, write a rationale and then the label in a box, learnt from examples that bring "
        "both; off: choose the label at once.",
    )
    agreement: Literal["auto", "off"] = Field(
        "auto",
        description="Ask for a second sample of every answer, at twice the price, where the tune split shows that it ranks "
        "mistakes better.",
    )

    def models(self) -> tuple[tuple[str, str], ...]:
        """The language models that a training reads, each with what it is: the base model, and a teacher if any."""
        return (("base model", self.base), *((("teacher", self.teacher),) if self.teacher else ()))

    def passes(self, is_varied: bool) -> int:
        """How often the training examples are read, or variants in their place after the first."""
        return self.epochs or (_VARIED_PASSES if is_varied else _PASSES)

    @model_validator(mode="after")
    def _shares_a_whole_vocabulary(self) -> Self:
        if self.quantisation == "shared" and (self.vocabulary != "keep" or self.method == "full"):
            raise ValueError(
                "quantisation = 'shared' needs vocabulary = 'keep' and adapters (method = 'lora' or 'auto'): specialists "
                "can only share a base that is the same for all of them"
            )
        return self

    def options(self) -> dict[str, Any]:
        """The student's options."""
        return {**self.model_dump(), _CONSENT: ",".join(self.accepted_licences)}

    @classmethod
    def of_options(cls, options: Mapping[str, Any]) -> LmSettings:
        """The settings that `options` came from. Raises BadInput naming the option and the value."""
        accepted = tuple(name for name in str(options[_CONSENT]).split(",") if name)
        try:
            return cls(**{**options, _CONSENT: accepted})
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            if not fault["loc"]:  # of several options together
                raise BadInput(f"the student 'lm': {fault['msg']}") from error
            name = ".".join(str(part) for part in fault["loc"])
            raise BadInput(f"option {name!r} of the student 'lm' is {fault['input']!r}: {fault['msg']}") from error

    def shaping(self) -> dict[str, Any]:
        """The options that shape what is made: all but the consent, the number of processes, and a teacher's where there is
        none."""
        left_out = {_CONSENT, _PROCESSES} if self.teacher else {_CONSENT, _PROCESSES, *_OF_TEACHER}
        return {name: value for name, value in self.model_dump().items() if name not in left_out}
