"""Whole files into a store: recognising them, bad input of every kind, repeats, and runs that are cut off."""

from __future__ import annotations

import codecs
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from metier.errors import BadInput, MetierError, NotFound
from metier.sources import FileReport, import_files
from metier.sources.importing import BATCH_ITEMS, stem
from metier.store.traffic import DUPLICATE_ID, TrafficStore


def call(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"call-{number}",
        "time": 1_750_000_000 + number,
        "request": {"model": "gpt-4o", "messages": [{"role": "user", "content": f"question {number} äöü"}]},
        "response": {"choices": [{"message": {"role": "assistant", "content": f"answer {number}"}}]},
        **more,
    }


def lines(*records: object) -> bytes:
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def load(store: TrafficStore, path: Path, **options: Any) -> FileReport:
    (found,) = import_files([path], store, **options).files
    return found


@pytest.fixture
def store(tmp_path: Path):
    with TrafficStore(tmp_path / "traffic.db") as made:
        yield made


def answers(store: TrafficStore) -> list[str]:
    frames = list(store.batches(("response",)))
    return pl.concat(frames)["response"].to_list() if frames else []


# Recognising


@pytest.mark.parametrize(
    ("name", "data", "format", "n"),
    [
        ("log.jsonl", lines(call(1), call(2)), "openai-log", 2),
        ("log.jsonl", b'\n{"broken\n' + lines(call(1), call(2)), "openai-log", 2),
        (
            "chat.jsonl",
            lines({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}),
            "openai-chat",
            1,
        ),
        ("train.jsonl", lines({"text": "x", "label": "a"}), "records", 1),
        ("train.csv", b"text,label\nx,a\ny,b\n", "records", 2),
        ("train.tsv", b"text\tlabel\nx, y\ta\n", "records", 1),
        ("noend", b"text;label\nx;a\n", "records", 1),
        (
            "data_full.json",
            b'{\n  "val": [\n    ["x", "a"],\n    ["y",\n "b"]\n  ],\n "oos": [["z", "oos"]]}\n',
            "records",
            3,
        ),
        (
            "data_full.json",
            b'{"val": [["x", "a"]], "train": [], "note": {"a": [1]}, "oos": [["z", "oos"]]}',
            "records",
            2,
        ),
        ("list.json", json.dumps([call(1), call(2)], indent=2).encode(), "openai-log", 2),
        ("one.json", lines(call(1)), "openai-log", 1),
        (
            "langfuse.csv",
            b'id,type,traceId,startTime,input,output\no1,GENERATION,t,2025-01-01T00:00:00Z,"[{""role"":""user"",""content"":""q""}]",a\n'
            b"o2,SPAN,t,2025-01-01T00:00:00Z,q,a\n",
            "langfuse",
            1,
        ),
        (
            "span.jsonl",
            lines({"name": "chat", "attributes": {"gen_ai.prompt": "q", "gen_ai.completion": "a"}}),
            "otel",
            1,
        ),
    ],
)
def test_recognises_format_and_layout(
    tmp_path: Path, store: TrafficStore, name: str, data: bytes, format: str, n: int
) -> None:
    found = load(store, write(tmp_path / name, data))
    assert (found.format, found.n_added) == (format, n)


def test_document_keeps_the_lists_name_as_split_and_the_line(tmp_path: Path, store: TrafficStore) -> None:
    data = b'{\n  "val": [\n    ["x", "a"],\n    ["y"]\n  ],\n  "oos_test": [["z", "oos"]]\n}\n'
    found = load(store, write(tmp_path / "data.json", data))
    assert next(store.batches(("response", "split", "dataset"))).rows() == [
        ("a", "val", "data"),
        ("oos", "oos_test", "data"),
    ]
    assert found.quarantined == {"not an object": 1}
    assert store.quarantine_rows()["line"].to_list() == [4]


def test_equal_bad_records_on_one_line_are_all_quarantined(tmp_path: Path, store: TrafficStore) -> None:
    found = load(store, write(tmp_path / "list.json", b'[null, null, ["x", "a"], null]'), format="records")
    assert (found.n_added, found.quarantined) == (1, {"not an object": 3})
    assert store.quarantine_counts() == {"not an object": 3}


