"""A log of LLM calls with known tasks, composed from public data: what `metier audit` is measured on.

Four recurring jobs (clinc150 intents, SROIE receipt fields, LeNER-Br legal entities, MTS-Dialog section headers), each
asked in several wordings, mixed with the open questions of Arena-Hard. Arrival times and token counts come from the Azure
LLM inference trace 2023. Calls are resampled with replacement; `group` keeps calls on the same source record together.

    python benchmarks/mixed_log.py --calls 100000 --out mixed.jsonl [--truth truth.jsonl] [--shared-system-prompt generic]
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import orjson
import polars as pl

from metier.artefacts.traffic import TRACE_SCHEMA

SharedSystemPrompt = Literal["none", "generic", "bare"]
MODEL = "gpt-4-0613"
GENERIC = "You are a helpful assistant."
# The hardest case: one system prompt covers every job, and the user message is the input and nothing else.
BARE = (
    "You are the operations assistant of Example Corp. Work out what the user's message is and do what the handbook asks: "
    "name the intent of a customer's request, read the fields of a receipt, list the entities of a legal text, name the "
    "section of a medical note that a conversation belongs to; answer anything else as well as you can."
)
# Shares of calls; open questions are one in ten.
SHARES = {"intents": 0.40, "receipts": 0.15, "entities": 0.20, "sections": 0.15, "open": 0.10}


@dataclass(frozen=True)
class Wording:
    """One way of asking for a job: `$input` marks the slot; `$name` is filled with a first name. `answer` writes the
    recorded output in the form this wording asks for."""

    system: str
    user: str
    answer: Callable[[str], str]


@dataclass(frozen=True)
class Record:
    """One source record: the input, what was recorded as the right answer, and the group it belongs to."""

    input: str
    output: str
    group: str


def _bare(output: str) -> str:
    return output


def _as_json(key: str) -> Callable[[str], str]:
    return lambda output: json.dumps({key: output})


def _fenced(output: str) -> str:
    return f"```json\n{output}\n```"


WORDINGS: dict[str, tuple[Wording, ...]] = {
    "intents": (
        Wording(
            "You are an intent classifier for a voice assistant. Reply with the intent name only, in snake_case.",
            "User request: $input",
            _bare,
        ),
        Wording(
            "You route requests of a personal assistant.",
            'What does the user want? Answer with one intent label and nothing else.\n\nRequest: "$input"\n\nIntent:',
            _bare,
        ),
        Wording(
            "You are an intent classifier for a voice assistant. Answer in JSON.",
            '$input\n\n---\nClassify the request above. Return a JSON object with the single key "intent".',
            _as_json("intent"),
        ),
        Wording(
            "",
            "Customer $name wrote the following to our assistant:\n<request>$input</request>\n"
            "Which of the known intents is it? Give the label only.",
            _bare,
        ),
    ),
    "receipts": (
        Wording(
            "You extract data from receipts.",
            "Extract company, date, address and total from this receipt and return them as JSON.\n\nReceipt:\n$input",
            _bare,
        ),
        Wording(
            "",
            "$input\n\nThe text above was read from a scanned receipt. Return a JSON object with the keys company, date, "
            "address, total.",
            _bare,
        ),
        Wording(
            "You are an accounting assistant. Output valid JSON.",
            'Here is the OCR of a receipt that $name handed in:\n"""\n$input\n"""\n'
            'Fill in {"company": ..., "date": ..., "address": ..., "total": ...}.',
            _fenced,
        ),
    ),
    "entities": (
        Wording(
            "Você é um assistente jurídico.",
            "Liste as entidades nomeadas do trecho abaixo em JSON, por tipo.\n\nTrecho: $input",
            _bare,
        ),
        Wording(
            "You tag Brazilian legal text.",
            "Find persons, organisations, places, dates, laws and case law in the sentence. JSON only.\n\n"
            "Sentence: $input\n\nEntities:",
            _bare,
        ),
        Wording(
            "",
            "$input\n\nExtraia as entidades nomeadas do texto acima e responda apenas com um objeto JSON.",
            _bare,
        ),
    ),
    "sections": (
        Wording(
            "You are a medical scribe.",
            "Which section of the clinical note does this conversation belong to? Reply with the section header only.\n\n"
            "$input",
            _bare,
        ),
        Wording(
            "You are a medical scribe. Answer in JSON.",
            'Conversation:\n$input\n\nReturn {"section": "<HEADER>"} for the section of the note it belongs to.',
            _as_json("section"),
        ),
        Wording(
            "",
            "Doctor-patient conversation between # signs.\n###\n$input\n###\nName the section header (such as GENHX or "
            "ALLERGY) it should be filed under.",
            _bare,
        ),
    ),
}
NAMES = ("Ana", "Ben", "Chen", "Dora", "Emeka", "Farah", "Goran", "Hana", "Ivo", "Jaya", "Kofi", "Lena", "Mei", "Noor")


def data_folder() -> Path:
    """The folder of source data: METIER_DATA, or ../shared/data."""
    return Path(os.environ.get("METIER_DATA", "../shared/data"))


def read_intents(data: Path) -> list[Record]:
    splits = json.loads((data / "clinc150/data_full.json").read_text(encoding="utf-8"))
    rows = [row for name in ("train", "val", "test") for row in splits[name]]
    return [Record(text, intent, f"intents-{number}") for number, (text, intent) in enumerate(rows)]


def read_receipts(data: Path) -> list[Record]:
    records = []
    for path in sorted((data / "sroie/key").glob("*.json")):
        fields = json.loads(path.read_text(encoding="utf-8"))
        with (data / f"sroie/box/{path.stem}.csv").open(encoding="utf-8", errors="replace", newline="") as boxes:
            lines = [line.rstrip("\r\n").split(",", 8)[-1] for line in boxes if line.count(",") >= 8]
        records.append(Record("\n".join(lines), json.dumps(fields, ensure_ascii=False), f"receipts-{path.stem}"))
    return records


def read_entities(data: Path) -> list[Record]:
    records = []
    for name in ("train", "dev", "test"):
        text = (data / f"lener-br/{name}.conll").read_text(encoding="utf-8")
        for number, block in enumerate(text.split("\n\n")):
            pairs = [line.rsplit(" ", 1) for line in block.splitlines() if " " in line]
            if len(pairs) >= 5:
                sentence = " ".join(token for token, _ in pairs)
                records.append(Record(sentence, _entities_json(pairs), f"entities-{name}-{number}"))
    return records


def _entities_json(pairs: list[list[str]]) -> str:
    """Entities by type; only types that occur have a key, as models answer."""
    found: dict[str, list[str]] = {}
    for token, tag in pairs:
        mark, _, kind = tag.partition("-")
        if mark == "B":
            found.setdefault(kind, []).append(token)
        elif mark == "I" and kind in found:
            found[kind][-1] += f" {token}"
    return json.dumps(found, ensure_ascii=False)


def read_sections(data: Path) -> list[Record]:
    records = []
    for path in sorted((data / "mts-dialog").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as rows:
            for row in csv.DictReader(rows):
                group = f"sections-{path.stem}-{row['ID']}"
                records.append(Record(row["dialogue"].strip(), row["section_header"].strip(), group))
    return records


def read_open(data: Path) -> list[Record]:
    folder = data / "arena-hard/arena-hard-v0.1"
    records = []
    for name in ("gpt-4-0314", "gpt-4-0613", "gpt-3.5-turbo-0125"):
        for line in (folder / f"model_answer/{name}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            question, answer = row["messages"][0]["content"], row["messages"][-1]["content"]["answer"]
            records.append(Record(question, answer, f"open-{row['uid']}"))
    return records


READERS: dict[str, Callable[[Path], list[Record]]] = {
    "intents": read_intents,
    "receipts": read_receipts,
    "entities": read_entities,
    "sections": read_sections,
    "open": read_open,
}


@cache
def read_records(data: Path) -> dict[str, list[Record]]:
    return {name: reader(data) for name, reader in READERS.items()}


@dataclass(frozen=True)
class Arrivals:
    """The Azure trace: seconds between calls, and token counts by service (conversation, code)."""

    gaps_s: np.ndarray
    tokens: dict[str, np.ndarray]


@cache
def read_arrivals(data: Path) -> Arrivals:
    folder = data / "azure-llm-trace-2023"
    frames = {
        name: pl.read_csv(folder / f"AzureLLMInferenceTrace_{name}.csv").with_columns(
            pl.col("TIMESTAMP").str.slice(0, 26).str.to_datetime("%Y-%m-%d %H:%M:%S%.f")
        )
        for name in ("conv", "code")
    }
    times = pl.concat(list(frames.values()))["TIMESTAMP"].dt.timestamp("us").sort().to_numpy() / 1e6
    tokens = {name: frame.select("ContextTokens", "GeneratedTokens").to_numpy() for name, frame in frames.items()}
    return Arrivals(np.diff(times), tokens)


def compose(
    n_calls: int, seed: int, shared: SharedSystemPrompt = "none", chunk: int = 50_000, data: Path | None = None
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Chunks of (traffic in TRACE_SCHEMA, truth: id, task, wording). The same seed gives the same log, whatever `chunk`.

    Token counts are drawn from the trace: conversation for open questions, code (long prompt, short answer) for jobs.
    """
    folder = data or data_folder()
    records, arrivals = read_records(folder), read_arrivals(folder)
    start_s = datetime.datetime(2023, 11, 16, 18, 15, tzinfo=datetime.UTC).timestamp()
    rng = np.random.default_rng(seed)
    names = list(SHARES)
    for first in range(0, n_calls, chunk):
        size = min(chunk, n_calls - first)
        rows, truth = [], []
        jobs = rng.choice(len(names), size, p=list(SHARES.values()))
        picks = rng.random((size, 3))
        times = start_s + np.cumsum(rng.choice(arrivals.gaps_s, size))
        start_s = float(times[-1])
        for offset in range(size):
            job = names[jobs[offset]]
            call_id = f"call-{first + offset:08d}"
            row, wording = _call(job, records[job], picks[offset], arrivals, shared)
            rows.append({"id": call_id, "time": times[offset], **row})
            truth.append((call_id, job, wording))
        yield (
            pl.DataFrame(rows, schema=TRACE_SCHEMA, orient="row"),
            pl.DataFrame(truth, schema={"id": pl.String(), "task": pl.String(), "wording": pl.String()}, orient="row"),
        )


