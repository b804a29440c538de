"""RESULTS.md and its figures come from stored results, whole or damaged."""

import json
import re
import shutil

import pytest
from paths import ROOT
from result_samples import human_mri, made_up, made_up_method, newer, write

from sebre.cli import commands as cli
from sebre.data.listing import visible
from sebre.data.regions import HIPPOCAMPUS, MOUSE, SLICEMAP, SUBCORTICAL
from sebre.report import page as results_page
from sebre.report.markdown import WIDE
from sebre.report.published import read_published
from sebre.report.records import (
    METHODS_FOLDER,
    SPLITS_FOLDER,
    expected_results,
    read_results,
    shipped_methods,
)
from sebre.report.tables import table1

MANIFEST = {
    "small": {"experiment": "hippocampus", "dataset": "ara_nissl", "network": "mask_rcnn"},
    "unet": {"experiment": "hippocampus", "dataset": "ara_nissl", "network": "unet"},
    "human": {"experiment": "ibsr", "dataset": "malc2012", "network": "mask_rcnn"},
}


def test_the_page_is_what_the_stored_results_give():
    records = results_page.read_records(ROOT / "results")
    drawn = results_page.figures(records)
    captions = {name: caption for name, (caption, _) in drawn.items()}
    claims = results_page.claims_of(records)
    content = results_page.chapters(records, claims)
    page = results_page.render(records, content, captions, claims)
    files = {name: table.csv() for part in content for name, table in part.files().items()}
    stored = {path.name: path.read_text("utf-8") for path in visible(ROOT / results_page.TABLES)}
    assert stored == files, "Run `sebre compare`."
    assert (ROOT / "RESULTS.md").read_text(encoding="utf-8") == page, "Run `sebre compare`."
    figures = {path.stem for path in visible(ROOT / results_page.FIGURES)}
    assert figures == set(drawn), "Run `sebre compare`."


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A whole folder of results of made-up shipped weights, and no figures."""
    monkeypatch.setattr(results_page, "figures", lambda records: {})
    monkeypatch.setenv("SEBRE_WEIGHTS", str(tmp_path))
    manifest = {name: {"file": f"{name}.h5", **entry} for name, entry in MANIFEST.items()}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    networks = {name: "U-Net" if name == "unet" else "Mask R-CNN" for name in MANIFEST}
    regions = {"ara_nissl": HIPPOCAMPUS.names, "malc2012": SUBCORTICAL.names}
    regions |= {"slicemap": SLICEMAP.names, "mouse_mri": MOUSE.names}
    experiments = {"ara_nissl": "hippocampus", "malc2012": "ibsr", "slicemap": "slicemap"}
    folder = tmp_path / "results"
    for path in (folder / METHODS_FOLDER, folder / SPLITS_FOLDER):
        path.mkdir(parents=True)
    start = iter((0.41, 0.51, 0.61, 0.71))
    for name, entry in MANIFEST.items():
        names = regions[entry["dataset"]]
        record = made_up(entry["experiment"], entry["dataset"], next(start), names, weights=name)
        write(folder, **{name: newer(record, network=networks[name])})
    write(folder, p14_mouse=newer(made_up("p14_mouse", "figures", 0.21, MOUSE.names)))
    for name in shipped_methods():
        data = next(data for data in regions if name.startswith(data))
        method = name.removeprefix(f"{data}_")
        more = {}
        if method in MANIFEST:
            more = {"network": networks[method], "weights": method}
            method = "network"
        experiment = experiments.get(data, "extended_mouse")
        record = made_up_method(experiment, data, method, regions[data], 0.3, **more)
        write(folder / METHODS_FOLDER, **{name: record})
    leaky = newer(made_up("ibsr", "malc2012", next(start), SUBCORTICAL.names, weights="run.h5"))
    write(folder / SPLITS_FOLDER, ibsr_by_section=leaky)
    return folder


def compare(folder, out):
    code = cli.main(["compare", "--results", folder, "--out", out])
    return code, (out / "RESULTS.md").read_text(encoding="utf-8")


def chapter(page, title):
    """The lines of a chapter."""
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_a_whole_folder_gives_every_chapter(folder, tmp_path, capsys):
    code, page = compare(folder, tmp_path / "out")
    captured = capsys.readouterr()
    assert code == cli.DONE and captured.err == ""
    assert "Missing here" not in page and "Left out" not in chapter(page, "Registration")
    assert "| small | " in chapter(page, "Scores") and "unet" not in chapter(page, "Scores")
    assert "U-Net" not in chapter(page, "How sure the scores are")
    tables = tmp_path / "out" / results_page.TABLES
    assert ",U-Net,unet," in (tables / "u_net_beside_mask_r_cnn.csv").read_text()
    assert (
        '"elastix (affine, B-spline)"' in (tables / "methods_on_the_same_sections.csv").read_text()
    )
    assert "run.h5" in chapter(page, "The paper's split")
    for title in ("Scores", "Registration", "How sure the scores are"):
        assert "run.h5" not in chapter(page, title)
    sources = chapter(page, "Provenance") + (tables / "where_our_numbers_come_from.csv").read_text()
    assert "registration/malc2012_human.json" in sources
    for name in ("p14_mouse", "ibsr_by_section"):
        assert f"The weights of {name}.json are not shipped. From raw data: sebre pre" in sources
    assert "The weights of human.json" not in sources
    assert "Left out: no result has volumes." in chapter(page, "Whole volumes")
    for name in ("95 % intervals", "Failures", "Methods on the same sections", "Verdicts"):
        assert f"\n{name}\n" in captured.out or captured.out.startswith(name)


def test_the_contents_lead_to_the_headings(folder, tmp_path):
    _, page = compare(folder, tmp_path / "out")
    links = re.findall(r"^- \[(.+)\]\(#(.+)\)$", page, re.MULTILINE)
    assert [title for title, _ in links] == re.findall(r"^## (.+)$", page, re.MULTILINE)
    # GitHub: lower case, punctuation left out, hyphens for spaces.
    assert dict(links)["Was Mask R-CNN needed?"] == "was-mask-r-cnn-needed"
    assert dict(links)["The paper's split"] == "the-papers-split"
    assert page.index("](#scores)") < page.index("## Scores")
    # No table is wider than a phone shows; links lead to the wide ones.
    heads = re.findall(r"^\|.*\|\n\| -", page, re.MULTILINE)
    assert heads and all(head.split("\n")[0].count("|") <= WIDE + 2 for head in heads)
    files = re.findall(r"\]\((results/tables/\S+\.csv)\)", page)
    assert "results/tables/claims_numbers.csv" in files
    assert all((tmp_path / "out" / file).is_file() for file in files)
    assert page.index("Does it reproduce the paper?") < page.index("| test data of ours")


def test_tables_are_built_once(folder, tmp_path, monkeypatch):
    calls = []
    for name in ("ledger", "map_table"):
        made = getattr(results_page, name)
        monkeypatch.setattr(
            results_page,
            name,
            lambda *args, made=made, name=name: calls.append(name) or made(*args),
        )
    compare(folder, tmp_path / "out")
    assert sorted(calls) == ["ledger", "map_table"]


def test_no_subfolders(folder, tmp_path, capsys):
    for name in (METHODS_FOLDER, SPLITS_FOLDER):
        shutil.rmtree(folder / name)
    (folder / "unet.json").unlink()
    code, page = compare(folder, tmp_path / "out")
    assert code == cli.SOME_FAILED  # of the U-Net alone
    assert capsys.readouterr().err.count("\n") == 1
    for title, line in (
        ("Registration", "Left out: no result of `sebre register` in `registration`"),
        ("The paper's split", "Left out: no result in `splits`"),
        ("Was Mask R-CNN needed?", "Left out: no result is of a U-Net."),
    ):
        assert chapter(page, title).strip().startswith(line)
        assert "|" not in chapter(page, title)


@pytest.mark.parametrize(
    ("name", "damage", "command"),
    [
        ("human", "cut", "evaluate ibsr --dataset datasets/malc2012 --weights human"),
        ("unet", "foreign", "evaluate hippocampus --dataset datasets/ara_nissl --weights unet"),
        (f"{METHODS_FOLDER}/malc2012_elastix", "delete", "--dataset datasets/malc2012 --method"),
        (f"{METHODS_FOLDER}/malc2012_elastix", "cut", "--dataset datasets/malc2012 --method"),
        (f"{METHODS_FOLDER}/ara_nissl_unet", "foreign", "--method network --weights unet"),
        (f"{SPLITS_FOLDER}/ibsr_by_section", "delete", "sebre evaluate ibsr"),
        (f"{SPLITS_FOLDER}/ibsr_by_section", "cut", "sebre evaluate ibsr"),
    ],
)
def test_one_bad_file_is_named_and_the_rest_is_reported(
    folder, tmp_path, capsys, name, damage, command
):
    bad = folder / f"{name}.json"
    if damage == "delete":
        bad.unlink()
    elif damage == "cut":
        bad.write_text(bad.read_text()[:3000])
    else:
        bad.write_text(json.dumps({"hello": 1}))
    code, page = compare(folder, tmp_path / "out")
    assert code == cli.SOME_FAILED
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    for text in (captured.err, page.split("**Missing here:**")[1].split("\n- [Scores]")[0]):
        assert f"{name}.json" in text and command in text
    sources = tmp_path / "out" / results_page.TABLES / "where_our_numbers_come_from.csv"
    named = re.findall(r"^(\S+?)\.json,", sources.read_text(), re.MULTILINE)
    whole = {*expected_results(), *(f"{METHODS_FOLDER}/{name}" for name in shipped_methods())}
    assert set(named) == (whole | {f"{SPLITS_FOLDER}/ibsr_by_section"}) - {name}


def test_compare_prints_tables_and_writes_the_page(tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["compare", "--results", ROOT / "results", "--out", out]) == cli.DONE
    printed = capsys.readouterr().out
    assert "Mean average precision\n" in printed and "Table 1: structures in human MRI" in printed
    assert (out / "RESULTS.md").read_bytes() == (ROOT / "RESULTS.md").read_bytes()
    for name in visible(out / results_page.FIGURES):
        assert name.stat().st_size > 5000
    assert not list(out.rglob("*.part"))


def test_only_pages_figures_and_tables_of_compare_are_replaced(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert compare(folder, out)[0] == cli.DONE
    page = out / "RESULTS.md"
    # As in a new copy of the repository, where no record says who wrote them.
    records = list(out.rglob(".written.jsonl"))
    for record in records:
        record.unlink()
    assert len(records) == 2 and compare(folder, out)[0] == cli.DONE
    table = next(visible(out / results_page.TABLES))
    for path, content in ((table, "my,own\n"), (page, page.read_text() + "my own remark\n")):
        before, _ = path.read_text(), path.write_text(content)
        assert cli.main(["compare", "--results", folder, "--out", out]) == cli.USER_ERROR
        assert f"{path.name}: there already" in capsys.readouterr().err
        assert path.read_text() == content
        path.write_text(before)
    page.unlink()
    for record in out.rglob(".written.jsonl"):
        record.unlink()
    assert cli.main(["compare", "--results", folder, "--out", out]) == cli.USER_ERROR
    assert "there already" in capsys.readouterr().err
    # Every figure and table that is shipped is known by the page that shows it.
    known = results_page._of_page(ROOT / "RESULTS.md")
    shipped = [*visible(ROOT / results_page.FIGURES), *visible(ROOT / results_page.TABLES)]
    assert all(known(path) for path in [ROOT / "RESULTS.md", *shipped])
    assert not known(ROOT / "README.md")


def test_nothing_to_compare(tmp_path, capsys):
    assert cli.main(["compare", "--results", tmp_path / "none", "--out", tmp_path]) == 2
    assert "none: no such folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert cli.main(["compare", "--results", tmp_path / "empty", "--out", tmp_path]) == 2
    assert "no result of `sebre evaluate` in it" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]


def test_a_table_for_the_terminal(tmp_path):
    human_mri(tmp_path)
    table = table1(read_results(tmp_path, expected={})[0], read_published())
    lines = table.text().splitlines()
    heads, header, first = lines[2], lines[3], lines[4]
    assert heads.index("ours, on the paper's data ibsr") == header.index("Hausdorff, mm")
    assert heads.index("ours, on stand-in data") == header.index("Hausdorff, px")
    assert first.startswith("Caudate (left)") and "1.874" in first
    end = header.index("Hausdorff, SeBRe") + len("Hausdorff, SeBRe")
    assert first[:end].endswith(" 1.874")


def test_the_made_up_folder_has_what_is_expected(folder):
    assert {path.stem for path in folder.glob("*.json")} == set(expected_results())
