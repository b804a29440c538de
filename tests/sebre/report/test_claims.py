"""The claims ledger: every number and statement of the paper, with its verdict."""

import pytest
from paths import ROOT
from result_samples import (
    PAPERS,
    STAND_IN,
    made_up,
    made_up_method,
    newer,
    result_of,
    write,
)

from sebre.data.regions import HIPPOCAMPUS, SUBCORTICAL
from sebre.report.claims import (
    ledger,
    ledger_table,
    stand_in_table,
    statements_table,
    verdicts_table,
)
from sebre.report.markdown import notes
from sebre.report.page import claims_of as claims_of_records
from sebre.report.page import read_records
from sebre.report.records import (
    read_methods,
    read_others,
    read_results,
    read_splits,
)
from sebre.report.statements import (
    AVAILABLE,
    NEEDS_NITRC,
    NOT_RUN,
    NOTEBOOK,
    PARTLY,
    REPRODUCED,
    RIVAL,
    SCORE,
    SETTING,
    STATEMENT,
    not_public,
)
from sebre.report.systems.rival_tables import contests
from sebre.report.trials.stand_in_rule import CONSISTENT, FEW, NOT, OPEN

NAMES = HIPPOCAMPUS.names
STATEMENTS = 14  # without the one that is a number in the file


def claims_of(folder, published):
    return ledger(read_results(folder, expected={})[0], published)


def test_every_published_number_has_a_row(tmp_path, published):
    claims = claims_of(tmp_path, published)
    assert len(claims) == len(published) + STATEMENTS
    for claim, score in zip(claims, published, strict=False):
        assert claim.where == score.where
        if score.value is not None:
            assert float(claim.published) == pytest.approx(score.value, rel=1e-3)
        assert claim.verdict in (REPRODUCED, AVAILABLE, PARTLY, NOT, NOT_RUN)
        assert claim.why


def test_without_results_no_score_is_called_reproduced(tmp_path, published):
    claims = claims_of(tmp_path, published)
    assert {c.verdict for c in claims if c.kind in (SCORE, RIVAL)} == {NOT_RUN}
    settings = [c for c in claims if c.kind == SETTING]
    assert len(settings) == 35
    for claim in settings:
        # The paper prints shares as 2/3 and 3/4.
        same = float(claim.published) == pytest.approx(float(claim.on_paper_data), rel=5e-3)
        assert (claim.verdict != PARTLY) == same and claim.why
    # A constant that no number was made with is no result.
    verdicts = {c.what: c.verdict for c in settings}
    for what in ("inference, max detections", "inference, min confidence"):
        assert verdicts[what] == REPRODUCED
    for what in (
        "training, stage1 learning rate",
        "training, momentum",
    ):
        assert verdicts[what] == AVAILABLE
    assert set(verdicts.values()) == {REPRODUCED, AVAILABLE, PARTLY}


def test_counts_of_the_paper_follow_from_its_rules(tmp_path, published):
    ours = {c.what: c.on_paper_data for c in claims_of(tmp_path, published)}
    assert ours["mouse P14, train images"] == "400"
    assert ours["hippocampus, test images"] == "280"
    assert (ours["IBSR, train images"], ours["IBSR, test images"]) == ("372", "185")
    assert ours["mouse P14, train share"] == "0.6667"
    assert ours["training, stage2 learning rate"] == "0.0001"
    (wins,) = (c for c in claims_of(tmp_path, published) if "table1 dice wins" in c.what)
    assert (wins.on_paper_data, wins.verdict) == ("-", NOT_RUN) and wins.why.startswith("5 of 8")
    (distances,) = (c for c in claims_of(tmp_path, published) if "DeepLab" in c.what)
    assert distances.why.startswith("16 of 16") and distances.verdict == NOT_RUN


def test_what_is_not_run_says_why_as_it_is_today():
    records = read_records(ROOT / "results")
    claims = claims_of_records(records)
    reasons = {NEEDS_NITRC, not_public(), *notes("fact", "machine", "plotted")}
    left = [claim for claim in claims if claim.verdict == NOT_RUN]
    assert len(left) > 50
    assert [c for c in left if not any(reason in c.why for reason in reasons)] == []
    # All rivals of Table 1 were run here, and no row says that they were not.
    rivals = [c for c in left if c.kind == RIVAL and c.where == "Table 1"]
    assert len(rivals) == 40 and all("on stand-in data only" in c.why for c in rivals)
    assert all(c.on_stand_in != "-" for c in rivals)
    assert not any(note in c.stand_in_says for c in left for note in notes("no_rival"))


