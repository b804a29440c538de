"""Rivals on the same scans as SeBRe's network: who wins is counted, and of which runs."""

import pytest
from result_samples import made_up_method, result_of, write

from sebre.data.regions import SUBCORTICAL
from sebre.report.published import read_published
from sebre.report.systems.rival_tables import (
    OURS,
    contests,
    most_wins,
    read_rivals,
    rival_tables,
    smaller_distances,
    winner,
)
from sebre.report.trials.stand_in_rule import CONSISTENT, FEW, NOT, OPEN

NAMES = SUBCORTICAL.names


def run(network, start, mm=2.0, units=7, **more):
    record = made_up_method("ibsr", "scans", "network", NAMES, start, "subject", **more)
    for key in ("hausdorff_mm", "hausdorff95_mm", "cmd_mm"):
        record[f"{key}_per_region"] = dict.fromkeys(NAMES, mm)
    for section in record["sections"]:
        for region in section["regions"].values():
            region |= {"hausdorff_px": mm, "hausdorff95_px": mm, "cmd_px": mm / 4}
    record["network"], record["weights"] = network, f"{network}.h5"
    record["n_interval_units"] = units
    return record


@pytest.fixture
def ours():
    return result_of("ours", run("Mask R-CNN", 0.6))


def rivals(**starts):
    names = {"fcnn": "F-CNN", "brainsegnet": "BrainSegNet", "quicknat": "QuickNAT"}
    return [result_of(f"scans_{key}", run(names[key], v, 3.0)) for key, v in starts.items()]


def test_runs_of_a_method_share_a_row(ours, tmp_path):
    (tmp_path / "rivals").mkdir()
    # As `sebre register --limit` writes them: some of the sections, at an angle of 0.
    lddmm = made_up_method("ibsr", "scans", "lddmm", NAMES, 0.4, "subject")
    lddmm["sections"] = [{**section, "angle": 0.0} for section in lddmm["sections"][:4]]
    lddmm["n_sections"] = 4
    write(
        tmp_path / "rivals",
        scans_fcnn=run("F-CNN", 0.5),
        scans_fcnn_seed1=run("F-CNN", 0.52),
        scans_lddmm=lddmm,
        broken={"method": 3},
    )
    found, (problem,) = read_rivals(tmp_path)
    assert "broken.json: not a whole record" in problem and "Make it again" in problem
    table, by_region, *_ = rival_tables(contests([ours], found))
    rows = {row[0]: row for row in table.rows}
    assert list(rows) == [OURS, "F-CNN", "LDDMM"]
    assert rows["F-CNN"][:4] == ("F-CNN", "2", "6", "0.510 (0.500 to 0.520)")
    assert rows["F-CNN"][8:] == (
        "-0.100 [-0.100, -0.100]",
        *["+0.000 [+0.000, +0.000]"] * 3,
        "3 subjects",
    )
    assert rows["LDDMM"][2] == "4" and rows["LDDMM"][5:8] == ("-", "-", "-")
    assert rows["LDDMM"][8:] == ("-0.200 [-0.200, -0.200]", "-", "-", "-", "2 subjects")
    assert rows[OURS][-2:] == ("-", "-") and rows[OURS][5] == "2.000"
    assert by_region.header == ("region", OURS, "F-CNN", "LDDMM") and len(by_region.rows) == 9
    assert by_region.rows[0][0] == "left caudate"
    mean = sum(0.51 + i / 100 for i in range(6)) / 6
    assert by_region.rows[0][2] == f"{mean:.3f}"


def test_volumes_and_costs_where_they_are_known(ours):
    fast = run("F-CNN", 0.5) | {"n_volumes": 2, "n_volumes_measured": 2, "turned": None}
    del fast["method"]  # as `sebre evaluate` writes it
    for key in ("dice", "hausdorff_mm", "hausdorff95_mm", "cmd_mm"):
        fast[f"{key}_per_region_volume"] = dict.fromkeys(NAMES, 0.75)
    for key in ("n", "missed"):
        fast[f"{key}_per_region_volume"] = dict.fromkeys(NAMES, 1)
    times = {"mean": 0.5, "median": 0.25, "max": 3.0, "seconds_of": "wall"}
    fast |= {"dice_inner_per_region": dict.fromkeys(NAMES, 0.8)}
    fast |= {"n_inner_per_region": dict.fromkeys(NAMES, 2)}
    fast |= {"parameters": 12345678, "training_seconds": 630.0, "seconds_per_section": times}
    found = contests([ours], [result_of("scans_fcnn", fast)])
    _, volumes, _, inner, costs = rival_tables(found)
    printed = rival_tables(found, read_published())[3].rows[-1]
    assert printed == ("mean, printed in Table 1", "0.820")
    assert inner.header == ("region", "F-CNN") and inner.rows[-1] == ("mean", "0.800")
    assert volumes.rows == (("F-CNN", "0.750", "0.750", "0.750", "0.750"),)
    # 6 sections of 2 scans, half a second each.
    assert costs.rows == (("F-CNN", "12,345,678", "-", "10", "0.500", "2"),)


