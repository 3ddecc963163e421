"""A teacher beside the answers: its labels are those of all that is tuned on, in that order; asked once; learnt from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.students.lm.tiny_models import wide_tokenizer, write_tiny

from metier.artefacts.tasks import OutputKind, Template, TemplateMessage
from metier.errors import BadInput, LicenceNotAccepted
from metier.progress import Progress, silent
from metier.students import LabelledTexts, LmStudent, TaskSpec
from metier.students.lm.bases import find_base
from metier.students.lm.coding import coder_for
from metier.students.lm.distilling import open_reader, shares_tokenizer, soft_labels
from metier.students.lm.material import Material
from metier.students.lm.parts import Base, Trimmed
from metier.students.lm.phases import open_phases
from metier.students.lm.prompts import baked_form, full_form
from metier.students.lm.settings import LmSettings
from metier.students.lm.teacher import ask_teacher, find_models
from metier.students.lm.training import Job, context_of, cut_vocabulary, encode_splits, tune_on

pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("transformers", reason="needs the [train] extra")

MakeModel = Callable[[str], Path]
TEXT = TaskSpec(OutputKind.TEXT)
PROMPT = "Write the sum of the receipt and nothing else.\n\n"
INSTRUCTED = TaskSpec(OutputKind.TEXT, None, Template("t", (TemplateMessage("user", (PROMPT, "")),), 9))


def texts(n: int, begin: int = 0) -> LabelledTexts:
    inputs = tuple(f"the total of shop {i} is {i}.50" for i in range(begin, begin + n))
    return LabelledTexts(inputs, tuple(f"{i}.50" for i in range(begin, begin + n)), inputs)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METIER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def models(tiny_model: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A base and a teacher of its family, free to use."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("base", "teacher"):
        shutil.copytree(tiny_model("llama"), folder / name)
        (folder / name / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    move_weights(folder / "teacher")
    return str(folder / "base"), str(folder / "teacher")


@pytest.fixture(scope="module")
def wide_models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A base and a teacher with a vocabulary of which the examples need a part."""
    folder = tmp_path_factory.mktemp("wide")
    # Greek is no part of the examples: its tokens are cut.
    greek = ["".join(pair) for pair in product("αβγδεζηθικλμνξοπρστυφχψω", repeat=2)]
    tokenizer = wide_tokenizer([*texts(40).inputs, *greek], 700)
    for seed, name in enumerate(("base", "teacher")):
        write_tiny(folder / name, seed=seed, spread=0.2, tokenizer=tokenizer)
        (folder / name / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return str(folder / "base"), str(folder / "teacher")


def move_weights(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    draws = torch.Generator().manual_seed(3)
    weights = load_file(folder / "model.safetensors")
    moved = {name: w + 0.2 * torch.randn(w.shape, generator=draws, dtype=w.dtype) for name, w in weights.items()}
    save_file(moved, folder / "model.safetensors", {"format": "pt"})


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **fields}), encoding="utf-8")


def job_of(
    models: tuple[str, str], work: Path, task: TaskSpec = TEXT, progress: Progress = silent, **options: Any
) -> tuple[Job, Base]:
    base, teacher = models
    settings = LmSettings(base=base, teacher=teacher, epochs=2, **{"trainings": 1, **options})
    found, taught_by = find_models(settings, texts(24), silent)
    phases, n_context = open_phases(work, "r"), context_of(settings, found)
    variants = texts(12, 40)
    return Job(
        texts(24), texts(6, 30), task, (), settings, 0, phases, progress, n_context, False, variants, taught_by
    ), found


def prepared(job: Job, base: Base) -> tuple[Trimmed, Material]:
    form = baked_form(job.task, base.folder)
    trimmed = cut_vocabulary(job, base, (full_form(job.task, base.folder), form))
    return trimmed, encode_splits(job, trimmed, form)


def test_labels_are_those_of_all_that_is_tuned_on(wide_models: tuple[str, str], tmp_path: Path) -> None:
    job, base = job_of(wide_models, tmp_path / "work")
    trimmed, material = prepared(job, base)
    assert trimmed.mode == "trim"
    taught = ask_teacher(job, trimmed, material)
    assert job.teacher is not None
    encoded = (*material.train, *material.variants)
    wanted = soft_labels(job.teacher.folder, base.folder, encoded, trimmed.kept)
    assert taught.soft is not None
    assert len(taught.soft.tokens) == 36
    for found, one in zip(taught.soft.tokens, wanted.tokens, strict=True):
        np.testing.assert_array_equal(found, one)
    for logprobs, those in zip(taught.soft.logprobs, wanted.logprobs, strict=True):
        np.testing.assert_array_equal(logprobs, those)
    assert "token probabilities of teacher on 36 answers, share 0.5 of the loss" in taught.notes[0]
    assert "apache-2.0" in taught.notes[-1]


