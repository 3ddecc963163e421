"""Soft labels of a teacher: what they hold, over a cut vocabulary too, and that a student comes nearer to the teacher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.students.lm.tiny_models import byte_tokenizer, write_tiny

from metier.errors import BadArtefact, BadInput
from metier.students.lm.coding import coder_for
from metier.students.lm.distilling import shares_tokenizer, soft_labels, vocabulary_hash
from metier.students.lm.parts import Encoded, PromptForm
from metier.students.lm.tuning.plan import TuningPlan

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("transformers", reason="needs transformers")

FORM = PromptForm("", "\n=", "<eos>", is_baked=True)
EXAMPLES = ([f"{i} of {i % 7}" for i in range(48)], [f"is {i % 7}" for i in range(48)])


def encoded(n: int = 48) -> list[Encoded]:
    return coder_for(byte_tokenizer(), FORM).encode(EXAMPLES[0][:n], EXAMPLES[1][:n])


def opinions(folder: Path, one: Encoded) -> Any:
    from metier.students.lm.likelihood import open_causal

    model, _ = open_causal(folder, "float32", "cpu")
    with torch.no_grad():
        return model(input_ids=torch.tensor([one.ids])).logits[0, one.n_prompt - 1 : -1]


def test_labels_are_the_teachers_likeliest_tokens(tmp_path: Path) -> None:
    teacher = write_tiny(tmp_path / "teacher", seed=1)
    found = soft_labels(teacher, teacher, encoded(3), top_k=5, precision="float32", device="cpu")
    for one, tokens, logprobs in zip(encoded(3), found.tokens, found.logprobs, strict=True):
        wanted = opinions(teacher, one).log_softmax(-1).topk(5, dim=-1)
        assert tokens.shape == (len(one.ids) - one.n_prompt, 5)
        np.testing.assert_array_equal(tokens, wanted.indices.numpy())
        np.testing.assert_allclose(logprobs, wanted.values.numpy(), atol=1e-5)


def test_cut_vocabulary_renormalises_over_what_is_kept(tmp_path: Path) -> None:
    teacher = write_tiny(tmp_path / "teacher", seed=1)
    whole = encoded(2)
    kept = np.array(sorted({i for one in whole for i in one.ids} | {5, 9}), dtype=np.int64)
    place = {int(token): i for i, token in enumerate(kept)}
    cut = [Encoded(tuple(place[i] for i in one.ids), one.n_prompt) for one in whole]
    found = soft_labels(teacher, teacher, cut, kept, top_k=10_000, precision="float32", device="cpu")
    for one, tokens, logprobs in zip(whole, found.tokens, found.logprobs, strict=True):
        assert tokens.shape[1] == len(kept)
        np.testing.assert_allclose(np.exp(logprobs).sum(1), 1.0, atol=1e-5)
        wanted = opinions(teacher, one)[:, kept].log_softmax(-1).numpy()
        np.testing.assert_allclose(logprobs, np.take_along_axis(wanted, tokens, 1), atol=1e-5)


def sampled(folder: Path, n: int, length: int = 8) -> list[Encoded]:
    """Prompts with answers drawn from the model in `folder`, so that nothing but its opinions is to be learnt."""
    from metier.students.lm.likelihood import open_causal

    model, _ = open_causal(folder, "float32", "cpu")
    draws = torch.Generator().manual_seed(0)
    found = []
    for i in range(n):
        ids = [i % 7, 20 + i % 11]
        for _ in range(length):
            with torch.no_grad():
                chances = model(input_ids=torch.tensor([ids])).logits[0, -1].softmax(-1)
            ids.append(int(torch.multinomial(chances, 1, generator=draws)))
        found.append(Encoded(tuple(ids), 2))
    return found


def test_a_student_comes_nearer_to_its_teacher(tmp_path: Path) -> None:
    from metier.students.lm.tuning.tune import tune

    teacher = write_tiny(tmp_path / "teacher", seed=1, spread=0.2)
    student = write_tiny(tmp_path / "student", seed=2, spread=0.2)
    _take_embeddings(student, teacher)  # tuning leaves them as they are
    train, held_out = sampled(teacher, 64)[:48], sampled(teacher, 64)[48:]
    soft = soft_labels(teacher, student, train, top_k=64, weight=1.0, precision="float32", device="cpu")
    plan = TuningPlan(
        method="full", epochs=4, rate=1e-2, step_tokens=64, precision="float32", device="cpu", threads=1, patience=0
    )
    tuned = tune(student, train, held_out, plan, tmp_path / "work", recipe="r", progress=lambda *_: None, soft=soft)
    hard = tune(student, train, held_out, plan, tmp_path / "hard", recipe="r", progress=lambda *_: None)

    def divergence(folder: Path) -> float:
        """Mean KL(teacher || student) over the answer tokens, nats."""
        return float(np.mean([_kl(opinions(teacher, one), opinions(folder, one)) for one in held_out]))

    before, after = divergence(student), divergence(tuned.folder)
    assert after < 0.8 * before
    assert after < divergence(hard.folder)


def _take_embeddings(student: Path, teacher: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights, others = load_file(student / "model.safetensors"), load_file(teacher / "model.safetensors")
    weights["model.embed_tokens.weight"] = others["model.embed_tokens.weight"]
    save_file(weights, student / "model.safetensors", {"format": "pt"})


def _kl(teacher: Any, student: Any) -> float:
    p, q = teacher.log_softmax(-1), student.log_softmax(-1)
    return float((p.exp() * (p - q)).sum(-1).mean())


def test_tokenizers_are_told_apart_by_what_they_do(tmp_path: Path) -> None:
    one, other = write_tiny(tmp_path / "one"), write_tiny(tmp_path / "other", seed=5)
    assert shares_tokenizer(one, other)
    stored = json.loads((other / "tokenizer.json").read_text(encoding="utf-8"))
    stored["padding"] = None
    stored["model"]["merges"] = [["a", "b"]]
    stored["model"]["vocab"]["ab"] = 258
    (other / "tokenizer.json").write_text(json.dumps(stored), encoding="utf-8")
    assert not shares_tokenizer(one, other)
    pairs = vocabulary_hash(other)
    stored["model"]["merges"] = ["a b"]
    (other / "tokenizer.json").write_text(json.dumps(stored), encoding="utf-8")
    assert vocabulary_hash(other) == pairs
    with pytest.raises(BadInput, match="other tokens"):
        soft_labels(one, other, encoded(1))
    with pytest.raises(BadArtefact, match="tokenizer"):
        vocabulary_hash(tmp_path)


def test_what_the_teacher_cannot_read_is_named(tmp_path: Path) -> None:
    teacher = write_tiny(tmp_path / "teacher")
    with pytest.raises(BadInput, match="token 7; the student has 5"):
        soft_labels(teacher, teacher, [Encoded((1, 7), 1)], np.arange(5))
    with pytest.raises(BadInput, match="600 tokens; the teacher"):
        soft_labels(teacher, teacher, [Encoded((1,) * 600, 1)])
    with pytest.raises(BadInput, match="go up to 900"):
        soft_labels(teacher, teacher, encoded(1), np.array([900]))
    with pytest.raises(BadInput, match="top_k is 0"):
        soft_labels(teacher, teacher, encoded(1), top_k=0)
