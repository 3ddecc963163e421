"""Two draws that do not depend on each other: whether a call lies within the rollout, and whether it is audited."""

from __future__ import annotations

from hashlib import blake2b

_BYTES = 8
_NUMBERS = float(2 ** (8 * _BYTES))


def within_rollout(task: str, text: str, share: float) -> bool:
    """Whether the specialist may keep a call with this input. The same input of a task is always on the same side, in every
    process, and a larger `share` in [0, 1] only adds: users do not see one question answered by two models by turns."""
    return share >= 1 or _draw(b"rollout", task, text) < share


def is_audited(trace_id: str, share: float) -> bool:
    """Whether the frontier model is asked as well about a kept answer, by the gateway's own random id of the call: nothing
    about the call itself, so that the audited ones are a random sample of those kept."""
    return share > 0 and _draw(b"audit", trace_id) < share


def _draw(purpose: bytes, *parts: str) -> float:
    """A number in [0, 1) that the parts determine and nobody can guess from others."""
    data = "\0".join(parts).encode("utf-8", "surrogatepass")
    number: int = int.from_bytes(blake2b(data, digest_size=_BYTES, person=purpose).digest())
    return number / _NUMBERS