def _call(
    job: str, records: list[Record], pick: np.ndarray, arrivals: Arrivals, shared: SharedSystemPrompt
) -> tuple[dict[str, object], str]:
    record = records[int(pick[0] * len(records))]
    number = int(pick[1] * len(WORDINGS[job])) if job in WORDINGS else 0
    system, user, answer = "", record.input, record.output
    if job in WORDINGS:
        wording = WORDINGS[job][number]
        answer = wording.answer(record.output)
        system = wording.system
        user = string.Template(wording.user).substitute(input=record.input, name=NAMES[int(pick[2] * len(NAMES))])
    if shared == "generic":
        system = GENERIC
    elif shared == "bare":
        system, user = BARE, record.input
    listed = [{"role": "system", "content": system}] if system else []
    tokens = arrivals.tokens["conv" if job == "open" else "code"]
    context, generated = tokens[int(pick[2] * len(tokens))]
    return {
        "messages": orjson.dumps([*listed, {"role": "user", "content": user}]).decode(),
        "response": answer,
        "model": MODEL,
        "input_tokens": int(context),
        "output_tokens": int(generated),
        "provenance": "teacher",
        "group": record.group,
    }, f"{job}-{number}"


def as_openai_line(row: dict[str, object]) -> bytes:
    """One call as a line of an OpenAI-style request/response log."""
    return orjson.dumps(
        {
            "id": row["id"],
            "created": row["time"],
            "request": {"model": row["model"], "messages": orjson.loads(str(row["messages"]))},
            "response": {
                "model": row["model"],
                "choices": [{"index": 0, "message": {"role": "assistant", "content": row["response"]}}],
                "usage": {"prompt_tokens": row["input_tokens"], "completion_tokens": row["output_tokens"]},
            },
            "metadata": {"group": row["group"]},
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--out", type=Path, required=True, help="the log, JSON lines")
    parser.add_argument("--truth", type=Path, help="id, task and wording of each call, JSON lines")
    parser.add_argument("--shared-system-prompt", choices=["none", "generic", "bare"], default="none")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    truths = []
    with options.out.open("wb") as log:
        for frame, truth in compose(options.calls, options.seed, options.shared_system_prompt):
            log.writelines(as_openai_line(row) + b"\n" for row in frame.iter_rows(named=True))
            truths.append(truth)
    if options.truth:
        pl.concat(truths).write_ndjson(options.truth)
    print(f"{options.calls} calls in {options.out}")


if __name__ == "__main__":
    main()