def test_rivals_that_were_not_run_say_so(tmp_path, published):
    claims = claims_of(tmp_path, published)
    table = [c for c in claims if c.kind == RIVAL and c.where == "Table 1"]
    assert all("was not run here" in c.why and NEEDS_NITRC in c.why for c in table)
    assert {c.stand_in_says for c in table} == set(notes("not_this_rival"))


def test_the_score_of_the_notebook_is_not_the_papers(tmp_path, published):
    claims = claims_of(tmp_path, published)
    kinds = {c.what: c.kind for c in claims if "detection score" in c.what}
    assert set(kinds.values()) == {NOTEBOOK} and len(kinds) == 8
    rows = {row[0]: row[1:] for row in verdicts_table(claims).rows}
    assert rows[NOTEBOOK] == ("0", "0", "0", "0", "8") and rows[SCORE][-1] == "29"
    assert dict.fromkeys(rows).keys() == {row[0] for row in stand_in_table(claims).rows}


def test_stand_ins_are_shown_and_decide_nothing(tmp_path, published):
    record = made_up("hippocampus", "ara_nissl", 0.9, HIPPOCAMPUS.names)
    write(tmp_path, mine={**record, "map_paper": 0.95})
    claim = next(c for c in claims_of(tmp_path, published) if c.what.startswith("mouse hippo"))
    assert claim.on_stand_in == "ara_nissl 0.950"
    assert (claim.on_paper_data, claim.verdict) == ("-", NOT_RUN)
    assert "not public" in claim.why


@pytest.mark.parametrize(("score", "verdict"), [(0.96, REPRODUCED), (0.91, REPRODUCED), (0.5, NOT)])
def test_scores_on_the_papers_own_data_are_judged(tmp_path, published, score, verdict):
    record = made_up("ibsr", "ibsr", 0.9, SUBCORTICAL.names, volumes=True)
    write(tmp_path, ibsr={**record, "map_paper": score})
    claim = next(c for c in claims_of(tmp_path, published) if c.what == "IBSR human MRI, mAP")
    assert claim.on_paper_data == f"ibsr {score:.3f}"
    assert claim.verdict == verdict and f"{score:.3f}" in claim.why


def test_a_distance_is_better_when_it_is_smaller(tmp_path, published):
    record = made_up("ibsr", "ibsr", 0.9, SUBCORTICAL.names, volumes=True)
    record["hausdorff_mm_per_region"] = dict.fromkeys(SUBCORTICAL.names, 1.0)
    record["cmd_mm_per_region"] = dict.fromkeys(SUBCORTICAL.names, 9.0)
    write(tmp_path, ibsr=record)
    verdicts = {c.what: c.verdict for c in claims_of(tmp_path, published) if c.kind == SCORE}
    assert verdicts["IBSR human MRI, Caudate (left), hausdorff distance mean"] == REPRODUCED
    assert verdicts["IBSR human MRI, Caudate (left), contour mean distance mean"] == NOT


def test_tables_of_the_ledger(tmp_path, published):
    claims = claims_of(tmp_path, published)
    numbers, statements = ledger_table(claims), statements_table(claims)
    assert len(numbers.rows) + len(statements.rows) == len(claims)
    assert len(statements.rows) == sum(c.kind == STATEMENT for c in claims) == STATEMENTS + 1
    for table in (numbers, statements):
        assert STAND_IN in table.groups and any(PAPERS in group for group in table.groups)
    counts = verdicts_table(claims).rows
    assert sum(int(cell) for row in counts for cell in row[1:]) == len(claims)


# --- statements


def claim_at(where, claims):
    (claim,) = (c for c in claims if c.where == where and c.kind == STATEMENT)
    return claim


def test_without_results_statements_are_not_run(tmp_path, published):
    for claim in claims_of(tmp_path, published)[-STATEMENTS:]:
        assert (claim.on_stand_in, claim.stand_in, claim.verdict) == ("-", OPEN, NOT_RUN)
        assert claim.why


def registration(folder, ours, elastix, lddmm):
    """Ledger of results of methods with these squared errors, section by section."""
    more = {"network": "Mask R-CNN", "weights": "small"}
    records = {
        "ours": made_up_method("hippocampus", "plates", "network", NAMES, 0.6, **more),
        "elastix": made_up_method("hippocampus", "plates", "elastix", NAMES, 0.4),
        "lddmm": made_up_method("hippocampus", "plates", "lddmm", NAMES, 0.4),
        # Neither is a registration that the statement is of.
        "none": made_up_method("hippocampus", "plates", "none", NAMES, 0.9),
        "unet": made_up_method(
            "hippocampus", "plates", "network", NAMES, 0.9, network="U-Net", weights="u"
        ),
    }
    for name, errors in (("ours", ours), ("elastix", elastix), ("lddmm", lddmm)):
        for section, error in zip(records[name]["sections"], errors, strict=True):
            section["mse"] = error
        records[name]["mse"] = sum(errors) / len(errors)
    write(folder, **records)
    methods, problems = read_methods(folder, {})
    assert problems == ()
    return methods


