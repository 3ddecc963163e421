"""The lean network against transformers: losses and gradients, alone and packed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.block import Collect
from metier.students.lm.tuning.network import Network, Reading, read_network
from metier.students.lm.tuning.packs import FILL, pack
from metier.students.lm.tuning.shapes import read_shape
from metier.students.lm.tuning.weights import PARTS

KINDS = ("gemma", "llama", "tied llama")
Gradients = dict[tuple[int, str], torch.Tensor]


def read(folder: Path, longest: int = 64) -> Network:
    shape = read_shape(folder)
    assert shape is not None
    return read_network(folder, shape, longest, torch.float32, torch.device("cpu"))


def some(*sizes: tuple[int, int]) -> list[Encoded]:
    rng = np.random.default_rng(1)
    return [Encoded(tuple(rng.integers(1, 100, n).tolist()), n_prompt) for n, n_prompt in sizes]


def learn(network: Network, encoded: list[Encoded], places: list[int], fill: int = FILL) -> tuple[float, Gradients]:
    found: Gradients = {}

    def collector(layer: int) -> Collect:
        def collect(matrix: str, dy: torch.Tensor, x: torch.Tensor, rows: slice) -> None:
            weight = getattr(network.layers[layer], matrix)
            found.setdefault((layer, matrix), torch.zeros_like(weight))[rows] += dy.t() @ x

        return collect

    reading = Reading(network, pack(encoded, places, fill))
    collect = [collector(i) for i in range(network.shape.n_layers)]
    return reading.learn(reading.lower(0), 0, None, 1.0, collect), found


def expected(folder: Path, encoded: list[Encoded]) -> tuple[float, Gradients]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    total = torch.zeros(())
    for one in encoded:
        ids = torch.tensor([one.ids])
        logits = model(ids).logits[0, one.n_prompt - 1 : -1]
        total = total + cross_entropy(logits, ids[0, one.n_prompt :], reduction="sum")
    total.backward()
    weights = dict(model.named_parameters())
    return total.item(), {
        (i, matrix): torch.cat([weights[f"model.layers.{i}.{part}.weight"].grad for part in parts])
        for i in range(model.config.num_hidden_layers)
        for matrix, parts in PARTS.items()
    }


def assert_same(found: Gradients, wanted: Gradients) -> None:
    assert found.keys() == wanted.keys()
    for key, gradient in wanted.items():
        torch.testing.assert_close(
            found[key], gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max()), msg=str(key)
        )


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_those_of_transformers(models: dict[str, Path], kind: str) -> None:
    encoded = some((20, 12), (30, 25), (7, 3))
    loss, gradients = learn(read(models[kind]), encoded, [0, 1, 2])
    wanted, wanted_gradients = expected(models[kind], encoded)
    assert loss == pytest.approx(wanted, rel=1e-5)
    assert_same(gradients, wanted_gradients)


@pytest.mark.parametrize("kind", KINDS)
def test_long_packs_take_another_way_to_the_same_gradients(models: dict[str, Path], kind: str) -> None:
    encoded = some((700, 690), (500, 480))
    loss, gradients = learn(read(models[kind], longest=700), encoded, [0, 1])
    wanted, wanted_gradients = expected(models[kind], encoded)
    assert loss == pytest.approx(wanted, rel=1e-5)
    assert_same(gradients, wanted_gradients)


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_answer_rows_as_places_are_not_all_places(models: dict[str, Path], kind: str) -> None:
    """29 answer tokens are filled up to 32 rows, so that the last sequence of 22 places has 19 + 3 rows."""
    encoded = some((1100, 1090), (23, 4))
    loss, gradients = learn(read(models[kind], longest=1100), encoded, [0, 1])
    wanted, wanted_gradients = expected(models[kind], encoded)
    assert loss == pytest.approx(wanted, rel=1e-5)
    assert_same(gradients, wanted_gradients)


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_example_has_the_loss_it_has_alone(models: dict[str, Path], kind: str) -> None:
    network, encoded = read(models[kind]), some((20, 12), (30, 25), (7, 3))
    alone = [learn(network, encoded, [i], fill=1) for i in range(3)]
    loss, gradients = learn(network, encoded, [2, 0, 1])
    assert loss == pytest.approx(sum(one for one, _ in alone), rel=1e-6)
    assert_same(gradients, {key: sum((g[key] for _, g in alone[1:]), alone[0][1][key]) for key in gradients})


def test_a_neighbour_in_the_pack_changes_no_logit(models: dict[str, Path]) -> None:
    network, encoded = read(models["gemma"]), some((20, 12), (30, 25), (30, 25))
    first, second = (Reading(network, pack(encoded, [0, other])) for other in (1, 2))
    kept = slice(0, 8)
    torch.testing.assert_close(
        first.logits(first.lower(0), 0)[kept], second.logits(second.lower(0), 0)[kept], rtol=0, atol=0
    )


def test_layers_below_a_cut_and_above_it_make_the_whole(models: dict[str, Path]) -> None:
    network, encoded = read(models["gemma"]), some((20, 12), (30, 25))
    reading = Reading(network, pack(encoded, [0, 1]))
    assert reading.loss(reading.lower(2), 2) == reading.loss(reading.lower(0), 0)


def test_a_network_of_another_kind_has_no_lean_shape(models: dict[str, Path]) -> None:
    assert read_shape(models["qwen"]) is None