def test_unknown_format_names_what_was_seen_and_what_is_known(tmp_path: Path, store: TrafficStore) -> None:
    path = write(tmp_path / "odd.jsonl", lines({"alpha": 1, "beta": 2}))
    with pytest.raises(BadInput, match=r"odd\.jsonl.*keys alpha, beta.*openai-log.*--format"):
        load(store, path)
    with pytest.raises(BadInput, match="Line 1: not JSON"):
        load(store, write(tmp_path / "odd.txt", b"<xml>\n"))
    with pytest.raises(BadInput, match="unknown format 'csv'"):
        load(store, path, format="csv")
    assert store.import_records() == ()


def test_nothing_is_written_where_one_of_several_files_cannot_be_read(tmp_path: Path, store: TrafficStore) -> None:
    good = write(tmp_path / "log.jsonl", lines(call(1)))
    with pytest.raises(NotFound, match="absent"):
        import_files([good, tmp_path / "absent.jsonl"], store)
    with pytest.raises(BadInput, match="no regular file"):
        import_files([good, tmp_path], store)
    assert len(store) == 0


def test_format_and_columns_can_be_given(tmp_path: Path, store: TrafficStore) -> None:
    path = write(tmp_path / "mts.csv", b'ID,head,said\n1,CC,"Doctor: hi\nPatient: hi"\n')
    found = load(store, path, input_column="said", output_column="head", dataset="sections")
    assert (found.format, found.n_added) == ("records", 1)
    row = next(store.batches()).row(0, named=True)
    assert (row["response"], row["dataset"], row["id"]) == ("CC", "sections", "sections:1")
    log = load(store, write(tmp_path / "x.jsonl", lines({"alpha": 1})), format="openai-log")
    assert log.quarantined == {"no messages": 1}


def test_dataset_is_the_files_name_without_endings() -> None:
    assert stem(Path("a/train.v2.jsonl.gz")) == "train"


# Encodings and packing


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.encode("utf-32"),
        lambda text: gzip.compress(text.encode()),
        lambda text: gzip.compress(text.encode("utf-16")),
        lambda text: text.replace("\n", "\r\n").encode(),
    ],
    ids=["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gzip", "gzip-utf-16", "crlf"],
)
def test_encodings_are_found_out(tmp_path: Path, store: TrafficStore, encode: Any) -> None:
    path = write(tmp_path / "log.jsonl", encode(lines(*(call(n) for n in range(50))).decode()))
    found = load(store, path)
    assert (found.n_added, found.n_quarantined) == (50, 0)
    assert "äöü" in next(store.batches(("messages",)))["messages"][0]


def test_other_encodings_can_be_named_and_unknown_ones_are_refused(tmp_path: Path, store: TrafficStore) -> None:
    path = write(tmp_path / "train.csv", "text,label\nköln,a\nbonn,b\n".encode("cp1252"))
    found = load(store, path)
    assert (found.n_added, found.quarantined) == (1, {"invalid UTF-8": 1})
    assert "byte 2 of the row" in store.quarantine_rows()["detail"][0]
    assert load(store, path, encoding="cp1252").n_added == 1
    with pytest.raises(BadInput, match="unknown encoding"):
        load(store, path, encoding="klingon")


def test_utf_16_cut_in_the_middle_of_a_character_loses_one_line(tmp_path: Path, store: TrafficStore) -> None:
    text = lines(call(1), call(2)).decode()
    found = load(store, write(tmp_path / "log.jsonl", text.encode("utf-16")[:-21]))
    assert (found.n_added, found.n_quarantined) == (1, 1)


