"""The encoder's parts by hand: the precision rule, batching, the schedule, dropout and the rows that are trained."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.students.encoder.predictor import cosine_logits, foreignness
from metier.students.encoder.tokens import by_length, padded, shuffled_by_length

torch = pytest.importorskip("torch", reason="needs the [train] extra")

from metier.students.encoder.export import choose_precision  # noqa: E402
from metier.students.encoder.network import SeededDropout, UsedRows, depth_of, seed_dropout  # noqa: E402
from metier.students.encoder.training import _schedule  # noqa: E402


def right(n: int, wrong: set[int]) -> np.ndarray:
    return np.array([i not in wrong for i in range(n)])


def test_int8_is_kept_without_a_loss() -> None:
    found = choose_precision(right(1000, {1, 2}), right(1000, {2, 3}))
    assert found.name == "int8"
    assert "lost 1 and won 1" in found.reason
    assert "p = 0.75" in found.reason  # P(X >= 1), X ~ Binomial(2, 1/2)


def test_int8_is_refused_for_a_net_loss_or_one_beyond_chance() -> None:
    net = choose_precision(right(1000, set()), right(1000, {1, 2}))
    assert (net.name, "net loss above 0.1%" in net.reason) == ("float32", True)
    # 5 lost and none won of 10,000: within a tenth of a point, but 1/32 by chance.
    chance = choose_precision(right(10_000, set()), right(10_000, {1, 2, 3, 4, 5}))
    assert (chance.name, "p = 0.031" in chance.reason) == ("float32", True)
    assert choose_precision(right(0, set()), right(0, set())).name == "float32"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60), st.integers(40, 200), st.integers(1, 16))
def test_batches_cover_every_text_once_within_bounds(lengths: list[int], max_tokens: int, max_rows: int) -> None:
    sequences = [[7] * length for length in lengths]
    batches = list(by_length(sequences, max_tokens, max_rows))
    assert sorted(int(i) for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= max_rows
        assert len(batch) * max(lengths[i] for i in batch) <= max(max_tokens, 40)


def test_padding_by_hand() -> None:
    ids, mask = padded([[5, 6], [7]])
    assert ids.tolist() == [[5, 6], [7, 0]]
    assert mask.tolist() == [[1, 1], [1, 0]]


def test_shuffled_batches_hold_every_text_once_and_little_padding() -> None:
    lengths = np.random.default_rng(0).integers(3, 30, 1000)
    batches = shuffled_by_length(lengths, 32, 16, np.random.default_rng([0, 1]))
    assert sorted(int(i) for batch in batches for i in batch) == list(range(1000))
    room = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    assert lengths.sum() / room > 0.9
    again = shuffled_by_length(lengths, 32, 16, np.random.default_rng([0, 1]))
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))


def test_schedule_rises_then_falls_to_zero() -> None:
    shares = [_schedule(step, 100, 0.1) for step in range(100)]
    assert shares[0] == pytest.approx(0.1)
    assert shares[9] == shares[10] == 1.0
    assert shares[55] == pytest.approx(0.5)
    assert shares[99] < 0.001


def test_dropout_keeps_the_mean_and_repeats_for_the_same_step() -> None:
    dropout = SeededDropout(0.1)
    x = torch.ones(400, 500)
    seed_dropout(dropout, 3, 7)
    first = dropout(x)
    assert float(first.mean()) == pytest.approx(1.0, abs=0.005)
    assert float((first == 0).float().mean()) == pytest.approx(26 / 256, abs=0.005)
    seed_dropout(dropout, 3, 7)
    assert torch.equal(dropout(x), first)
    seed_dropout(dropout, 3, 8)
    assert not torch.equal(dropout(x), first)
    assert torch.equal(dropout.eval()(x), x)


class Body(torch.nn.Module):
    """The two calls that every transformers model offers for its embedding table."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(10, 2)

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.table

    def set_input_embeddings(self, table: torch.nn.Embedding) -> None:
        self.table = table


def test_only_rows_in_use_are_trained_and_written_back() -> None:
    body = Body()
    before = body.table.weight.detach().clone()
    rows = UsedRows(body, [[3, 5], [5]])
    assert body.table.num_embeddings == 3  # rows 0 (padding), 3 and 5
    ids = torch.from_numpy(rows.place[np.array([3, 5])])
    assert torch.equal(body.table(ids), before[[3, 5]])
    with torch.no_grad():
        body.table.weight += 1
    rows.use_full()
    changed = (body.table.weight != before).any(dim=1).nonzero()[:, 0].tolist()
    assert changed == [0, 3, 5]
    assert not body.table.weight.requires_grad


def test_depth_counts_down_from_the_head() -> None:
    assert depth_of("body.encoder.layer.5.output.dense.weight", 6) == 0
    assert depth_of("body.encoder.layer.0.output.dense.weight", 6) == 5
    assert depth_of("body.embeddings.LayerNorm.weight", 6) == 6


def test_cosines_and_energy_by_hand() -> None:
    prototypes = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    logits = cosine_logits(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32), prototypes, 10.0)
    np.testing.assert_allclose(logits, [[6.0, 8.0], [0.0, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(foreignness(logits), [-(8 + np.log1p(np.exp(-2))), -np.log(2)], rtol=1e-6)
