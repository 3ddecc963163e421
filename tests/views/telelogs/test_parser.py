from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metier.errors import Unreadable
from metier.views import VIEWS, Reading
from metier.views.telelogs.parser import parse

VIEW = VIEWS["telelogs"]


def same(a: str, b: str) -> bool:
    first, second = VIEW.read(a), VIEW.read(b)
    return first.text == second.text and bool(np.array_equal(first.values, second.values, equal_nan=True))


def test_reads_every_number(question: str) -> None:
    drive, cells = parse(question).drive, parse(question).cells
    assert drive.throughput_mbps.tolist() == [900, 800, 400, 300, 900]
    assert drive.n_rb.tolist() == [200, 200, 100, 100, 200]
    assert drive.pci.tolist() == [103, 103, 103, 143, 103]
    assert drive.neighbour_pci[2, :3].tolist() == [133, 143, 104]
    assert drive.neighbour_rsrp_dbm[2, :3].tolist() == [-88, -92, -95]
    assert np.isnan(drive.neighbour_rsrp_dbm[:, 3:]).all()
    assert cells.tilt_deg.tolist() == [12, 13, 2]
    assert cells.azimuth_deg.tolist() == [80, 195, 270]
    assert cells.beamwidth_deg.tolist() == [6, 12, 25]
    assert cells.site.tolist() == [0, 0, 1]


def test_wording_around_the_tables_does_not_matter(question: str, drive_table: str, cell_table: str) -> None:
    rows = [line for table in (drive_table, cell_table) for line in table.splitlines()[1:]]
    assert same(question, "\n".join(rows))
    assert same(question, f"{cell_table}\n\nAnd here is the drive:\n{drive_table}")
    assert same(question, question.replace("\n", "\r\n"))
    assert same(question, question.replace("\n", "\n\n"))
    assert same(question, question.replace("|", " | "))
    assert same(question, "\n".join(f"{line}|" if "|" in line else line for line in question.splitlines()))
    assert same(question, "\n".join(f"| {line} |" if "|" in line else line for line in question.splitlines()))
    assert parse("\n".join(rows)).choices is None


def test_shuffled_and_repeated_rows_read_the_same(question: str, drive_table: str, cell_table: str) -> None:
    header, *rows = drive_table.splitlines()
    assert same(question, "\n".join([cell_table, header, *reversed(rows), rows[1]]))


def test_columns_are_found_by_their_header(question: str, drive_table: str, cell_table: str) -> None:
    def turned(table: str) -> str:
        return "\n".join("|".join(["Extra" if n == 0 else "7", *reversed(line.split("|"))]) for n, line in rows(table))

    def rows(table: str) -> list[tuple[int, str]]:
        return list(enumerate(table.splitlines()))

    assert same(question, turned(drive_table) + "\n\n" + turned(cell_table))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("GPS Speed (km/h)", "gps speed(KM/H)"),
        ("Neighbor Cell Top Set", "Neighbour Cell Top Set"),
        ("Measurement PCell Neighbor Cell Top Set(Cell Level) Top ", "Neighbor "),
        ("Filtered Tx BRSRP [dBm]", "RSRP"),
        ("5G KPI PCell Layer1 DL RB Num (Including 0)", "PRB Number"),
        ("5G KPI PCell Layer2 MAC DL Throughput [Mbps]", "Throughput(Mbps)"),
        ("5G KPI PCell RF Serving SS-RSRP [dBm]", "SSB RSRP"),
        ("Mechanical Downtilt", "Mech. Tilt"),
        ("Beam Scenario", "Beam scenarios"),
        ("Height", "Antenna Height(m)"),
        ("gNodeB ID", "Site"),
        ("Longitude|Latitude", "Lon|Lat"),
    ],
)
def test_columns_go_by_other_names(question: str, old: str, new: str) -> None:
    assert old in question
    assert same(question, question.replace(old, new))


def test_rows_without_a_time_are_known_by_their_width(question: str, drive_table: str, cell_table: str) -> None:
    for change in (r"-", r"07/05/2025 \1", r"1746630\1", r"7 May 2025 \1", r"\1"):
        moved = re.sub(r"2025-05-07 15:11:(\d\d)\.0+", change, question)
        assert moved != question
        if change == "-":
            # Two rows are the same but for their times.
            moved = moved.replace("|0.01|", "|0.0100|", 1)
        assert same(question, moved)
        rows = [line for line in moved.splitlines() if "|" in line and "Longitude" not in line]
        assert same(question, "\n".join(rows))