def test_damaged_gzip_keeps_what_could_be_read(tmp_path: Path, store: TrafficStore) -> None:
    # Text that cannot be squeezed, so that a good part of it lies before the cut.
    packed = gzip.compress(lines(*(call(n, note=os.urandom(500).hex()) for n in range(200))))
    found = load(store, write(tmp_path / "log.jsonl.gz", packed[: len(packed) // 2]))
    assert 20 < found.n_added < 200
    assert "damaged gzip" in found.quarantined
    with pytest.raises(BadInput, match="gzip"):
        load(store, write(tmp_path / "bad.gz", b"\x1f\x8b" + b"rubbish" * 20))


# Bad lines


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"id": "x", "request": ', "truncated JSON"),
        (b'{"id": "x"', "truncated JSON"),
        (b"plain text", "not JSON"),
        (b"{'id': 1}", "not JSON"),
        (b'{"id": "\xff\xfe"}', "invalid UTF-8"),
        (b'{"id": "a\x00b"}', "NUL bytes"),
        (b"\x00" * 100, "NUL bytes"),
        (b"[1, 2]", "not an object"),
        (b"null", "not an object"),
        (b'"\\ud800"', "half a surrogate pair"),
        (b"[" * 100_000, "values too deep or too large"),
        (
            b'{"request": {"messages": "q", "temperature": ' + b"9" * 5_000 + b', "x": NaN}, "response": "a"}',
            "values too deep or too large",
        ),
        (b'{"request": {"messages": [1]}, "response": "x"}', "bad message"),
        (b'{"request": {"messages": []}, "response": "x"}', "no messages"),
    ],
)
def test_a_bad_line_is_quarantined_and_the_import_goes_on(
    tmp_path: Path, store: TrafficStore, bad: bytes, reason: str
) -> None:
    path = write(tmp_path / "log.jsonl", lines(call(1)) + bad + b"\n" + lines(call(2)))
    found = load(store, path)
    assert found.n_added == 2
    assert found.quarantined == {reason: 1}
    (row,) = store.quarantine_rows().rows(named=True)
    assert (row["path"], row["line"], row["reason"], row["size_bytes"]) == (str(path), 2, reason, len(bad) + 1)


def test_truncated_last_line(tmp_path: Path, store: TrafficStore) -> None:
    found = load(store, write(tmp_path / "log.jsonl", lines(call(1), call(2))[:-30]))
    assert (found.n_added, found.quarantined) == (1, {"truncated JSON": 1})


def test_nan_in_optional_fields_keeps_the_call(tmp_path: Path, store: TrafficStore) -> None:
    data = lines(
        call(1, cost_usd=float("nan"), latency_s=float("inf")), call(2, cost_usd=-1.0), call(3, cost_usd="0.5")
    )
    found = load(store, write(tmp_path / "log.jsonl", data))
    assert (found.n_added, found.n_quarantined) == (3, 0)
    assert found.warnings == {"cost_usd is not a number ≥ 0": 2, "latency_s is not a number ≥ 0": 1}
    assert next(store.batches(("cost_usd",)))["cost_usd"].to_list() == [None, None, 0.5]


def test_nul_characters_in_texts_are_replaced_and_counted(tmp_path: Path, store: TrafficStore) -> None:
    bad = json.loads(json.dumps(call(1)).replace("answer 1", "a\\u0000b"))
    found = load(store, write(tmp_path / "log.jsonl", lines(bad)))
    assert sum(found.warnings.values()) == 1
    assert answers(store) == ["a\ufffdb"]


def test_clock_going_backwards_is_no_fault(tmp_path: Path, store: TrafficStore) -> None:
    found = load(store, write(tmp_path / "log.jsonl", lines(call(2), call(1), call(0))))
    assert (found.n_added, found.warnings) == (3, {})


def test_a_fifty_megabyte_line_is_passed_over_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with path.open("wb") as file:
        file.write(lines(call(1)) + b'{"id": "')
        for _ in range(50):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n' + lines(call(2)))
    code = (
        "import resource, sys; from metier.sources import import_files; from metier.store.traffic import TrafficStore\n"
        f"store = TrafficStore({str(tmp_path / 'traffic.db')!r})\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"(found,) = import_files([{str(path)!r}], store, max_line_bytes=1_000_000).files\n"
        "assert (found.n_added, found.quarantined) == (2, {'line too long': 1}), found\n"
        "assert store.quarantine_rows()['size_bytes'].to_list() == [50_000_011]\n"
        "assert len(store.quarantine_rows()['excerpt'][0]) <= 2_000\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "assert grown < 40_000, grown\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["log.jsonl", "train.csv", "list.json"])
@pytest.mark.parametrize("data", [b"", b"\n \n\r\n", codecs.BOM_UTF8])
def test_empty_file_is_said_to_be_empty(tmp_path: Path, store: TrafficStore, name: str, data: bytes) -> None:
    found = load(store, write(tmp_path / name, data))
    assert (found.n_added, found.note) == (0, "the file is empty")


# CSV


def test_csv_line_numbers_count_lines_inside_quotes(tmp_path: Path, store: TrafficStore) -> None:
    data = b'id,text,label\r\n1,"two\r\nlines",a\r\n2,short\r\n3,"say ""hi"", ok",b\r\n4,x,\r\n5,"a\x00b",c\r\n'
    found = load(store, write(tmp_path / "train.csv", data))
    assert found.quarantined == {"bad CSV row": 1, "no output": 1, "NUL bytes": 1}
    assert dict(store.quarantine_rows().select("line", "reason").iter_rows()) == {
        4: "bad CSV row",
        6: "no output",
        7: "NUL bytes",
    }
    assert [json.loads(text)[0]["content"] for text in next(store.batches(("messages",)))["messages"]] == [
        "two\r\nlines",
        'say "hi", ok',
    ]


def test_csv_fields_longer_than_the_modules_own_limit(tmp_path: Path, store: TrafficStore) -> None:
    found = load(store, write(tmp_path / "train.csv", b"text,label\n" + b"x" * 500_000 + b",a\n"))
    assert (found.n_added, found.n_quarantined) == (1, 0)


def test_csv_quote_that_never_closes_costs_no_more_than_the_limit(tmp_path: Path, store: TrafficStore) -> None:
    rows = b"".join(b"text %d,label\n" % number for number in range(1_000))
    data = b'text,label\ngood,a\n"open,b\n' + rows
    found = load(store, write(tmp_path / "train.csv", data), max_line_bytes=2_000)
    assert found.quarantined == {"line too long": 1}
    assert store.quarantine_rows()["line"].to_list() == [3]
    assert found.n_added > 800


# Repeats


def test_importing_again_adds_nothing_under_any_name(tmp_path: Path, store: TrafficStore) -> None:
    data = lines(*(call(n) for n in range(20))) + b"broken\n"
    load(store, write(tmp_path / "log.jsonl", data))
    before = store.id
    for name in ("log.jsonl", "copy.jsonl"):
        again = load(store, write(tmp_path / name, data))
        assert (again.n_added, again.n_present, again.already_imported) == (0, 20, True)
    assert (store.id, len(store)) == (before, 20)
    assert store.quarantine_counts() == {"not JSON": 1}


def test_a_grown_file_adds_what_is_new_and_quarantines_nothing_twice(tmp_path: Path, store: TrafficStore) -> None:
    path = write(tmp_path / "log.jsonl", lines(call(1)) + b"broken\n" + lines(call(2))[:40])
    first = load(store, path)
    assert (first.n_added, first.n_quarantined) == (1, 2)
    second = load(store, write(path, lines(call(1)) + b"broken\n" + lines(call(2), call(3))))
    assert (second.n_added, second.n_present, second.quarantined) == (2, 1, {"not JSON": 1})
    assert store.quarantine_counts() == {"not JSON": 1, "truncated JSON": 1}


def test_same_call_in_two_files_and_contradicting_calls(tmp_path: Path, store: TrafficStore) -> None:
    other = call(1, response="another answer")
    one, two = (
        write(tmp_path / "a.jsonl", lines(call(1), call(2))),
        write(tmp_path / "b.jsonl", lines(call(2), other, call(3))),
    )
    report = import_files([one, two], store)
    assert (report.n_added, report.n_present, report.n_traces) == (3, 1, 3)
    assert report.files[1].quarantined == {DUPLICATE_ID: 1}
    assert report.traffic_id == store.id
    (row,) = store.quarantine_rows().rows(named=True)
    assert (row["path"], row["line"]) == (str(two), 2)
    assert "another answer" in row["excerpt"]


def test_judgements_of_a_later_export_are_taken_over(tmp_path: Path, store: TrafficStore) -> None:
    load(store, write(tmp_path / "a.jsonl", lines(call(1), call(2))))
    before = store.id
    found = load(store, write(tmp_path / "b.jsonl", lines(call(1, feedback="wrong", correction="right one"))))
    assert (found.n_added, found.n_present, found.n_judged) == (0, 1, 1)
    assert store.id != before


# Runs that are cut off


def _import_in_process(log: Path, database: Path, preamble: str = "") -> subprocess.Popen[str]:
    code = (
        f"{preamble}\n"
        "from metier.sources import import_files; from metier.store.traffic import TrafficStore\n"
        f"store = TrafficStore({str(database)!r})\n"
        f"import_files([{str(log)!r}], store, progress=lambda text, done, total: print(text, done, flush=True))\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _big_log(path: Path, n: int) -> Path:
    with path.open("wb") as file:
        for number in range(n):
            file.write(b"broken\n" if number % 1_000 == 7 else lines(call(number)))
    return path


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_import_is_resumed_and_equals_an_undisturbed_one(tmp_path: Path, how: signal.Signals) -> None:
    n = 3 * BATCH_ITEMS
    log, database = _big_log(tmp_path / "log.jsonl", n), tmp_path / "traffic.db"
    process = _import_in_process(log, database)
    assert process.stdout is not None
    while "import" not in process.stdout.readline():
        pass
    time.sleep(0.05)
    process.send_signal(how)
    process.communicate()
    assert process.returncode != 0
    with TrafficStore(database) as store:
        partly = len(store)
        assert 0 < partly < n
        assert not store.import_records()[0].done
        found = load(store, log)
        assert found.resumed_at % BATCH_ITEMS == 0
        assert found.resumed_at > 0
        assert found.n_added == n - n // 1_000 - partly
        assert store.quarantine_counts() == {"not JSON": n // 1_000}
        assert load(store, log).already_imported
        with TrafficStore(tmp_path / "fresh.db") as fresh:
            load(fresh, log)
            assert (fresh.id, answers(fresh)) == (store.id, answers(store))


def test_gzip_of_several_members_is_read_to_its_end(tmp_path: Path, store: TrafficStore) -> None:
    packed = b"".join(gzip.compress(lines(call(n))) for n in range(5)) + b"\x00" * 100
    found = load(store, write(tmp_path / "log.jsonl.gz", packed))
    assert (found.n_added, found.n_quarantined) == (5, 0)


def test_a_full_disk_stops_the_import_and_the_next_run_goes_on(tmp_path: Path, store: TrafficStore) -> None:
    log, database = tmp_path / "log.jsonl", tmp_path / "full.db"
    n = BATCH_ITEMS + 6_000
    with log.open("wb") as file:
        for number in range(n):
            file.write(lines(call(number, correction="x" * (0 if number < BATCH_ITEMS else 2_000))))
    # The first batch needs about 4 MB, the second 14.
    preamble = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8_000_000, resource.RLIM_INFINITY))"
    process = _import_in_process(log, database, preamble)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert MetierError.__name__ in errors
    assert "free some space" in errors
    with TrafficStore(database) as full:
        assert len(full) == BATCH_ITEMS
        found = load(full, log)
        assert (found.resumed_at, found.n_added) == (BATCH_ITEMS, 6_000)
        load(store, log)
        assert full.id == store.id


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
def test_a_file_name_that_is_no_text(tmp_path: Path, store: TrafficStore) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl"))
    found = load(store, write(path, lines(call(1), 5, {"text": "x", "label": "a"})), format="records")
    assert found.path.endswith("caf\ufffd.jsonl")
    assert store.quarantine_counts(found.path) == {"no input": 1, "not an object": 1}


def test_progress_ends_at_the_files_size(tmp_path: Path, store: TrafficStore) -> None:
    seen: list[tuple[str, int, int | None]] = []
    path = write(tmp_path / "log.jsonl", lines(*(call(n) for n in range(10))))
    load(store, path, progress=lambda text, done, total: seen.append((text, done, total)))
    size = path.stat().st_size
    assert seen[0] == ("check log.jsonl", size, size)
    assert seen[-1] == ("import log.jsonl", size, size)
