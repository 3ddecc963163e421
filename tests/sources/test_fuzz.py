"""No bytes make the reading raise: lines, whole files, and values in every place of every format."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metier.artefacts.traffic import Trace
from metier.errors import BadInput
from metier.sources import import_files
from metier.sources.decoding import outcomes
from metier.sources.documents import read_document
from metier.sources.outcomes import Flawed, Rejected, Skipped
from metier.sources.readers import read_csv, read_lines
from metier.sources.registry import SOURCES
from metier.sources.traces import Context
from metier.store.traffic import TrafficStore

WORDS = """
id custom_id request response body messages role content type text choices message output input usage usageDetails
error tool_calls function function_call name arguments parts image_url url metadata customer user group time
created startTime endTime latency cost cost_usd feedback rating value scores correction observations traceId level
model modelParameters parameters temperature instructions status_code label split conversations from resourceSpans
scopeSpans spans attributes key stringValue arrayValue kvlistValue values intValue events gen_ai gen_ai.prompt
gen_ai.completion spanId status code gen_ai.input.messages gen_ai.output.messages gen_ai.prompt.0.content
gen_ai.completion.0.content gen_ai.operation.name gen_ai.system_instructions gen_ai.usage.input_tokens
gen_ai.request.model gen_ai.tool.definitions
"""
KEYS = WORDS.split()
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["user", "assistant", "GENERATION", "tool_call", "tool_use", "chat", "[{}]", '{"a": 1}', "gen_ai.prompt"]
    )
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=25,
)
RECORDS = st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=8)
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(outcome: object) -> None:
    if isinstance(outcome, Flawed):
        assert outcome.warnings
        outcome = outcome.trace
    if isinstance(outcome, Trace):
        assert outcome.id
        assert json.loads(outcome.messages)
        assert outcome.response
        for text in (outcome.id, outcome.messages, outcome.response, outcome.model, outcome.group, outcome.correction):
            assert text is None or (isinstance(text, str) and "\x00" not in text.encode("utf-8").decode("utf-8"))
        assert outcome.cost_usd is None or outcome.cost_usd >= 0
        assert outcome.time is None or 0 < outcome.time < 1e10
    else:
        assert isinstance(outcome, Rejected | Skipped)
        assert outcome.reason


@pytest.mark.parametrize("name", list(SOURCES))
@SETTINGS
@given(data=st.binary(max_size=200))
def test_any_bytes(name: str, data: bytes) -> None:
    for outcome in outcomes(SOURCES[name], data, Context(1, "d")):
        check(outcome)


@pytest.mark.parametrize("name", list(SOURCES))
@SETTINGS
@given(record=RECORDS, key=st.none() | st.text(max_size=3))
def test_any_value_in_any_place(name: str, record: dict[str, Any], key: str | None) -> None:
    source = SOURCES[name]
    source.recognises(record)
    for outcome in outcomes(source, json.dumps(record).encode(), Context(1, "d", key)):
        check(outcome)


@SETTINGS
@given(data=st.binary(max_size=400) | st.text(alphabet='ab,";\n\r\\[]{}: \x00é', max_size=200).map(str.encode))
def test_readers_cut_any_bytes(data: bytes) -> None:
    for reader in (read_lines, read_csv, read_document):
        items = list(reader(io.BufferedReader(io.BytesIO(data)), 50))
        places = [item.line for item in items]
        assert places == sorted(places)
        assert all(1 <= place <= data.count(b"\n") + 1 for place in places)
        assert all(item.problem is not None or item.size_bytes <= 51 for item in items)


@SETTINGS
@given(
    values=st.lists(VALUES.filter(lambda value: value is not None), min_size=1, max_size=6),
    indent=st.sampled_from([None, 2]),
)
def test_documents_are_cut_as_json_reads_them(values: list[Any], indent: int | None) -> None:
    for document in (values, {"ignored": {"x": [1, "]"]}, "list": values, "n": 1, "empty": []}):
        data = json.dumps(document, indent=indent).encode()
        items = list(read_document(io.BufferedReader(io.BytesIO(data)), 10**6))
        assert [json.dumps(json.loads(item.data)) for item in items] == [json.dumps(value) for value in values]
        assert {item.key for item in items} == ({None} if document is values else {"list"})
        assert all(data.split(b"\n")[item.line - 1].strip() for item in items)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "traffic.db"
    TrafficStore(path).close()
    return path


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.binary(max_size=300)
    | st.lists(RECORDS.map(lambda record: json.dumps(record).encode()) | st.binary(max_size=30), max_size=6).map(
        b"\n".join
    ),
    name=st.sampled_from(["f.jsonl", "f.csv", "f.json", "f.gz"]),
    format=st.sampled_from([None, *SOURCES]),
)
def test_any_file(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path, data: bytes, name: str, format: str | None
) -> None:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    (folder / name).write_bytes(data)
    shutil.copy(empty_store, folder / "traffic.db")
    with TrafficStore(folder / "traffic.db") as store:
        try:
            (found,) = import_files([folder / name], store, format=format).files
        except BadInput as problem:
            if name not in str(problem):
                raise
            return
        assert sum(store.quarantine_counts().values()) == found.n_quarantined
        assert len(store) == found.n_added
        (again,) = import_files([folder / name], store, format=format).files
        assert again.n_added == 0
        assert again.already_imported or again.note