def test_typesetting_and_missing_values(question: str) -> None:
    assert same(
        question, question.replace("|-", "|\u2212").replace("|\u2212|", "|\u2013|").replace("|\u2212|", "|\u2013|")
    )
    reading = parse(question.replace(CELL, f"{CELL}\n{CELL.replace('|103|', '|-|')}"))
    assert np.isnan(reading.cells.pci[1])
    for old, new in (("|0.0|0.0|80|", "|-|-|80|"), ("|DEFAULT|", "|-|"), ("|255|", "|-|"), ("|31.5|", "||")):
        one = VIEW.read(question.replace(CELL, CELL.replace(old, new)))
        values = dict(zip((feature.name for feature in VIEW.features), one.values, strict=True))
        # The other serving cell is known: what is not known of this one is left out.
        assert math.isfinite(values["beyond_far_edge_low"])


def test_a_cell_without_a_place_does_not_hide_one_with(question: str) -> None:
    nowhere = CELL.replace("|0.0|0.0|80|", "|-|-|80|").replace("31.5", "40.0")
    assert same(question, question.replace(CELL, f"{nowhere}\n{CELL}"))


def test_optional_columns_may_be_missing(drive_table: str, cell_table: str) -> None:
    def without(table: str, *places: int) -> str:
        lines = [line.split("|") for line in table.splitlines()]
        return "\n".join("|".join(cell for at, cell in enumerate(line) if at not in places) for line in lines)

    scene = parse(without(drive_table, 0, 6) + "\n" + without(cell_table, 0, 1, 7, 11, 12, 13))
    assert np.isnan(scene.drive.sinr_db).all()
    assert scene.cells.site.tolist() == [-1, -1, -1]
    assert scene.cells.azimuth_deg.tolist() == [80, 200, 270]
    reading = VIEW.read(without(drive_table, 0, 6) + "\n" + without(cell_table, 0, 1, 7, 11, 12, 13))
    assert math.isnan(reading.values[[f.name for f in VIEW.features].index("sinr_low")])
    with pytest.raises(Unreadable, match=r"line 1: the drive-test table has no column '5G KPI PCell Layer1 DL RB Num"):
        parse(without(drive_table, 18) + "\n" + cell_table)


ROW = "2025-05-07 15:11:07.000000|0.01|0.0|50|103|-90.0|0.0|400.0|133|143|104|-|-|-88.0|-92.0|-95.0|-|-|100.0"
CELL = "0033164|1|0.0|0.0|80|6|255|0|DEFAULT|31.5|103|32T32R|34.9|NR AAU 1"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (ROW, ROW[: ROW.rindex("|")], r"line 22: .*this one has 18"),
        (ROW, f"{ROW}|7", r"line 22: .*this one has 20"),
        (ROW, "2025-05-07 15:", r"line 22: '2025-05-07 15:' is cut off"),
        (ROW, ROW.replace("|400.0|", "|4oo|"), r"line 22: .*Throughput is '4oo', which is no number"),
        (ROW, ROW.replace("|400.0|", "|4_0|"), r"line 22: .*'4_0', which is no number"),
        (ROW, ROW.replace("|400.0|", "|inf|"), r"line 22: .*'inf', which is no number"),
        (ROW, ROW.replace("|400.0|", "|400,0|"), r"line 22: .*'400,0', which is no number"),
        (ROW, ROW.replace("|103|", "|1008|"), r"line 22: .*PCI is '1008', which is not between 0 and 1007"),
        (ROW, ROW.replace("|103|", "|10.5|"), r"line 22: .*'10.5', which is no whole number"),
        (CELL, CELL.replace("DEFAULT", "BEAM"), r"line 29: beam scenario 'BEAM'"),
        (CELL, CELL.replace("DEFAULT", "SCENARIO_0"), r"line 29: beam scenario"),
        (CELL, CELL.replace("|255|", "|200|"), r"line 29: Digital Tilt is 200"),
        (CELL, CELL.replace("|NR AAU 1", ""), r"line 29: .*this one has 13"),
        ("[Mbps]", "[Gbps]", r"has no column '5G KPI PCell Layer2 MAC DL Throughput'"),
        ("MAC DL Throughput", "MAC UL Throughput", r"has no column '5G KPI PCell Layer2 MAC DL Throughput'"),
        ("SS-RSRP [dBm]", "SS-RSRQ [dB]", r"has no column '5G KPI PCell RF Serving SS-RSRP'"),
        ("(km/h)", "(m/s)", r"has no column 'GPS Speed'"),
        ("Digital Tilt", "Digital Tilt (0.1 degrees)", r"has no column 'Digital Tilt'"),
        ("DL RB Num (Including 0)", "DL MCS", r"has no column '5G KPI PCell Layer1 DL RB Num"),
        ("Latitude|Mechanical", "Longitude|Mechanical", r"names a column twice"),
    ],
)
def test_malformed_tables_are_refused(question: str, old: str, new: str, said: str) -> None:
    assert old in question
    with pytest.raises(Unreadable, match=said):
        VIEW.read(question.replace(old, new))


