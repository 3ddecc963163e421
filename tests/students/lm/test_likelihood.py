"""Answers that share a prompt: the same log-probabilities and gradients as each read by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("transformers", reason="needs transformers")

from tests.students.lm.tiny_models import write_tiny  # noqa: E402

from metier.students.lm.likelihood import answer_logprobs, open_causal, split  # noqa: E402
from metier.students.lm.parts import Encoded  # noqa: E402

PROMPT = tuple(range(5, 45))  # longer than the window of the tiny Gemma
ANSWERS = ((60, 61, 62, 257), (70, 257), (80, 81, 82, 83, 84, 85, 86))


def alone(model: Any, prompt: tuple[int, ...], answer: tuple[int, ...]) -> Any:
    logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0].log_softmax(-1)
    rows = torch.arange(len(prompt) - 1, len(prompt) + len(answer) - 1)
    return logits[rows, torch.tensor(answer)].sum()


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
@pytest.mark.parametrize("n_prompt", [1, 10, 40])
def test_a_shared_prompt_changes_nothing(tmp_path: Path, kind: Literal["llama", "gemma3"], n_prompt: int) -> None:
    model, _ = open_causal(write_tiny(tmp_path, kind), "float32", "cpu")
    weights = torch.tensor([1.0, -2.0, 0.5])
    together = answer_logprobs(model, PROMPT[:n_prompt], ANSWERS)
    (together * weights).sum().backward()
    ours = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    apart = torch.stack([alone(model, PROMPT[:n_prompt], answer) for answer in ANSWERS])
    (apart * weights).sum().backward()
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-5)
    for got, parameter in zip(ours, model.parameters(), strict=True):
        torch.testing.assert_close(got, parameter.grad, rtol=1e-4, atol=1e-5)


def test_one_token_needs_no_second_look(tmp_path: Path) -> None:
    model, _ = open_causal(write_tiny(tmp_path), "float32", "cpu")
    found = answer_logprobs(model, PROMPT, [(60,), (61,)])
    torch.testing.assert_close(found[1], alone(model, PROMPT, (61,)), rtol=1e-5, atol=1e-5)


def test_parts_of_an_example() -> None:
    assert split(Encoded((1, 2, 3), 2)) == ((1, 2), (3,))