LOW, HIGH = [0.001, 0.002] * 3, [0.004, 0.005] * 3


@pytest.mark.parametrize(
    ("elastix", "lddmm", "says"),
    [
        (HIGH, HIGH, CONSISTENT),
        (HIGH, [0.0] * 6, NOT),
        ([0.0] * 6, [0.0] * 6, NOT),
        (HIGH, [0.004, 0.0] * 3, OPEN),
    ],
)
def test_the_error_of_registration_on_the_stand_in(tmp_path, published, elastix, lddmm, says):
    methods = registration(tmp_path, LOW, elastix, lddmm)
    claims = ledger((), published, methods)
    claim = claim_at("Fig. 8", claims)
    assert claim.stand_in_says == f"plates upright: {says}; plates turned: {CONSISTENT}"
    assert claim.on_stand_in.startswith(
        f"plates upright: Mask R-CNN 0.0015, elastix (affine, B-spline) {sum(elastix) / 6:.4f}, "
        f"LDDMM {sum(lddmm) / 6:.4f}; plates turned: "
    )
    assert "U-Net" not in claim.on_stand_in and "no registration" not in claim.on_stand_in
    assert (claim.on_paper_data, claim.verdict) == ("-", NOT_RUN)
    assert "ndreg" in claim.what and "LDDMM as made here takes its place" in claim.why
    # The three rows of the plot, that have no number in the paper.
    plotted = {c.what: c for c in claims if c.where == "Fig. 8b/8c"}
    assert len(plotted) == 3 and {c.verdict for c in plotted.values()} == {NOT_RUN}
    assert {c.published for c in plotted.values()} == {"plotted"}
    ours = plotted["mouse P14 original test set, MSE mean"]
    assert ours.on_stand_in.startswith("plates 0.0015, turned ")
    ndreg = plotted["mouse P14 original test set, ndreg, MSE mean"]
    assert ndreg.on_stand_in.startswith(f"plates {sum(lddmm) / 6:.4f}")
    assert "LDDMM as made here takes its place" in ndreg.why


def test_what_rotation_does_to_registration(tmp_path, published):
    # Every method of the samples loses 0.1.
    methods = registration(tmp_path, LOW, HIGH, HIGH)
    claim = claim_at("Supp. 7", ledger((), published, methods))
    assert claim.stand_in_says == f"plates: {NOT}"
    assert "Mask R-CNN" in claim.on_stand_in and "U-Net" not in claim.on_stand_in
    assert claim.verdict == NOT_RUN


def test_registration_without_a_network_says_nothing(tmp_path, published):
    write(tmp_path, e=made_up_method("hippocampus", "plates", "elastix", NAMES, 0.4))
    claim = claim_at("Fig. 8", ledger((), published, read_methods(tmp_path, {})[0]))
    assert claim.stand_in_says == "" and "elastix" in claim.on_stand_in


@pytest.mark.parametrize(
    ("angles", "n_units", "lowest", "says"),
    [
        ((-20, 0, 10), 7, "0.480 at -20 of -20 to 10 degrees", CONSISTENT),
        ((-150, -20, 0, 20), 5, "0.480 at -20 of -20 to 20 degrees", CONSISTENT),
        ((-150, 0, 180), 7, "0.320 at 180 of -150 to 180 degrees", NOT),
        ((-150, 0, 180), 4, "0.320 at 180 of -150 to 180 degrees", OPEN),
    ],
)
def test_the_lowest_score_of_all_angles(tmp_path, published, angles, n_units, lowest, says):
    record = newer(made_up("hippocampus", "plates", 0.5, NAMES), n_units=n_units, angles=angles)
    for point in record["angles"]["curve"]:
        point["map_paper"] = 0.5 - abs(point["angle"]) / 1000
    turned = record["turned"]["map_paper"]
    write(tmp_path, a={**record, "map_paper": 0.5})
    claim = claim_at("Fig. 4", claims_of(tmp_path, published))
    assert claim.on_stand_in == f"plates 0.500 to {turned:.3f}, lowest {lowest}"
    few = f" ({FEW})" if n_units < 5 else ""
    assert claim.stand_in_says == f"plates: {says}{few}" and claim.verdict == NOT_RUN
    assert claim.stand_in == says


