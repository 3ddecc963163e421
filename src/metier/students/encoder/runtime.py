"""Running the exported network with onnxruntime. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.errors import BadArtefact
from metier.machine import usable_cores
from metier.students.encoder.tokens import by_length, padded

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

_BATCH_TOKENS = 2048  # padded tokens answered together: fills a core's caches without spilling them
_BATCH_ROWS = 128


@dataclass(frozen=True)
class Session:
    """An onnxruntime session over an encoder: token ids to features (n, width).

    `alone`: every text runs by itself. An int8 network scales its activations by what runs together, so in a batch the
    answer to a text would depend on its company (measured on clinc150: one label in 400 changed), and what a server
    says one by one would not be what was evaluated and certified. `workers` texts or batches run at the same time.
    """

    session: Any
    width: int
    alone: bool
    workers: int

    @classmethod
    def open(cls, path: Path, threads: int, alone: bool) -> Session:
        """`threads` cores (0: all). Raises BadArtefact where the file is no network that onnxruntime can run."""
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        # Requests side by side use several cores better than one small request split over them.
        settings.intra_op_num_threads = 1
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        except Exception as problem:  # onnxruntime raises classes of its own that share no public base
            raise BadArtefact(f"{path} is no network that onnxruntime can run: {problem}") from None
        return cls(session, int(session.get_outputs()[0].shape[-1]), alone, threads or usable_cores())

    def features(self, sequences: Sequence[Sequence[int]]) -> FloatArray:
        """(n, width), in the order of the sequences."""
        found = np.empty((len(sequences), self.width), dtype=np.float32)

        def run(places: IntArray) -> None:
            ids, mask = padded([sequences[i] for i in places])
            found[places] = self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]

        batches = by_length(sequences, _BATCH_TOKENS, 1 if self.alone else _BATCH_ROWS)
        if self.workers == 1 or len(sequences) == 1:
            for places in batches:
                run(places)
        else:
            with ThreadPoolExecutor(self.workers) as pool:
                list(pool.map(run, batches))
        return found
