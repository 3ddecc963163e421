"""How likely a model finds several answers to one prompt, the prompt being read once. Needs torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metier.machine import multiplies_bfloat16
from metier.students.lm.parts import Encoded

Ids = Sequence[int]


def answer_logits(model: Any, prompt: Ids, answers: Sequence[Ids]) -> Tensor:
    """(k, n, v) float32: before each of n places the logits of the token there, n being the longest answer's length.

    What lies past the end of a shorter answer means nothing. The prompt goes through the network once, for all k answers,
    and gradients reach it.
    """
    device = model.device
    read = model(input_ids=torch.tensor([list(prompt)], device=device), use_cache=True, logits_to_keep=1)
    k, longest = len(answers), max(map(len, answers))
    first: Tensor = read.logits[:, -1:].float().expand(k, -1, -1)
    if longest == 1:
        return first
    cache = read.past_key_values
    cache.batch_repeat_interleave(k)
    # A token of padding stands after the answer, where no token of the answer sees it.
    fed = torch.tensor([[*answer[:-1], *[0] * (longest - len(answer))] for answer in answers], device=device)
    rest = model(input_ids=fed, past_key_values=cache, use_cache=True).logits.float()
    return torch.cat([first, rest], dim=1)


def answer_logprobs(model: Any, prompt: Ids, answers: Sequence[Ids]) -> Tensor:
    """(k,) natural log-probabilities of whole answers after the prompt, float32, with gradients."""
    logits = answer_logits(model, prompt, answers)
    longest = logits.shape[1]
    targets = torch.tensor([[*answer, *[0] * (longest - len(answer))] for answer in answers], device=logits.device)
    lengths = torch.tensor([len(answer) for answer in answers], device=logits.device)
    chosen = torch.gather(logits.log_softmax(-1), 2, targets[:, :, None])[:, :, 0]
    inside = torch.arange(longest, device=logits.device) < lengths[:, None]
    return torch.where(inside, chosen, 0.0).sum(1)


def split(one: Encoded) -> tuple[Ids, Ids]:
    """The prompt and the answer of an example."""
    return one.ids[: one.n_prompt], one.ids[one.n_prompt :]


def open_causal(folder: Path, precision: str = "auto", device: str = "auto") -> tuple[Any, torch.dtype]:
    """The causal language model in `folder`, in evaluation mode, with what it computes in: float32, or bfloat16 where the
    processor or the GPU multiplies it (`precision` "auto") or where asked for."""
    from transformers import AutoModelForCausalLM

    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    dtype = (
        torch.bfloat16 if precision == "bfloat16" or (precision == "auto" and has_bfloat16(where)) else torch.float32
    )
    with without_bars():
        # Eager attention: with the wide heads of small models torch's own is slower backward on a CPU.
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    return model.to(where).eval(), dtype


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is multiplied natively; elsewhere it is emulated and slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return multiplies_bfloat16()


@contextmanager
def without_bars() -> Iterator[None]:
    """transformers draws bars while it loads, whoever reads standard error."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()


def negative_loglikelihoods(
    folder: Path, encoded: Sequence[Encoded], precision: str = "auto", device: str = "auto"
) -> npt.NDArray[np.float64]:
    """(n,) of every answer, given its prompt, under the model in `folder`, in nats."""
    model, _ = open_causal(folder, precision, device)
    found = []
    with torch.no_grad():
        for one in encoded:
            prompt, answer = split(one)
            found.append(-float(answer_logprobs(model, prompt, [answer])[0]))
    return np.array(found, dtype=np.float64)
