"""MTS-Dialog (Ben Abacha et al., EACL 2023): short conversations of doctors with patients, each with the section of the
clinical note that a person wrote from it. Two tasks: which section it belongs to, and what the section says.

Read are the files of the data's own splits: training, validation (for tuning and calibration) and both test sets.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from metier.errors import BadInput
from metier.labs.corpora import Corpus, LeftOut, chat, need

NAME = "mts-dialog"
SPLITS = {
    "MTS-Dialog-TrainingSet.csv": ("train", "train"),
    "MTS-Dialog-ValidationSet.csv": ("validation", "val"),
    "MTS-Dialog-TestSet-1-MEDIQA-Chat-2023.csv": ("test", "test1"),
    "MTS-Dialog-TestSet-2-MEDIQA-Sum-2023.csv": ("test", "test2"),
}
_COLUMNS = ("section_header", "section_text", "dialogue")
# What each section holds, in the order in which the prompt lists them.
SECTIONS = {
    "FAM/SOCHX": "family history and social history: illnesses of relatives, tobacco, alcohol, drugs, job, home",
    "GENHX": "history of present illness: what brought the patient here, since when, how it went on",
    "PASTMEDICALHX": "past medical history: earlier and chronic illnesses",
    "CC": "chief complaint: the reason for the visit in a few words",
    "PASTSURGICAL": "past surgical history: operations the patient has had",
    "ALLERGY": "allergies and reactions to drugs",
    "ROS": "review of systems: symptoms asked for one organ after another",
    "MEDICATIONS": "drugs the patient takes now, with doses",
    "ASSESSMENT": "the doctor's assessment of the findings",
    "EXAM": "findings of the physical examination",
    "DIAGNOSIS": "diagnoses",
    "DISPOSITION": "where the patient goes from here and in what condition",
    "PLAN": "what is to be done",
    "EDCOURSE": "what happened in the emergency department",
    "IMMUNIZATIONS": "vaccinations",
    "IMAGING": "X-ray, CT, MRI and ultrasound findings",
    "GYNHX": "gynaecologic and obstetric history",
    "PROCEDURES": "procedures done",
    "OTHER_HISTORY": "history that fits no other section",
    "LABS": "laboratory results",
}
_LISTED = "\n".join(f"{name}: {meaning}" for name, meaning in SECTIONS.items())
SECTION_SYSTEM = f"""\
You file parts of conversations between a doctor and a patient into the clinical note. You get one part of a \
conversation, as it was transcribed. Decide which section of the note it belongs to and answer with the section's \
header alone, exactly as written below, without quotes, explanation or full stop.

Headers:
{_LISTED}

If the part touches several sections, take the one that most of what the patient and the doctor say is about. Small \
talk does not count. A list of symptoms asked one after the other is ROS, the story of the present complaint is \
GENHX."""
NOTE_SYSTEM = """\
You are a medical scribe. You get one part of a conversation between a doctor and a patient, as it was transcribed, \
and write the text of the section of the clinical note that it belongs to.

Write what a physician would write into the record: in the third person, in complete and sober sentences or, for \
lists of drugs, allergies and the like, in the usual short form. State only what the conversation says. Do not add \
findings, diagnoses, doses or dates that are not in it; do not leave out what is negated ("denies chest pain"). Use \
medical terms where the patient uses everyday words. No heading, no greeting, no bullet points, no comment on the \
conversation.

Answer with the text of the section and nothing else."""


def sections(folder: Path, seed: int = 0) -> Corpus:
    """Conversations with the section they belong to. Splits are the data's own, so `seed` changes nothing. Raises NotFound
    where the files are not there, BadInput where they are not MTS-Dialog's."""
    del seed
    return _chats(folder, SECTION_SYSTEM, lambda header, _: header)


def notes(folder: Path, seed: int = 0) -> Corpus:
    """Conversations with the text that a person wrote of them; else as `sections`."""
    del seed
    return _chats(folder, NOTE_SYSTEM, lambda _, text: text)


def _chats(folder: Path, system: str, answer: Callable[[str, str], str]) -> Corpus:
    chats, left_out = [], []
    for id_, split, header, text, dialogue in _rows(folder):
        wanted = answer(header, text)
        if not dialogue or not wanted:
            left_out.append(LeftOut(id_, "no conversation" if not dialogue else "no answer"))
        else:
            chats.append(chat(f"mts-{id_}", system, dialogue, wanted, split=split, group=id_))
    return Corpus(tuple(chats), tuple(left_out))


def _rows(folder: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """(id, split, section, text, conversation) of every row; lines of conversations without outer white space."""
    need([folder / file for file in SPLITS], NAME)
    for file, (split, short) in SPLITS.items():
        with (folder / file).open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            if not {"ID", *_COLUMNS} <= set(rows.fieldnames or ()):
                raise BadInput(f"{folder / file} is not MTS-Dialog: it needs the columns ID, {', '.join(_COLUMNS)}")
            for row in rows:
                header, text, dialogue = (row[name] or "" for name in _COLUMNS)
                said = "\n".join(stripped for line in dialogue.splitlines() if (stripped := line.strip()))
                yield f"{short}-{row['ID']}", split, header.strip(), " ".join(text.split()), said