def test_a_teacher_makes_other_weights(wide_models: tuple[str, str], tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    job, base = job_of(wide_models, tmp_path / "work")
    trimmed, material = prepared(job, base)
    plain = tune_on(replace(job, phases=open_phases(tmp_path / "plain", "r"), teacher=None), trimmed, material)
    taught = tune_on(job, trimmed, material, ask_teacher(job, trimmed, material).soft)
    ours, theirs = (load_file(one.folder / "model.safetensors") for one in (taught, plain))
    assert any((ours[name] != theirs[name]).any() for name in ours)
    assert all(np.isfinite(one).all() for one in ours.values())


def test_what_was_asked_is_not_asked_again(models: tuple[str, str], tmp_path: Path) -> None:
    def stop(description: str, done: int, total: int | None) -> None:
        if description == "Reading the teacher" and done == 5:
            raise KeyboardInterrupt

    job, base = job_of(models, tmp_path / "work", progress=stop)
    trimmed, material = prepared(job, base)
    with pytest.raises(KeyboardInterrupt):
        ask_teacher(job, trimmed, material)
    job = replace(job, progress=silent)
    first = ask_teacher(job, trimmed, material)
    assert job.teacher is not None
    gone = replace(job, teacher=replace(job.teacher, folder=tmp_path / "gone"))
    again = ask_teacher(gone, trimmed, material)
    assert again.notes == first.notes
    assert first.soft is not None
    assert again.soft is not None
    for found, one in zip(again.soft.tokens, first.soft.tokens, strict=True):
        np.testing.assert_array_equal(found, one)


def test_the_teacher_is_asked_as_it_answers_best(models: tuple[str, str], tmp_path: Path) -> None:
    from metier.students.lm.likelihood import negative_loglikelihoods

    job, base = job_of(models, tmp_path / "work", INSTRUCTED, vocabulary="keep", variants="off")
    job = replace(job, variants=texts(0))
    trimmed, material = prepared(job, base)
    taught = ask_teacher(job, trimmed, material)
    assert job.teacher is not None
    teacher = job.teacher.folder
    nats = {}
    for name, form in (("with", full_form(job.task, teacher)), ("without", baked_form(job.task, teacher))):
        encoded = coder_for(teacher, form).encode(job.train.inputs, job.train.labels)
        n_tokens = sum(len(one.ids) - one.n_prompt for one in encoded)
        nats[name] = negative_loglikelihoods(teacher, encoded).sum() / n_tokens
    best = min(nats, key=lambda name: nats[name])
    assert f"asked {best} the prompt's instructions, it finds those answers at {nats[best]:.3f} nats" in taught.notes[0]


def test_answers_that_a_teacher_cannot_read_are_learnt_without_it(models: tuple[str, str], tmp_path: Path) -> None:
    teacher = tmp_path / "short"
    shutil.copytree(models[1], teacher)
    job, base = job_of((models[0], str(teacher)), tmp_path / "work")
    trimmed, material = prepared(job, base)
    assert job.teacher is not None
    longest = max(len(one.ids) for one in material.train)
    folder = tmp_path / "brief"
    shutil.copytree(job.teacher.folder, folder)
    change(folder / "config.json", max_position_embeddings=longest - 1)
    brief = replace(job, teacher=replace(job.teacher, folder=folder))
    taught = ask_teacher(brief, trimmed, material)
    assert taught.soft is not None
    n_left = sum(len(one.ids) >= longest for one in (*material.train, *material.variants))
    assert 0 < n_left < 36
    assert sum(tokens.shape[1] == 0 for tokens in taught.soft.tokens) == n_left
    assert taught.notes[1].startswith(f"{n_left} of 36 answers were learnt without the teacher")
    assert np.isfinite([point.tune_loss for point in tune_on(brief, trimmed, material, taught.soft).curve]).all()
    change(folder / "config.json", max_position_embeddings=2)
    with pytest.raises(BadInput, match="none of the examples"):
        ask_teacher(replace(brief, phases=open_phases(tmp_path / "none", "r")), trimmed, material)


def test_the_end_of_an_answer_may_be_another_token(models: tuple[str, str]) -> None:
    from metier.students.lm.distilling import Asked

    places = np.array([9, 1, 2, 30], dtype=np.int64)
    reader = open_reader(find_base(models[1]).folder, places, "float32", "cpu")
    asked = Asked([9, 30], [0, 3, 1])
    plain = reader.logprobs(asked)
    ended = reader.ending(1, 2).logprobs(asked)  # the student ends with its token 1, the teacher with the base's 2
    np.testing.assert_allclose(ended[:, [0, 2, 1, 3]], plain, atol=1e-6)
    outside = reader.ending(1, 77).logprobs(asked)  # where the student's vocabulary lacks the teacher's end
    np.testing.assert_allclose(outside.exp().sum(1), 1.0, atol=1e-5)
    assert (outside[:, 1] != plain[:, 1]).all()


def test_a_teacher_of_another_family_is_refused(models: tuple[str, str], tiny_model: MakeModel, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_model("gemma3_text"), other)
    (other / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    options = {"base": models[0], "teacher": str(other)}
    with pytest.raises(
        BadInput, match=rf"teacher '{other}' splits texts into other tokens than the base '{models[0]}'"
    ):
        LmStudent().fit(texts(8), texts(4, 9), tmp_path / "s", seed=0, progress=silent, options=options, task=TEXT)
    assert not (tmp_path / "s").exists()


def test_rules_that_are_written_otherwise_are_tried_on_texts(models: tuple[str, str], tmp_path: Path) -> None:
    base, twin = Path(models[0]), tmp_path / "twin"
    shutil.copytree(models[1], twin)
    change(twin / "tokenizer.json", normalizer={"type": "Sequence", "normalizers": []})
    assert not shares_tokenizer(twin, base)
    assert shares_tokenizer(twin, base, texts(4).inputs)
    change(twin / "tokenizer.json", normalizer={"type": "Lowercase"})
    assert shares_tokenizer(twin, base, ["the shop"])
    assert not shares_tokenizer(twin, base, ["the shop", "The Shop"])


def test_the_licence_of_a_teacher_is_asked_for_first(models: tuple[str, str], tmp_path: Path) -> None:
    bound = tmp_path / "bound"
    shutil.copytree(models[1], bound)
    (bound / "README.md").write_text("---\nlicense: llama3.2\n---\n")
    settings = LmSettings(base=models[0], teacher=str(bound))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METIER_CACHE", str(tmp_path / "cache"))
        with pytest.raises(LicenceNotAccepted, match=r"the teacher '.*bound' comes .* --accept-licence llama3\.2"):
            find_models(settings, texts(4), silent)
        assert not (tmp_path / "cache").exists()
        agreed = settings.model_copy(update={"accepted_licences": ("llama3.2",)})
        teacher = find_models(agreed, texts(4), silent)[1]
    assert teacher is not None
    assert teacher.licence == "llama3.2"


def test_options_are_checked_and_shape_nothing_without_a_teacher(models: tuple[str, str], tmp_path: Path) -> None:
    for weight in (0.0, 1.5):
        with pytest.raises(BadInput, match="teacher_weight"):
            LmSettings.of_options({**LmSettings().options(), "teacher_weight": weight})
    assert LmSettings(teacher_weight=0.2).shaping() == LmSettings().shaping()
    taught = LmSettings(teacher=models[1], teacher_weight=0.2)
    assert taught.shaping().items() >= {"teacher": models[1], "teacher_weight": 0.2}.items()
    assert LmSettings.of_options(taught.options()) == taught
    with pytest.raises(BadInput, match="no language model 'nowhere'"):
        find_models(LmSettings(base=models[0], teacher="nowhere"), texts(1), silent)


def test_a_whole_training_tells_of_its_teacher(models: tuple[str, str], tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="needs the [lm] extra")
    options: dict[str, Any] = {
        "base": models[0],
        "teacher": models[1],
        "teacher_weight": 0.25,
        "epochs": 1,
        "trainings": 1,
        "max_output_tokens": 32,
        "parity_margin": 0.9,
        "preference": "off",
        "quantisation": "q8_0",
        "vocabulary": "keep",
    }
    summary = LmStudent().fit(
        texts(12), texts(4, 20), tmp_path / "s", seed=0, progress=silent, options=options, task=TEXT
    )
    assert [note for note in summary.notes if "token probabilities of teacher on 12 answers, share 0.25" in note]
    assert [note for note in summary.notes if note.startswith("the teacher teacher comes under apache-2.0")]
    assert summary.licence == "apache-2.0"
    # With its vocabulary whole, the specialist may be the next one's teacher.
    settings = LmSettings(base=models[0], teacher=str(tmp_path / "s" / "model"))
    assert find_models(settings, texts(4), silent)[1] is not None
