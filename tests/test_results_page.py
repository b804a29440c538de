"""RESULTS.md, its figures and the claims ledger come from stored results, whole or damaged."""

import json
import shutil
from pathlib import Path

import pytest
from result_samples import STAND_IN, human_mri, made_up, write

from sebre import cli, results_page
from sebre.claims import (
    NOT,
    NOT_RUN,
    PARTLY,
    REPRODUCED,
    RIVAL,
    SCORE,
    SETTING,
    ledger,
    ledger_table,
    verdicts_table,
)
from sebre.published import read_published
from sebre.regions import HIPPOCAMPUS, SUBCORTICAL
from sebre.results import read_results

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def published():
    return read_published()


def test_the_page_is_what_the_stored_results_give(published):
    results, problems = read_results(ROOT / "results")
    drawn = results_page.figures(results, published)
    captions = {name: caption for name, (caption, _) in drawn.items()}
    page = results_page.render(results, problems, published, captions)
    assert (ROOT / "RESULTS.md").read_text(encoding="utf-8") == page, "Run `sebre compare`."
    figures = {path.stem for path in (ROOT / results_page.FIGURES).iterdir()}
    assert figures == set(drawn), "Run `sebre compare`."


# --- the ledger


def claims_of(folder, published):
    return ledger(read_results(folder, expected={})[0], published)


def test_every_published_number_has_a_row(tmp_path, published):
    claims = claims_of(tmp_path, published)
    assert len(claims) == len(published) + 3
    for claim, score in zip(claims, published, strict=False):
        assert claim.where == score.where
        if score.value is not None:
            assert float(claim.published) == pytest.approx(score.value, rel=1e-3)
        assert claim.verdict in (REPRODUCED, PARTLY, NOT, NOT_RUN)
        assert claim.why or claim.verdict == REPRODUCED


def test_without_results_no_score_is_called_reproduced(tmp_path, published):
    claims = claims_of(tmp_path, published)
    assert {c.verdict for c in claims if c.kind in (SCORE, RIVAL)} == {NOT_RUN}
    settings = [c for c in claims if c.kind == SETTING]
    assert len(settings) == 29
    for claim in settings:
        same = float(claim.published) == float(claim.on_paper_data)
        assert claim.verdict == (REPRODUCED if same else PARTLY)
        assert bool(claim.why) != same


def test_counts_of_the_paper_follow_from_its_rules(tmp_path, published):
    ours = {c.what: c.on_paper_data for c in claims_of(tmp_path, published)}
    assert ours["mouse P14, train images"] == "400"
    assert ours["hippocampus, test images"] == "280"
    assert ours["training, stage2 learning rate"] == "0.0001"
    assert ours["comparison, table1 dice wins"] == "5"


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
    table = ledger_table(claims)
    assert len(table.rows) == len(claims)
    assert STAND_IN in table.groups
    counts = verdicts_table(claims).rows
    assert sum(int(cell) for row in counts for cell in row[1:]) == len(claims)


# --- the command


def test_compare_prints_tables_and_writes_the_page(tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["compare", "--results", ROOT / "results", "--out", out]) == cli.DONE
    printed = capsys.readouterr().out
    assert "Mean average precision\n" in printed and "Table 1: structures in human MRI" in printed
    assert (out / "RESULTS.md").read_bytes() == (ROOT / "RESULTS.md").read_bytes()
    for name in (out / results_page.FIGURES).iterdir():
        assert name.stat().st_size > 5000
    assert not list(out.rglob("*.part"))


@pytest.mark.parametrize("damage", ["delete", "cut", "foreign"])
def test_one_bad_file_is_named_and_the_rest_is_reported(tmp_path, capsys, monkeypatch, damage):
    monkeypatch.setattr(results_page, "figures", lambda results, published: {})
    folder = tmp_path / "results"
    folder.mkdir()
    for path in (ROOT / "results").glob("*.json"):
        shutil.copy(path, folder)
    bad = folder / "ibsr.json"
    if damage == "delete":
        bad.unlink()
    elif damage == "cut":
        bad.write_text(bad.read_text()[:5000])
    else:
        bad.write_text(json.dumps({"hello": 1}))
    out = tmp_path / "out"
    assert cli.main(["compare", "--results", folder, "--out", out]) == cli.SOME_FAILED
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "ibsr.json" in captured.err
    assert "sebre evaluate ibsr --dataset datasets/malc2012" in captured.err
    page = (out / "RESULTS.md").read_text()
    assert "**Missing here:**" in page and "| ibsr | 0.95 | not run: needs registration |" in page
    assert "0.972" in page


def test_nothing_to_compare(tmp_path, capsys):
    assert cli.main(["compare", "--results", tmp_path / "none", "--out", tmp_path]) == 2
    assert "none: no such folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert cli.main(["compare", "--results", tmp_path / "empty", "--out", tmp_path]) == 2
    assert "no result of `sebre evaluate` in it" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]


def test_a_table_for_the_terminal(tmp_path):
    human_mri(tmp_path)
    table = results_page.table1(read_results(tmp_path, expected={})[0], read_published())
    lines = table.text().splitlines()
    heads, header, first = lines[2], lines[3], lines[4]
    assert heads.index("ours, on the paper's data ibsr") == header.index("Hausdorff, mm")
    assert heads.index("ours, on stand-in data") == header.index("Hausdorff, px")
    assert first.startswith("Caudate (left)") and "1.874" in first
    end = header.index("Hausdorff, SeBRe") + len("Hausdorff, SeBRe")
    assert first[:end].endswith(" 1.874")
