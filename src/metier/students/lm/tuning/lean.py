"""The engine for networks of known shape: packs through the lean network, frozen layers computed once for all epochs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from metier.progress import Progress
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.block import Collect
from metier.students.lm.tuning.layout import write_adapter, write_model
from metier.students.lm.tuning.losses import teacher_of
from metier.students.lm.tuning.masters import FullMasters, Gradients, LoraMasters, Masters
from metier.students.lm.tuning.network import Network, Reading, read_network
from metier.students.lm.tuning.packs import Pack, packs_of
from metier.students.lm.tuning.plan import SoftLabels, TuningPlan
from metier.students.lm.tuning.shapes import Shape
from metier.students.lm.tuning.weights import PARTS, Stored
from metier.students.lm.tuning.workers import shares, side_by_side

_FILL_TOKENS = 512


class LeanEngine:
    """See `Engine`. `threads` compute packs side by side; on a GPU there is one."""

    packs = True

    def __init__(
        self,
        folder: Path,
        shape: Shape,
        plan: TuningPlan,
        longest: int,
        dtype: torch.dtype,
        device: torch.device,
        threads: ThreadPoolExecutor,
        n_workers: int,
    ) -> None:
        self._plan, self._threads, self._n_workers = plan, threads, n_workers
        self._network: Network = read_network(folder, shape, longest, dtype, device)
        self._first = 0 if plan.layers == 0 else max(0, shape.n_layers - plan.layers)
        stored = Stored(folder)
        self._masters: Masters = (
            LoraMasters(stored, shape, self._first, device, plan.rank, plan.alpha, plan.seed)
            if plan.method == "lora"
            else FullMasters(stored, shape, self._first, device)
        )
        self.masters = self._masters.tensors
        self.precision = str(dtype).removeprefix("torch.")
        self.notes: list[str] = []
        self._cache: dict[Encoded, Tensor] = {}
        self._sums: list[Gradients] = [{} for _ in range(n_workers)]
        self.refresh()

    def prepare(self, train: Sequence[Encoded], tune: Sequence[Encoded], progress: Progress) -> None:
        """What the frozen layers make of every example that fits into the cache. Which ones do depends on the plan alone,
        so a training that was killed goes on with the same figures."""
        if self._first == 0:
            return
        room = int(self._plan.cache_gib * 2**30 / (self._network.shape.width * self._network.embedding.element_size()))
        total = len({*train, *tune})
        seen: set[Encoded] = set()
        for split in (train, tune):
            fitting = []
            for i, one in enumerate(split):
                if one in seen:
                    continue
                seen.add(one)
                room -= len(one.ids)
                if room >= 0:
                    fitting.append(i)
            packs = packs_of(split, fitting, _FILL_TOKENS)
            for begin in range(0, len(packs), 8 * self._n_workers):
                progress("Reading with the frozen layers", len(self._cache), total)
                some = packs[begin : begin + 8 * self._n_workers]
                for read, hidden in zip(some, side_by_side(self._threads, self._lower, some), strict=True):
                    for i, first, last in zip(read.examples, read.bounds, read.bounds[1:], strict=False):
                        self._cache[split[i]] = hidden[first:last].clone()
        if len(self._cache) < total:
            self.notes.append(f"{total - len(self._cache)} of {total} examples did not fit into the cache.")

    def gradients(
        self, train: Sequence[Encoded], examples: Sequence[int], micro_tokens: int, soft: SoftLabels | None
    ) -> tuple[float, Gradients]:
        mine = shares(packs_of(train, examples, micro_tokens), self._n_workers)
        work = partial(self._learn, train, soft)
        losses = side_by_side(self._threads, work, list(enumerate(mine)))
        total = self._sums[0]
        for other in self._sums[1:]:
            for name, gradient in other.items():
                total[name] = total[name].add_(gradient) if name in total else gradient
        self._sums = [{} for _ in range(self._n_workers)]
        return sum(losses), total

    def _learn(self, train: Sequence[Encoded], soft: SoftLabels | None, work: tuple[int, list[Pack]]) -> float:
        worker, packs = work
        sums: Gradients = {}
        self._sums[worker] = sums

        def add(name: str, gradient: Tensor) -> None:
            if name in sums:
                sums[name].add_(gradient)
            else:
                sums[name] = gradient.float()

        def collector(layer: int) -> Collect:
            return lambda matrix, dy, x, rows: self._masters.collect(layer, matrix, dy, x, rows, add)

        collect = [collector(i) for i in range(self._first, self._network.shape.n_layers)]
        loss = 0.0
        with torch.no_grad():
            for one in packs:
                reading = Reading(self._network, one)
                teacher = teacher_of(soft, one, self._network.device)
                loss += reading.learn(self._below(reading, train, one), self._first, teacher, 1.0, collect)
        return loss

    def losses(self, encoded: Sequence[Encoded], micro_tokens: int) -> float:
        packs = packs_of(encoded, range(len(encoded)), micro_tokens)
        return sum(side_by_side(self._threads, partial(self._loss, encoded), packs))

    def _loss(self, encoded: Sequence[Encoded], one: Pack) -> float:
        reading = Reading(self._network, one)
        return reading.loss(self._below(reading, encoded, one), self._first)

    def _below(self, reading: Reading, split: Sequence[Encoded], one: Pack) -> Tensor:
        """What the frozen layers give for a pack, from the cache where all of it is there."""
        if self._first == 0:
            return reading.lower(0)
        found = [self._cache.get(split[i]) for i in one.examples]
        kept = [hidden for hidden in found if hidden is not None]
        if len(kept) == len(found):
            x = torch.cat(kept).float()
            return torch.nn.functional.pad(x, (0, 0, 0, len(one.ids) - len(x)))
        return self._lower(one).float()

    def _lower(self, one: Pack) -> Tensor:
        """Rounded as the cache keeps it, whether it is kept or not: the same figures either way."""
        return Reading(self._network, one).lower(self._first).to(self._network.embedding.dtype)

    def refresh(self) -> None:
        side_by_side(self._threads, self._refresh, range(self._first, self._network.shape.n_layers))

    @torch.no_grad()
    def _refresh(self, layer: int) -> None:
        self._masters.refresh(layer, self._network.layers[layer])

    def reset(self) -> None:
        self._masters.reset()
        self.refresh()

    def write(self, source: Path, model: Path, adapter: Path | None) -> None:
        write_model(source, model, self._masters.parts())
        if adapter is not None:
            modules = [part.rpartition(".")[2] for parts in PARTS.values() for part in parts]
            layers = range(self._first, self._network.shape.n_layers)
            write_adapter(
                adapter, self.masters, base=str(source), rank=self._plan.rank, alpha=self._plan.alpha,
                modules=modules, layers=layers,
            )  # fmt: skip