def test_what_is_not_there_is_refused(head: str, drive_table: str, cell_table: str) -> None:
    lines = drive_table.splitlines()
    for text, said in [
        ("", "0 drive-test rows"),
        ("\n".join(lines[:2]) + "\n" + cell_table, "1 drive-test rows"),
        (drive_table, "no engineering row"),
        (drive_table.replace("|103|-", "|-|-").replace("|143|-9", "|-|-9") + "\n" + cell_table, "serving cell"),
        ("\n".join(lines + [lines[1].replace("15:11:05", f"16:{n // 60:02}:{n % 60:02}") for n in range(700)]), "600"),
    ]:
        with pytest.raises(Unreadable, match=said):
            VIEW.read(text)


def test_unknown_and_doubled_neighbours_are_read(question: str) -> None:
    doubled = question.replace(CELL, f"{CELL}\n0044|1|0.011|0.0|0|3|6|0|SCENARIO_6|20.0|103|32T32R|34.9|NR AAU 1")
    reading = VIEW.read(doubled)
    distance = reading.values[[f.name for f in VIEW.features].index("distance_margin_all")]
    # The nearer of the two cells called 103 is 111.2 m away, and serves 4 of 5 samples; 143 is 1112.0 m away.
    assert distance == pytest.approx((4 * 111.195 + 1111.951) / 5 - 1000, abs=0.01)


@pytest.fixture(scope="module")
def pieces(question: str) -> list[str]:
    return question.splitlines()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_anything_is_read_or_refused(question: str, data: st.DataObject) -> None:
    """Cut, doubled, swapped and overwritten questions."""
    text = question
    for _ in range(data.draw(st.integers(1, 4))):
        at, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        end = min(end, at + data.draw(st.sampled_from([1, 3, 40, 4000])))
        new = data.draw(
            st.sampled_from(
                ["", "|", "-", "\n", "\r", "\x1c", "9" * 400, "1e308", "-1", "²", "٣", "nan", text[at:end] * 2]
            )
            | st.text(max_size=20)
        )
        text = text[:at] + new + text[end:]
    try:
        reading = VIEW.read(text)
    except Unreadable:
        return
    assert isinstance(reading, Reading)
    assert reading.values.shape == (len(VIEW.features),)
    assert not np.isinf(reading.values).any()


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="|0123456789.-:ACZ \nabc", max_size=300) | st.text(max_size=200))
def test_any_text_is_refused_or_read(text: str) -> None:
    assert isinstance(VIEW.fits(text), bool)
    with pytest.raises(Unreadable):
        VIEW.read(text)


def test_rows_that_share_a_key_but_differ_are_rows_of_their_own(question: str) -> None:
    twice = question.replace(ROW, f"{ROW}\n{ROW}\n{ROW.replace('|400.0|', '|401.0|')}")
    twice = twice.replace(CELL, f"{CELL}\n{CELL}\n{CELL.replace('31.5', '40.0')}")
    before, after = parse(question), parse(twice)
    assert len(after.drive.pci) == len(before.drive.pci) + 1
    assert len(after.cells.pci) == len(before.cells.pci) + 1


def test_odd_values_of_a_cell_that_never_serves_are_left_out(question: str) -> None:
    for old, new, name in (("DEFAULT", "BEAM", "beamwidth_deg"), ("|255|", "|200|", "tilt_deg")):
        other = CELL.replace("|103|", "|777|").replace(old, new)
        scene = parse(question.replace(CELL, f"{CELL}\n{other}"))
        values = getattr(scene.cells, name)[scene.cells.pci == 777]
        assert np.isnan(values).all()
        assert len(values) == 1


def test_what_no_feature_reads_may_be_anything(question: str) -> None:
    assert len(parse(question.replace("|34.9|", "|34.9dBm|")).cells.pci) > 0
