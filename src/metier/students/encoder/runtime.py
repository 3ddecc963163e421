"""Running the exported network with onnxruntime. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.errors import BadArtefact
from metier.students.encoder.tokens import by_length, padded

FloatArray = npt.NDArray[np.float32]

_BATCH_TOKENS = 2048  # padded tokens answered together: fills a core's caches without spilling them
_BATCH_ROWS = 128


@dataclass(frozen=True)
class Session:
    """An onnxruntime session over an encoder: token ids to features (n, width)."""

    session: Any
    width: int

    @classmethod
    def open(cls, path: Path, threads: int) -> Session:
        """`threads` 0 takes all cores. Raises BadArtefact where the file is no network that onnxruntime can run."""
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        # Answers come one by one in a server: threads that spin between them would burn a core for nothing.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        except Exception as problem:  # onnxruntime raises classes of its own that share no public base
            raise BadArtefact(f"{path} is no network that onnxruntime can run: {problem}") from None
        return cls(session, int(session.get_outputs()[0].shape[-1]))

    def features(self, sequences: Sequence[Sequence[int]]) -> FloatArray:
        """(n, width), in the order of the sequences."""
        found = np.empty((len(sequences), self.width), dtype=np.float32)
        for batch in by_length(sequences, _BATCH_TOKENS, _BATCH_ROWS):
            ids, mask = padded([sequences[i] for i in batch])
            found[batch] = self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return found
