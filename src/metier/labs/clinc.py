"""clinc150 (Larson et al., 2019) as the traffic of a company: human labels with their split, and a log of calls made up
around them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import orjson

from metier.errors import BadInput, NotFound
from metier.labs.support import INPUT_USD_PER_MILLION, MODEL, OUTPUT_USD_PER_MILLION, START_S

SPLITS = {
    "train": "train",
    "val": "val",
    "test": "test",
    "oos_train": "ood_train",
    "oos_val": "ood_val",
    "oos_test": "ood",
}
IN_SCOPE = ("train", "val", "test")
# Share of the calls that the made-up frontier answers rightly, and of its errors that stay within the domain.
ACCURACY = 0.94
_NEAR_MISS = 0.8
_PROMPT = (
    "You are the language understanding of a voice assistant. Answer with the name of the user's intent in snake_case, and "
    "nothing else."
)
_CHARS_PER_TOKEN = 4.4
_REASONING_TOKENS = 300.0


def labelled(folder: Path) -> Iterator[dict[str, Any]]:
    """Every utterance of data_full.json as a labelled record: id, input, output, split; out-of-scope ones have the output
    "oos". Raises NotFound where the file is not there, BadInput where it is not clinc150."""
    for name, number, text, label in _utterances(folder):
        yield {"id": f"{name}-{number}", "input": text, "output": label, "split": SPLITS[name]}


def calls(folder: Path, seed: int = 0, *, days: float = 30.0) -> Iterator[dict[str, Any]]:
    """The same utterances as logged calls (source `openai-log`) with made-up answers and the human label as judgement.

    Each call has its split. A wrong answer carries the label as `correction`; out-of-scope calls have no label, so nothing
    judges them. Calls come in random order, evenly over `days` days. Raises as `labelled`.
    """
    if not (math.isfinite(days) and days > 0):
        raise BadInput(f"days is {days}; it must be greater than 0")
    utterances, near = list(_utterances(folder)), _domains(folder)
    rng = Random(f"clinc {seed}")
    rng.shuffle(utterances)
    every = sorted({label for name, _, _, label in utterances if name in IN_SCOPE})
    for place, (name, number, text, label) in enumerate(utterances):
        time_s = START_S + place / len(utterances) * days * 86_400
        yield _call(f"clinc-{name}-{number}", name, text, label, time_s, near, every, rng)


def _call(
    id_: str, name: str, text: str, label: str, time_s: float, near: dict[str, list[str]], every: list[str], rng: Random
) -> dict[str, Any]:
    answer = _answer(label, near, every, rng)
    input_tokens = int((len(_PROMPT) + len(text)) / _CHARS_PER_TOKEN) + 8
    output_tokens = int(_REASONING_TOKENS * math.exp(0.5 * rng.gauss(0, 1))) + max(1, len(answer) // 4)
    record: dict[str, Any] = {
        "id": id_,
        "time": round(time_s, 3),
        "split": SPLITS[name],
        "request": {
            "model": MODEL,
            "messages": [{"role": "system", "content": _PROMPT}, {"role": "user", "content": text}],
            "temperature": 0,
        },
        "response": {
            "model": MODEL,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": input_tokens, "completion_tokens": output_tokens},
        },
        "latency_s": round(0.6 * math.exp(0.4 * rng.gauss(0, 1)) + output_tokens / 80, 4),
        "cost_usd": round((input_tokens * INPUT_USD_PER_MILLION + output_tokens * OUTPUT_USD_PER_MILLION) / 1e6, 8),
    }
    if name in IN_SCOPE:
        record["feedback"] = "correct" if answer == label else "wrong"
        if answer != label:
            record["correction"] = label
    return record


def _answer(label: str, near: dict[str, list[str]], every: list[str], rng: Random) -> str:
    if label in near and rng.random() < ACCURACY:
        return label
    pool = near[label] if label in near and rng.random() < _NEAR_MISS else every
    return rng.choice([other for other in pool if other != label] or every)


def _utterances(folder: Path) -> Iterator[tuple[str, int, str, str]]:
    content = _read(folder / "data_full.json")
    if not isinstance(content, dict) or not set(SPLITS) <= content.keys():
        raise BadInput(f"{folder / 'data_full.json'} is not clinc150: it needs the lists {', '.join(SPLITS)}")
    for name in SPLITS:
        for number, (text, label) in enumerate(content[name]):
            yield name, number, text, label


def _domains(folder: Path) -> dict[str, list[str]]:
    """For each intent the intents of its domain, itself included."""
    return {label: labels for labels in _read(folder / "domains.json").values() for label in labels}


def _read(path: Path) -> Any:
    if not path.is_file():
        raise NotFound(f"{path} is not there: set METIER_DATA to the folder that holds clinc150/")
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{path} is not valid JSON: {error}") from error
