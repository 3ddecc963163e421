"""What nobody knows of real drive-test windows, as sixteen labellers might have it: the styles of `telecom_windows.py`."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Style:
    """One labeller's world and habits; ranges are drawn from uniformly. Neighbours' gaps are dB below the serving cell."""

    name: str
    # The ordinary drive.
    region: tuple[float, float] = (128.19, 32.58)
    n_sites: tuple[int, int] = (3, 6)
    sectors: tuple[int, int] = (1, 3)
    site_km: Range = (0.25, 1.2)
    height_m: Range = (18, 40)
    power_dbm: float = 34.9
    tilt_deg: Range = (3, 9)
    near_km: Range = (0.1, 0.7)
    good_mbps: Range = (700, 1200)
    low_mbps: Range = (150, 570)
    low_rows: tuple[int, int] = (3, 7)
    whole: float = 0.15
    serve_dbm: Range = (-90, -72)
    sinr_db: Range = (12, 25)
    n_rb: Range = (195, 262)
    speed_km_h: Range = (8, 32)
    n_heard: tuple[int, int] = (1, 5)
    gap_db: Range = (9, 24)
    missing: float = 0.1
    dropout: float = 0.05
    n_mild: tuple[int, int] = (0, 1)
    fast_after: bool = False
    # In rows that are slow for another cause: resource blocks (labels then go by averages), one row above 40 km/h.
    other_rb: Range | None = None
    one_fast: bool = False
    # What is written into it.
    everywhere: bool = False
    sinr_tells: bool = True
    low_sinr_db: Range = (-4, 8)
    steep_deg: Range = (13, 28)
    steep_km: Range = (0.3, 0.9)
    weak_dbm: Range = (-114, -96)
    by_beam: bool = True
    far_km: Range = (1.1, 2.5)
    far_dbm: Range = (-108, -90)
    flat_far: bool = True
    taken_over: bool = False
    better_db: Range = (4, 12)
    better: tuple[str, ...] = ("never", "after")
    n_overlap: tuple[int, int] = (2, 4)
    overlap_db: Range = (-1, 5)
    n_changes: tuple[int, int] = (3, 6)
    twin_db: Range = (0, 6)
    fast_km_h: Range = (44, 75)
    few_rb: Range = (70, 150)


# The first were looked at while the simulator was mended, the others were not.
OPEN = (
    Style("by the book"),
    Style(
        "steep habits, causes in all rows",
        region=(116.4, 39.9),
        tilt_deg=(7, 13),
        steep_deg=(20, 32),
        near_km=(0.08, 0.4),
        everywhere=True,
        whole=0.5,
        n_heard=(3, 5),
        n_mild=(0, 2),
    ),
    Style(
        "few neighbours, many missing in the table",
        region=(-3.7, 40.4),
        n_sites=(1, 4),
        sectors=(1, 1),
        n_heard=(0, 2),
        missing=0.4,
        better=("after", "before"),
        better_db=(3, 8),
        n_overlap=(2, 2),
        good_mbps=(620, 900),
        low_mbps=(300, 590),
    ),
    Style(
        "mild magnitudes",
        region=(-74.0, -12.0),
        steep_deg=(12, 18),
        weak_dbm=(-104, -94),
        far_km=(1.06, 1.5),
        far_dbm=(-100, -84),
        better_db=(3, 6),
        overlap_db=(1, 6),
        n_changes=(3, 4),
        twin_db=(3, 9),
        fast_km_h=(41, 50),
        few_rb=(125, 156),
        n_mild=(1, 2),
        low_mbps=(350, 590),
    ),
    Style(
        "quality says nothing",
        region=(10.0, 53.5),
        sinr_tells=False,
        sinr_db=(5, 18),
        serve_dbm=(-98, -80),
        n_rb=(180, 230),
        speed_km_h=(15, 39),
        dropout=0.2,
    ),
    Style(
        "large cells, fast after the dip",
        region=(151.2, -33.9),
        site_km=(0.7, 2.5),
        near_km=(0.4, 0.95),
        height_m=(30, 60),
        tilt_deg=(0, 5),
        steep_deg=(12, 22),
        steep_km=(0.5, 0.95),
        far_km=(1.3, 4.0),
        fast_after=True,
        power_dbm=46.0,
    ),
    Style(
        "neither level nor quality tells",
        region=(103.8, 1.3),
        sinr_tells=False,
        sinr_db=(5, 20),
        serve_dbm=(-95, -72),
        weak_dbm=(-95, -74),
        far_dbm=(-95, -74),
        n_mild=(0, 2),
    ),
    Style(
        "averages over the window",
        region=(-0.1, 51.5),
        everywhere=True,
        whole=0.0,
        low_rows=(2, 4),
        n_rb=(225, 262),
        other_rb=(90, 150),
        one_fast=True,
    ),
    Style(
        "far without a flat tilt, twins far below",
        region=(18.4, -33.9),
        tilt_deg=(5, 11),
        steep_deg=(16, 30),
        flat_far=False,
        weak_dbm=(-100, -82),
        far_dbm=(-104, -84),
        overlap_db=(2, 7),
        twin_db=(5, 11),
        gap_db=(13, 30),
        sinr_tells=False,
        n_heard=(2, 5),
    ),
)
SEALED = (
    Style(
        "small cells, few rows low",
        region=(139.7, 35.7),
        site_km=(0.12, 0.5),
        near_km=(0.04, 0.3),
        height_m=(8, 22),
        tilt_deg=(4, 11),
        steep_deg=(16, 30),
        steep_km=(0.25, 0.6),
        serve_dbm=(-80, -62),
        low_rows=(2, 4),
        whole=0.0,
        n_rb=(230, 272),
        good_mbps=(900, 1600),
        power_dbm=25.0,
    ),
    Style(
        "extreme magnitudes",
        region=(-46.6, -23.5),
        steep_deg=(24, 40),
        weak_dbm=(-122, -106),
        far_km=(2.0, 5.0),
        far_dbm=(-118, -98),
        better_db=(8, 18),
        overlap_db=(-3, 3),
        n_changes=(5, 8),
        twin_db=(-2, 3),
        fast_km_h=(65, 120),
        few_rb=(20, 90),
        low_mbps=(5, 300),
        n_mild=(0, 2),
    ),
    Style(
        "the far cell takes over",
        region=(77.2, 28.6),
        taken_over=True,
        better=("before", "after"),
        n_heard=(2, 5),
        missing=0.25,
        n_mild=(0, 2),
        speed_km_h=(20, 39),
    ),
    Style(
        "tilt by its sum alone, poor coverage",
        region=(28.0, -26.2),
        by_beam=False,
        steep_deg=(17, 30),
        serve_dbm=(-100, -84),
        weak_dbm=(-118, -103),
        far_dbm=(-115, -100),
        sinr_db=(6, 16),
        good_mbps=(610, 850),
        gap_db=(8, 16),
    ),
    Style(
        "whole windows low",
        region=(2.35, 48.85),
        whole=1.0,
        everywhere=True,
        better=("never",),
        low_mbps=(100, 595),
        n_rb=(175, 255),
        n_mild=(1, 2),
        sinr_tells=False,
        sinr_db=(4, 20),
    ),
    Style(
        "full lists, far below",
        region=(-99.1, 19.4),
        n_sites=(5, 9),
        sectors=(3, 3),
        n_heard=(5, 5),
        gap_db=(14, 35),
        missing=0.0,
        overlap_db=(0, 6),
        twin_db=(2, 8),
        few_rb=(90, 155),
        speed_km_h=(0, 39),
        fast_km_h=(41, 65),
        fast_after=True,
        n_mild=(1, 3),
    ),
    Style(
        "slow rows with few blocks",
        region=(126.9, 37.5),
        everywhere=True,
        whole=0.1,
        low_rows=(3, 5),
        n_rb=(215, 260),
        other_rb=(115, 158),
        one_fast=True,
        far_km=(1.06, 1.8),
        few_rb=(60, 140),
    ),
)