def test_splits_beside_each_other(tmp_path, published):
    (tmp_path / "splits").mkdir()
    leaky = made_up("ibsr", "scans", 0.8, SUBCORTICAL.names)
    leaky["split"]["rule"] = "section:1/3"
    ours = made_up("ibsr", "scans", 0.6, SUBCORTICAL.names)
    other = made_up("ibsr", "others", 0.3, SUBCORTICAL.names)
    write(tmp_path / "splits", a=leaky)
    write(tmp_path, b=ours, c=other)
    results, splits = read_results(tmp_path, {})[0], read_splits(tmp_path / "splits", {})[0]
    claims = ledger(results, published, (), splits)
    (claim,) = (c for c in claims if "slices at random" in c.what)
    assert claim.on_stand_in == (
        f"scans {leaky['map_paper']:.3f} (split section:1/3), "
        f"{ours['map_paper']:.3f} (split subject:1/3)"
    )
    assert (claim.verdict, claim.published) == (NOT_RUN, "0.95")
    # Nowhere else.
    assert claims[:-1] == ledger(results, published)[:-1]


def test_the_papers_network_is_held_against_the_papers_scores(tmp_path, published):
    (tmp_path / "paper_network").mkdir()
    copies = {"unit": "subject", "n_units": 22}
    good = newer(made_up("ibsr", "scans", 0.6, SUBCORTICAL.names, weights="theirs.h5"), **copies)
    good |= {"map_paper": 0.93, "intervals": {**good["intervals"], "map_paper": [0.91, 0.95]}}
    strict = {**good, "detection_min_confidence": 0.9}
    write(tmp_path / "paper_network", a=good, b=strict)
    write(tmp_path, ours=made_up("ibsr", "scans", 0.5, SUBCORTICAL.names))
    results, (paper, problems) = (
        read_results(tmp_path, {})[0],
        read_others(tmp_path / "paper_network"),
    )
    assert not problems
    before, after = (
        next(
            c
            for c in ledger(results, published, paper_network=made)
            if "IBSR human MRI, mAP" in c.what
        )
        for made in ((), paper)
    )
    assert before.stand_in == OPEN and "theirs.h5" not in before.on_stand_in
    assert after.stand_in == CONSISTENT and "scans, weights theirs.h5 0.930" in after.on_stand_in
    assert "0.930 [0.910, 0.950]" in after.stand_in_says and after.verdict == NOT_RUN


def test_rivals_that_were_run_here_stand_beside_those_printed(tmp_path, published):
    runs = {
        name: made_up_method(
            "ibsr",
            "scans",
            "network",
            SUBCORTICAL.names,
            start,
            "subject",
            network=name,
            weights="w",
        )
        for name, start in (("Mask R-CNN", 0.9), ("F-CNN", 0.7), ("QuickNAT", 0.6))
    }
    for record in runs.values():
        record["n_interval_units"] = 7
        record["intervals"]["dice_per_region"] = dict.fromkeys(SUBCORTICAL.names, [0.69, 0.73])
    ours, *rivals = (result_of(name, record) for name, record in runs.items())
    claims = ledger([], published, live=contests([ours], rivals))
    (caudate,) = (c for c in claims if "F-CNN, Caudate (left), dice mean" in c.what)
    assert caudate.on_stand_in == "F-CNN 0.725" and caudate.verdict == NOT_RUN
    assert (caudate.stand_in, caudate.stand_in_says) == (NOT, "F-CNN: not (0.725 [0.690, 0.730])")
    (missing,) = (c for c in claims if "BrainSegNet, Caudate (left)" in c.what)
    assert (missing.on_stand_in, missing.stand_in) == ("-", OPEN)
    (wins,) = (c for c in claims if "table1 dice wins" in c.what)
    assert wins.stand_in_says == "scans, split source: open (BrainSegNet not run)"


def test_a_unet_is_in_no_claim(tmp_path, published):
    record = newer(made_up("ibsr", "scans", 0.6, SUBCORTICAL.names, volumes=True))
    write(tmp_path, ours=record)
    claims = claims_of(tmp_path, published)
    unet = made_up("ibsr", "scans", 0.9, SUBCORTICAL.names, volumes=True, weights="unet")
    write(tmp_path, unet=newer(unet, network="U-Net"))
    assert claims_of(tmp_path, published) == claims


def test_whole_volumes_stand_beside_sections(tmp_path, published):
    record = made_up("ibsr", "scans", 0.6, SUBCORTICAL.names, volumes=True)
    write(tmp_path, ours=record)
    claims = {c.what: c for c in claims_of(tmp_path, published)}
    dice, volume = (record[f"dice_per_region{end}"]["left_caudate"] for end in ("", "_volume"))
    claim = claims["IBSR human MRI, Caudate (left), dice mean"]
    assert claim.on_stand_in == f"scans {dice:.3f}, whole volumes {volume:.3f}"
    assert "volumes" not in claims["IBSR human MRI, mAP"].on_stand_in
