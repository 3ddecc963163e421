"""Public data as labelled chats: from small files of the same shape and, where METIER_DATA has them, the real ones."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

from metier.errors import BadInput, NotFound
from metier.labs import lener, mts_dialog, sroie
from metier.labs.__main__ import main
from metier.labs.corpora import Corpus
from metier.labs.dealing import deal
from metier.labs.receipts import Box, parse_boxes, reading_order
from metier.labs.registry import CORPORA
from metier.metrics.schemas import record_checker
from metier.sources.importing import import_files
from metier.store.traffic import TrafficStore

DATA = Path(os.environ.get("METIER_DATA", "../shared/data"))
SIZES = {
    "sroie": {"train": 398, "tune": 63, "calibration": 63, "test": 100},
    "mts-sections": {"train": 1201, "validation": 100, "test": 400},
    "mts-notes": {"train": 1201, "validation": 100, "test": 400},
    "lener": {"train": 2542, "validation": 456, "test": 501},
}


def answer(chat: dict[str, object]) -> str:
    messages = chat["messages"]
    assert isinstance(messages, list)
    return str(messages[-1]["content"])


def assert_sound(corpus: Corpus) -> None:
    sides = defaultdict(set)
    for chat in corpus.chats:
        assert [message["role"] for message in chat["messages"]] == ["system", "user", "assistant"]
        assert all(message["content"].strip() for message in chat["messages"])
        sides[chat["group"]].add(chat["split"])
    assert len({chat["id"] for chat in corpus.chats}) == len(corpus.chats)
    assert all(len(splits) == 1 for splits in sides.values())


@pytest.mark.parametrize("name", CORPORA)
def test_the_real_data(name: str) -> None:
    reader = CORPORA[name]
    if not (DATA / reader.folder).is_dir():
        pytest.skip(f"METIER_DATA has no {reader.folder}")
    corpus = reader.read(DATA / reader.folder, 0)
    assert_sound(corpus)
    assert corpus.split_sizes() == SIZES[name]
    assert reader.read(DATA / reader.folder, 0) == corpus


def test_reading_order_puts_boxes_of_one_height_on_one_line() -> None:
    boxes = parse_boxes(
        [
            "300,12,350,12,350,30,300,30,9.00",
            "10,10,90,10,90,28,10,28,TOTAL, RM",
            "10,60,90,60,90,80,10,80,THANKS",
            "no box",
        ]
    )
    assert boxes[1] == Box(10, 10, 90, 28, "TOTAL, RM")
    assert reading_order(boxes) == "TOTAL, RM  9.00\nTHANKS"
    # Lines set so tightly that their boxes overlap are lines all the same.
    assert reading_order([Box(0, 14, 80, 34, "two"), Box(0, 0, 80, 20, "one")]) == "one\ntwo"
    assert reading_order([]) == ""


def test_groups_are_dealt_whole_and_large_ones_are_not_held_out() -> None:
    groups = ["big"] * 40 + [f"g{i // 2}" for i in range(160)]
    splits = deal(groups, {"tune": 20, "test": 40}, "train", largest=10, seed=3)
    assert {split: splits.count(split) for split in set(splits)} == {"train": 140, "tune": 20, "test": 40}
    assert set(splits[:40]) == {"train"}
    assert all(first == second for first, second in zip(splits[40::2], splits[41::2], strict=True))
    assert deal(groups, {"tune": 20, "test": 40}, "train", largest=10, seed=3) == splits
    assert deal(groups, {"tune": 20, "test": 40}, "train", largest=10, seed=4) != splits


def test_companies_that_are_misread_or_branches_are_one() -> None:
    names = [
        "BOOK TA .K SDN BHD",
        "BOOK TA K SDN. BHD.",
        "DOMINO'S PIZZA",
        "DOMINO'S PIZZA TAMAN UNIVERSITI",
        "AEON CO",
    ]
    first, second, third, fourth, fifth = sroie.companies(names)
    assert first == second
    assert third == fourth
    assert len({first, third, fifth}) == 3


@pytest.fixture
def receipts(tmp_path: Path) -> Path:
    for folder in ("key", "box"):
        (tmp_path / "sroie" / folder).mkdir(parents=True)
    for i in range(300):
        fields = {
            "company": hashlib.sha256(bytes([i // 2])).hexdigest()[:12].upper(),
            "date": "01/02/2018",
            "address": f"{i} ROAD",
            "total": "9.00",
        }
        if i == 7:
            fields["total"] = " "
        if i == 8:
            del fields["address"]
        lines = [
            f"0,{20 * n},90,{20 * n},90,{20 * n + 15},0,{20 * n + 15},{text}" for n, text in enumerate(fields.values())
        ]
        (tmp_path / f"sroie/key/{i:03}.json").write_text(json.dumps(fields))
        (tmp_path / f"sroie/box/{i:03}.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_receipts_become_chats_that_can_be_imported(
    receipts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = sroie.labelled(receipts / "sroie")
    assert_sound(corpus)
    assert corpus.reasons() == {"the truth has no total": 1, "the truth has no address": 1}
    assert {name: n for name, n in corpus.split_sizes().items() if name != "train"} == sroie.SIZES
    first = corpus.chats[0]
    assert first["messages"][1]["content"] == "6E340B9CFFB3\n01/02/2018\n0 ROAD\n9.00"
    check = record_checker({"type": "object", "required": list(sroie.FIELDS)})
    assert check(json.loads(answer(first))) is None

    out = tmp_path / "receipts.jsonl"
    assert main(["sroie", "--data", str(receipts), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "298 labelled chats" in said
    assert "left out: 1, the truth has no total" in said
    with TrafficStore(tmp_path / "traffic.db") as store:
        report = import_files([out], store)
    assert (report.n_added, report.n_quarantined) == (298, 0)
    assert report.files[0].dataset == "receipts"


def test_data_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for reader in CORPORA.values():
        with pytest.raises(NotFound, match="METIER_DATA"):
            reader.read(tmp_path, 0)
    assert main(["lener", "--data", str(tmp_path)]) == 1
    assert "METIER_DATA" in capsys.readouterr().err


def test_conversations_become_labels_and_notes(tmp_path: Path) -> None:
    for file in mts_dialog.SPLITS:
        rows = ['0,CC,"Cough,\n  and fever.","Doctor: Hi. \r\n\r\n Patient: Cough."', "1,ROS,,x"]
        (tmp_path / file).write_text("\n".join(["ID,section_header,section_text,dialogue", *rows, ""]))
    sections, notes = mts_dialog.sections(tmp_path), mts_dialog.notes(tmp_path)
    assert_sound(sections)
    assert [answer(chat) for chat in sections.chats[:2]] == ["CC", "ROS"]
    assert sections.chats[0]["messages"][1]["content"] == "Doctor: Hi.\nPatient: Cough."
    assert answer(notes.chats[0]) == "Cough, and fever."
    assert notes.reasons() == {"no answer": 4}
    (tmp_path / next(iter(mts_dialog.SPLITS))).write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match="section_header"):
        mts_dialog.notes(tmp_path)


def test_sentences_become_paragraphs_with_their_entities(tmp_path: Path) -> None:
    tagged = "O O\nMinistro O\nLuiz B-PESSOA\nFux I-PESSOA\n( O\nSTF B-ORGANIZACAO\n) O\n. O\n"
    filler = "\n\n".join("palavra O\n" * 30 for _ in range(4))
    for name in lener.SPLITS:
        (tmp_path / f"{name}.conll").write_text(f"{tagged}\n{filler}\n\nEMENTA O\n: O\n{tagged}", encoding="utf-8")
    corpus = lener.labelled(tmp_path)
    assert_sound(corpus)
    train = [chat for chat in corpus.chats if chat["split"] == "train"]
    assert train[0]["messages"][1]["content"].startswith("O Ministro Luiz Fux (STF). palavra")
    assert json.loads(answer(train[0])) == {"pessoa": ["Luiz Fux"], "organizacao": ["STF"]}
    assert [json.loads(answer(chat)) for chat in train[1:-1]] == [{}]
    # An opening begins a new document.
    assert train[-1]["messages"][1]["content"].startswith("EMENTA: O Ministro")
    assert train[-1]["group"] != train[0]["group"]
    (tmp_path / "dev.conll").write_text("Luiz B-ROBOT\n")
    with pytest.raises(BadInput, match="B-ROBOT"):
        lener.labelled(tmp_path)