def test_who_wins_is_said_also_where_it_is_another(ours):
    (contest,) = contests([ours], rivals(fcnn=0.5, quicknat=0.65))
    (said,) = winner(contest)
    assert said == (
        "QuickNAT has the highest mean Dice on scans, split source: 0.678, before SeBRe with "
        "0.628. Paired, the first runs of the two differ by +0.050 [+0.050, +0.050]: they are "
        "told apart. SeBRe is number 2 of 3."
    )
    assert said in rival_tables([contest])[0].notes
    (contest,) = contests([], rivals(fcnn=0.5))
    assert winner(contest) == ()


def test_units_of_either_record_make_the_interval(ours):
    """Records of earlier versions do not say the person of each section."""
    without = run("Mask R-CNN", 0.6)
    without["sections"] = [
        {key: value for key, value in section.items() if key != "unit"}
        for section in without["sections"]
    ]
    found = contests([result_of("ours", without)], rivals(fcnn=0.5))
    assert rival_tables(found)[0].rows[1][-1] == "3 subjects"


def test_own_runs_and_registrations_join_in(ours):
    again = result_of("scans_mask_rcnn", run("Mask R-CNN", 0.7))
    lddmm = result_of("lddmm", made_up_method("ibsr", "scans", "lddmm", NAMES, 0.4, "subject"))
    other = result_of("other", made_up_method("ibsr", "others", "lddmm", NAMES, 0.4, "subject"))
    (contest,) = contests([ours], [again, *rivals(fcnn=0.5)], [ours, lddmm, other])
    assert list(contest.runs) == [OURS, "F-CNN", "LDDMM"]
    assert contest.runs[OURS] == (again,) and contest.runs["LDDMM"] == (lddmm,)


def test_a_rival_that_was_not_run_leaves_it_open(ours):
    found = contests([ours], rivals(fcnn=0.5, quicknat=0.5))
    assert most_wins(found, {}) == [("scans, split source", OPEN, "", "BrainSegNet not run")]
    assert contests([ours], []) == () and most_wins((), {}) == []


@pytest.mark.parametrize(("best", "verdict", "count"), [(0.55, CONSISTENT, 8), (0.65, NOT, 0)])
def test_wins_are_counted(ours, best, verdict, count):
    found = contests([ours], rivals(fcnn=0.5, quicknat=best, brainsegnet=0.4))
    assert most_wins(found, {}) == [("scans, split source", verdict, f"{count} of 8", "")]


def test_three_planes_are_the_method_too_and_few_people_decide_nothing():
    few = result_of("ours", run("Mask R-CNN", 0.6, units=3))
    runs = [*rivals(fcnn=0.5, brainsegnet=0.4), result_of("q", run("QuickNAT, 3 planes", 0.65))]
    found = contests([few], runs)
    assert most_wins(found, {}) == [("scans, split source", NOT, "0 of 8", FEW)]


def test_distances_against_the_first_rival(ours):
    found = contests([ours], rivals(fcnn=0.5))
    assert smaller_distances(found, {}) == [("scans, split source", CONSISTENT, "16 of 16", "")]
    near = result_of("scans_fcnn", run("F-CNN", 0.5, 1.0))
    assert smaller_distances(contests([ours], [near]), {})[0][1:3] == (NOT, "0 of 16")


def test_other_splits_are_other_contests(ours):
    other = run("F-CNN", 0.5)
    other["split"]["rule"] = "section:1/3"
    (contest,) = contests([ours], [result_of("scans_fcnn", other)])
    assert list(contest.runs) == ["F-CNN"]
    (row,) = rival_tables([contest])[0].rows
    assert row[-2:] == ("-", "-")


def test_a_region_that_was_never_found_leaves_no_better_mean(ours):
    record = run("F-CNN", 0.5, 1.0)
    record["hausdorff95_mm_per_region"][NAMES[0]] = None
    table, *_ = rival_tables(contests([ours], [result_of("scans_fcnn", record)]))
    cells = dict(zip(table.header, table.rows[1], strict=True))
    assert cells["Hausdorff 95 %, mm"] == "-" and cells["Hausdorff, mm"] == "1.000"


def test_the_own_network_stands_once_and_the_u_net_beside_it(ours):
    larger = result_of("ours_384", run("Mask R-CNN", 0.7))
    unet = result_of("ours_unet", run("U-Net", 0.65))
    (contest,) = contests([ours, larger, unet], rivals(fcnn=0.5))
    assert contest.runs[OURS] == (ours,) and list(contest.runs) == [OURS, "F-CNN", "U-Net"]
