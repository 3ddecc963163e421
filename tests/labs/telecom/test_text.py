from __future__ import annotations

import numpy as np
import pytest

from metier.labs.telecom import questions, text
from metier.labs.telecom.parts import CAUSES, Windows
from metier.labs.telecom.simulator import simulate
from metier.views import VIEWS
from metier.views.telelogs.parser import parse

VIEW = VIEWS["telelogs"]


@pytest.fixture(scope="module")
def simulated() -> Windows:
    return simulate(32, 5)


def test_rows_are_the_published_ones(windows: Windows) -> None:
    """The decimals, the default tilt, the zero-padded id and the `-` of the published sample rows."""
    asked = text.standard(windows)[0]
    assert (
        "\n2025-05-07 15:11:05.000000|128.19315|32.58329|30|113|-88.74|9.65|465.73|916|-|-|-|-|-97.5|-|-|-|-|212.13\n"
        in asked
    )
    assert "\n0033164|1|128.194|32.583|80|6|255|0|DEFAULT|25.0|113|32T32R|34.9|NR AAU 1\n" in asked
    assert "User plane drive test data as follows：\n\nTimestamp|Longitude|" in asked
    assert "Engeneering parameters data as follows：\n\ngNodeB ID|Cell ID|" in asked
    assert "enclose its number in \\boxed{{}} in the final answer.\nC1: The serving cell's downtilt" in asked
    assert len(text.DRIVE_COLUMNS) == 19
    assert len(text.CELL_COLUMNS) == 14
    assert text.answers(windows) == ["C1", "C4", "C7", "C8"]


def test_a_parse_gives_back_what_was_written(windows: Windows, simulated: Windows) -> None:
    for made in (windows, simulated):
        for place, asked in enumerate(text.standard(made)):
            scene = parse(asked)
            drives, cells = made.drives, made.cells
            there = cells.exists[place]
            for found, meant, within in (
                (scene.drive.longitude, drives.longitude, 5.1e-6),
                (scene.drive.speed_km_h, drives.speed_km_h, 0.51),
                (scene.drive.throughput_mbps, drives.throughput_mbps, 0.0051),
                (scene.drive.n_rb, drives.n_rb, 0.0051),
                (scene.drive.sinr_db, drives.sinr_db, 0.0051),
                (scene.drive.pci, drives.serving_pci, 0),
                (scene.drive.neighbour_rsrp_dbm, drives.neighbour_rsrp_dbm, 0.0051),
                (np.nan_to_num(scene.drive.neighbour_pci, nan=-1), drives.neighbour_pci, 0),
            ):
                np.testing.assert_allclose(found, meant[place], rtol=0, atol=within)
            np.testing.assert_allclose(scene.cells.latitude, cells.latitude[place][there], rtol=0, atol=5.1e-4)
            np.testing.assert_array_equal(scene.cells.pci, cells.pci[place][there])


def test_published_texts_are_the_views_own() -> None:
    from metier.views.telelogs.choices import KNOWN, cause_of
    from metier.views.telelogs.columns import COLUMNS, normalised

    assert {name: cause.text for name, cause in KNOWN.items()} == text.OPTIONS
    assert [cause_of(said) for said in text.OPTIONS.values()] == list(CAUSES)
    for kind, names in (("drive", text.DRIVE_COLUMNS), ("cells", text.CELL_COLUMNS)):
        assert [normalised(name) for name in names] == [normalised(column.names[0]) for column in COLUMNS[kind]]


def test_the_randomised_variant_reads_the_same(simulated: Windows) -> None:
    asked = questions.randomised(simulated, 3)
    assert asked == questions.randomised(simulated, 3) != questions.randomised(simulated, 4)
    sizes, swapped = set(), set()
    for question, standard in zip(asked, text.standard(simulated), strict=True):
        reading = VIEW.read(question.text)
        assert reading.choices is not None
        assert reading.choices[question.cause] == question.answer
        assert f"\n{question.answer}: {text.OPTIONS[question.cause]}\n" in question.text
        sizes.add(len(reading.choices))
        swapped.add(question.text.index("gNodeB ID") < question.text.index("Timestamp"))
        np.testing.assert_allclose(reading.values, VIEW.read(standard).values, rtol=1e-9, atol=1e-9)
    assert [question.cause for question in asked] == text.answers(simulated)
    assert sizes > {5, 8}
    assert min(sizes) == questions.MIN_OPTIONS
    assert swapped == {False, True}
