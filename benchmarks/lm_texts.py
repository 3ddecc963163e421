"""The language-model student beyond receipts: a label, a text and lists of entities, each learnt from people's answers.

    python benchmarks/lm_texts.py --out lm-texts.json [--only sections notes lener] [--base gemma3-270m] [--again] [--quick]

- sections: MTS-Dialog, which section of the note a doctor's conversation belongs to; beside the students linear and encoder
- notes: MTS-Dialog, the text of that section
- lener: LeNER-Br, the entities of a legal paragraph

Of each a bounded part: 400 examples to learn from and 100 to test. Each is a project in bench-results/projects/lm-texts
that is run through the command line with the settings of lm_sroie.py: data, import, audit, curate, train, evaluate,
calibrate. What writes texts also learns from its own mistakes, where the tune split shows some (preference tuning). No
generalist: nobody's recorded answers, no key.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import lm_project
from lm_project import Found
from lm_sroie_figures import seconds, shown, tokens
from metier.artefacts.evaluations import CandidateScore
from metier.artefacts.specialists import Card
from metier.artefacts.tasks import OutputKind

PROJECTS = Path(__file__).parent.parent / "bench-results" / "projects"
# The instructions are dropped unasked: to ask takes a good part of the time of all else.
_TRAINING = ("--baking", "bake")
_PART = {"train": 400, "validation": 120, "test": 100}
_FEW = {"train": 40, "validation": 12, "tune": 6, "calibration": 6, "test": 6}


@dataclass(frozen=True)
class Job:
    """A corpus of `metier.labs` and the students that learn it."""

    title: str
    corpus: str
    students: tuple[str, ...] = ("lm",)
    preference: str = "off"


JOBS = {
    "sections": Job("MTS-Dialog, section header (label)", "mts-sections", ("linear", "encoder", "lm")),
    "notes": Job("MTS-Dialog, section text (text)", "mts-notes", preference="auto"),
    "lener": Job("LeNER-Br, entities (fields)", "lener"),
}


def stages(job: Job, base: str, quick: bool) -> list[tuple[str, Sequence[str]]]:
    """The stages from the data to the certificate."""
    most = _FEW if quick else _PART
    file = f"{job.corpus}.jsonl"
    training = (
        (*lm_project.QUICK_TRAINING, "--epochs", "1")
        if quick
        else ("--base", base, *_TRAINING, "--preference", job.preference)
    )
    students = ("--students", ",".join(job.students))
    return [
        ("data", lm_project.corpus(job.corpus, "all.jsonl")),
        ("take a part", lm_project.thinned("all.jsonl", file, most)),
        ("import", lm_project.metier("import", file)),
        ("audit", lm_project.metier("audit")),
        ("curate", lm_project.metier("curate", job.corpus, *(("--min-split-size", "2") if quick else ()))),
        ("train", lm_project.metier("train", job.corpus, *students, *training, "--accept-licence", "gemma")),
        ("evaluate", lm_project.metier("evaluate", job.corpus, "--backend", "none")),
        ("calibrate", lm_project.metier("calibrate", job.corpus, "--student", "lm")),
    ]


def section(job: Job, found: Found) -> str:
    """One job as Markdown: a row a student."""
    dataset = found.inputs.dataset
    assert dataset is not None, "it was evaluated"
    sizes = dict(dataset.examples["split"].value_counts().rows())
    splits = ", ".join(f"{name} {sizes.get(name, 0)}" for name in ("train", "tune", "calibration", "test"))
    heads, cells = _SCORES[found.evaluation.kind]
    lines = [
        f"### {job.title}",
        "",
        f"{splits}. {found.evaluation.summary}",
        "",
        f"| student | n | failed | {' | '.join(heads)} | training s | answers' build | size MB | latency p50 s | p95 s |",
        f"|---|---|---|{'---|' * len(heads)}---|---|---|---|---|",
    ]
    for name, card in found.cards.items():
        one = found.candidate(name)
        row = [
            name, str(one.n), str(one.n_failed), *cells(one), f"{card.train_wall_s:,.0f}", card.precision,
            f"{_size(card) / 1e6:.1f}", seconds(one.latency.p50_s), seconds(one.latency.p95_s),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, "", *_remarks(found)])


def _label_cells(one: CandidateScore) -> list[str]:
    return [shown(one.accuracy), shown(one.macro_f1)]


def _record_cells(one: CandidateScore) -> list[str]:
    records, writing = one.records, one.writing
    assert records is not None
    assert writing is not None
    scores = (records.micro_f1, records.macro_f1, records.whole_record, writing.valid, records.ungrounded)
    return [*map(shown, scores), f"{round(writing.degenerate.value * writing.n)} of {writing.n}"]


def _text_cells(one: CandidateScore) -> list[str]:
    texts, writing = one.texts, one.writing
    assert texts is not None
    assert writing is not None
    stuck = (writing.degenerate, writing.cut_off)
    scores = (texts.rouge_l, texts.token_f1, texts.levenshtein, one.accuracy)
    return [*map(shown, scores), *(f"{round(share.value * writing.n)} of {writing.n}" for share in stuck)]


# What is shown of each kind of output, and what reads it off a candidate.
_SCORES = {
    OutputKind.LABEL: (("accuracy", "macro F1"), _label_cells),
    OutputKind.FIELDS: (
        ("micro F1", "macro F1", "whole record", "valid", "ungrounded", "degenerate"),
        _record_cells,
    ),
    OutputKind.TEXT: (
        ("ROUGE-L F1", "token F1", "Levenshtein ratio", "acceptable", "degenerate", "cut off"),
        _text_cells,
    ),
}


def _size(card: Card) -> int:
    """Bytes of what answers: of a language model the served build alone."""
    model = card.language_model
    return dict(model.builds)[model.served] if model else card.size_bytes


def _remarks(found: Found) -> Iterator[str]:
    model = found.cards["lm"].language_model
    assert model is not None, "the student is a language model"
    yield (
        f"- lm: {found.cards['lm'].base_model}, vocabulary {model.n_vocabulary_base:,} tokens before, "
        f"{model.n_vocabulary:,} after; {tokens(model.prompt_tokens_saved)} prompt tokens saved a call ({model.baking}); "
        f"peak memory while tuning {model.peak_memory_bytes / 2**30:.2f} GiB. Parity: {model.parity}."
    )
    yield f"- Preference tuning: {model.preference}. Refit: {model.refit or 'none'}"
    policy = found.inputs.policy
    if policy is not None and policy.certificate is not None:
        given = policy.certificate
        kept = f"kept {shown(given.coverage)}, wrong {given.n_wrong} of {given.n_kept}"
        yield f"- lm's certificate at α = {given.alpha:g}: given; {kept}, n = {given.n}."
    elif policy is not None:
        yield f"- lm's certificate: none. {policy.reason}"
    taken = ", ".join(f"{stage.name} {stage.wall_s:,.0f}" for stage in found.stages)
    yield f"- Seconds of each stage: {taken}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--base", default="gemma3-270m")
    parser.add_argument("--collect", action="store_true", help="read the projects as they are and run nothing")
    parser.add_argument("--again", action="store_true", help="forget the projects that were run before")
    parser.add_argument("--quick", action="store_true", help="a few dozen examples, the smallest base, one epoch")
    arguments = parser.parse_args()
    content, sections = {}, []
    for name in arguments.only:
        job, folder = JOBS[name], PROJECTS / ("lm-texts-quick" if arguments.quick else "lm-texts") / name
        if not arguments.collect:
            if arguments.again or arguments.quick:
                shutil.rmtree(folder, ignore_errors=True)
            lm_project.run_stages(folder, stages(job, arguments.base, arguments.quick))
        found = lm_project.read_project(folder, job.corpus)
        content[name] = lm_project.plain(found)
        sections.append(section(job, found))
    arguments.out.write_text(json.dumps(content, indent=1))
    print("One run each. Intervals: 95%.\n")
    print("\n\n".join(sections))


if __name__ == "__main__":
    main()
