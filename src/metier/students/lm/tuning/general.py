"""The engine for every other network: transformers' own forward, sequence by sequence, LoRA by peft."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metier.errors import BadInput
from metier.progress import Progress
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.layout import write_model
from metier.students.lm.tuning.losses import Teacher, hard_loss, loss_and_gradient, teacher_of
from metier.students.lm.tuning.packs import Pack, pack
from metier.students.lm.tuning.plan import SoftLabels, TuningPlan

_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")


class GeneralEngine:
    """See `Engine`. Logits are computed for answer tokens only; nothing is padded, so nothing sees its neighbour."""

    packs = False

    def __init__(self, folder: Path, plan: TuningPlan, dtype: torch.dtype, device: torch.device) -> None:
        from transformers import AutoModelForCausalLM

        self._plan, self._device, self._dtype = plan, device, dtype
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        model.to(device)
        model.config.use_cache = False
        names = [name for name, parameter in model.named_parameters() if parameter.ndim == 2 and _LAYER.search(name)]
        if not names:
            raise BadInput(f"{folder} holds a network whose layers metier does not find; it cannot be tuned.")
        n_layers = 1 + max(int(found.group(1)) for name in names if (found := _LAYER.search(name)))
        first = 0 if plan.layers == 0 else max(0, n_layers - plan.layers)
        tuned = [name for name in names if int(_LAYER.search(name).group(1)) >= first]  # type: ignore[union-attr]
        self._model = self._lora(model, tuned) if plan.method == "lora" else model
        for name, parameter in self._model.named_parameters():
            parameter.requires_grad_("lora_" in name if plan.method == "lora" else name in tuned)
        self._model.train(plan.method == "full")
        self._parameters = {n: p for n, p in self._model.named_parameters() if p.requires_grad}
        self.masters: dict[str, Tensor] = {name: parameter.data for name, parameter in self._parameters.items()}
        self._start = {name: master.clone() for name, master in self.masters.items()}
        self.precision = str(dtype).removeprefix("torch.")
        self.notes = ["The network is of a kind without a fast path: transformers' own forward tuned it."]

    def _lora(self, model: Any, tuned: Sequence[str]) -> Any:
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(self._plan.seed)
        targets = [name.removesuffix(".weight") for name in tuned if name.endswith(".weight")]
        asked: dict[str, Any] = {"r": self._plan.rank, "lora_alpha": self._plan.alpha, "target_modules": targets}
        config = LoraConfig(task_type="CAUSAL_LM", **asked)
        with warnings.catch_warnings():
            # peft asks transformers for a property under a name that transformers is about to drop.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
            return get_peft_model(model, config)

    def prepare(self, train: Sequence[Encoded], tune: Sequence[Encoded], progress: Progress) -> None:
        """Nothing is computed beforehand."""

    def gradients(
        self,
        train: Sequence[Encoded],
        examples: Sequence[int],
        micro_tokens: int,  # noqa: ARG002  (one by one)
        soft: SoftLabels | None,
    ) -> tuple[float, dict[str, Tensor]]:
        self._model.zero_grad(set_to_none=True)
        loss = 0.0
        for i in examples:
            one = pack(train, [i])
            loss += self._learn(one, teacher_of(soft, one, self._device))
        return loss, {name: p.grad for name, p in self._parameters.items() if p.grad is not None}

    def _learn(self, one: Pack, teacher: Teacher | None) -> float:
        logits = self._logits(one)
        targets = torch.from_numpy(one.targets).to(self._device)
        loss, gradient = loss_and_gradient(logits.detach(), targets, teacher, 1.0)
        torch.autograd.backward(logits, gradient)
        return loss

    @torch.no_grad()
    def losses(self, encoded: Sequence[Encoded], micro_tokens: int) -> float:  # noqa: ARG002
        total = 0.0
        for i in range(len(encoded)):
            one = pack(encoded, [i])
            total += hard_loss(self._logits(one), torch.from_numpy(one.targets).to(self._device))
        return total

    def _logits(self, one: Pack) -> Tensor:
        ids = torch.from_numpy(one.ids)[None].to(self._device)
        rows = torch.from_numpy(one.rows).to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._dtype == torch.bfloat16):
            logits: Tensor = self._model(input_ids=ids, logits_to_keep=rows, use_cache=False).logits[0]
        return logits

    def refresh(self) -> None:
        """The masters are the model's own parameters."""

    def reset(self) -> None:
        for name, master in self.masters.items():
            master.copy_(self._start[name])

    def write(self, source: Path, model: Path, adapter: Path | None) -> None:
        tuned = self._model
        if self._plan.method == "lora":
            if adapter is not None:
                tuned.save_pretrained(adapter, save_embedding_layers=False)
            tuned = tuned.merge_and_unload()
        tensors = {name: parameter.data for name, parameter in tuned.named_parameters()}
        write_model(source, model, tensors)
