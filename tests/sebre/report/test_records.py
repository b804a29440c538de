"""Results read back: whole ones, and what is said of those that are not."""

import json

import pytest
from paths import ROOT
from result_samples import human_mri, made_up, made_up_method, newer, stored, write

from sebre.data.regions import HIPPOCAMPUS
from sebre.experiments import EXPERIMENTS
from sebre.report.records import (
    METHODS_FOLDER,
    SPLITS_FOLDER,
    expected_results,
    of_experiment,
    of_network,
    read_methods,
    read_results,
    read_splits,
    shipped_methods,
    shipped_results,
)
from sebre.report.tables import dice_table, map_table, provenance_table, scores_table, table1

REAL = ROOT / "results"


@pytest.fixture
def folder(tmp_path):
    human_mri(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def real():
    return read_results(REAL, expected={})[0]


def test_the_shipped_results_are_whole(real):
    results, problems = read_results(REAL)
    assert problems == () and results == real
    assert {r.name for r in results} == {path.stem for path in REAL.glob("*.json")} - {"trust"}
    assert {r.name for r in results} >= set(shipped_results())
    for result in results:
        assert stored(result) == json.loads((REAL / f"{result.name}.json").read_text("utf-8"))


def test_results_come_in_the_order_of_the_experiments(tmp_path):
    names = HIPPOCAMPUS.names
    write(
        tmp_path,
        a=made_up("my_own", "z", 0.1, names),
        b=made_up("slicemap", "y", 0.1, names),
        c=made_up("hippocampus", "y", 0.1, names),
        d=made_up("hippocampus", "x", 0.1, names),
    )
    results, problems = read_results(tmp_path, {})
    assert [result.name for result in results] == ["d", "c", "b", "a"] and problems == ()


def test_a_missing_file_is_named_with_its_command(folder):
    results, problems = read_results(
        folder, {"own": "sebre evaluate A", "gone": "sebre evaluate B"}
    )
    assert [result.name for result in results] == ["own", "other"]
    path = folder / "gone.json"
    assert problems == (f"{path}: is not there. Make it: sebre evaluate B --out {path}",)
    _, problems = read_results(folder)
    assert len(problems) == len(expected_results())
    assert any(f"{folder / 'slicemap.json'}: is not there" in problem for problem in problems)


def change(record, **values):
    return json.dumps({**record, **values}).encode()


GOOD = made_up("hippocampus", "plates", 0.2, HIPPOCAMPUS.names)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as JSON"),
        (json.dumps(GOOD).encode()[:-40], "cannot be read as JSON"),
        (b"\xff\xfe\x00", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"[1, 2]", "it holds a JSON list, not an object"),
        (b"null", "it holds a JSON NoneType, not an object"),
        (b"{}", "it lacks experiment, dataset, subset, weights, n_sections"),
        (b'{"cells": [], "nbformat": 4}', "it lacks experiment"),
        (change(GOOD, dataset=7), "dataset is 7, not text"),
        (change(GOOD, turned=[]), "turned is neither an object nor null"),
        (change(GOOD, turned={"n_sections": 3}), "it lacks turned.map_paper"),
        (change(GOOD, map_paper="0.9"), "map_paper is '0.9', neither a number nor null"),
        (change(GOOD, map_paper=float("nan")), "map_paper is nan, neither"),
        (change(GOOD, coco_ap=True), "coco_ap is True, neither"),
        (change(GOOD, n_sections=None), "n_sections is None, not a number"),
        (change(GOOD, dice_per_region=[1]), "dice_per_region is not an object"),
        (change(GOOD, iou_per_region={"CA1": "x"}), "iou_per_region of CA1 is 'x'"),
        (change(GOOD, sections=None), "sections is not a list"),
        (change(GOOD, sections=[{"section": "val/0"}]), "it lacks sections[0].regions"),
        (change(GOOD, sections=[{"regions": {"CA1": {"iou": 1}}}]), "it lacks sections[0].section"),
        (
            change(
                GOOD,
                sections=[
                    {"section": "val/0", "regions": {"CA1": {"score": 1, "iou": None, "dice": 1}}}
                ],
            ),
            "sections[0].regions.CA1.iou is None, not a number",
        ),
    ],
)
def test_a_damaged_or_foreign_file_is_named_and_the_rest_goes_on(folder, content, message):
    (folder / "bad.json").write_bytes(content)
    results, problems = read_results(folder, {})
    assert [result.name for result in results] == ["own", "other"]
    (problem,) = problems
    assert problem.startswith(f"{folder / 'bad.json'}: not a whole result of `sebre evaluate`: ")
    assert message in problem and "move it out of the folder" in problem
    _, (problem,) = read_results(folder, {"bad": "sebre evaluate X"})
    assert problem.endswith(f"Make it again: sebre evaluate X --out {folder / 'bad.json'}")


def test_a_folder_named_like_a_file(folder):
    (folder / "bad.json").mkdir()
    results, (problem,) = read_results(folder, {})
    assert len(results) == 2 and str(folder / "bad.json") in problem


def test_no_folder_and_an_empty_one(tmp_path, published):
    assert read_results(tmp_path, {}) == ((), ())
    with pytest.raises(FileNotFoundError, match="no such folder. Give the folder"):
        read_results(tmp_path / "gone")
    assert [row[2] for row in map_table((), published).rows] == [
        *["not run: needs the Allen API"] * 3,
        "not run: needs registration",
    ]
    assert scores_table(()).rows == provenance_table(()).rows == ()
    assert dice_table((), published, "hippocampus").rows == ()
    assert len(table1((), published).rows) == 8


POINT = {"angle": 3, "map_paper": 0.5, "dice_mean": 0.5, "intervals": {}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"network": 7}, "network is 7, not text"),
        ({"intervals": []}, "intervals holds a JSON list, not an object"),
        ({"intervals": {"map_paper": [0.1]}}, "intervals.map_paper is [0.1], neither [low, high]"),
        ({"intervals": {"map_paper": [0.1, "x"]}}, "intervals.map_paper is [0.1, 'x'], neither"),
        ({"intervals": {"dice_per_region": {"CA1": 1}}}, "intervals.dice_per_region.CA1 is 1"),
        ({"interval_unit": None}, "interval_unit is None, not text"),
        ({"n_interval_units": "7"}, "n_interval_units is '7', not a number"),
        ({"failures": 3}, "failures is not an object"),
        ({"failures": {"missed": 3}}, "failures.missed holds a JSON int, not an object"),
        ({"failures": {"missed": {"total": 3}}}, "failures.missed.per_region"),
        ({"angles": 3}, "angles is neither an object nor null"),
        ({"angles": {"n_sections": None, "curve": []}}, "angles.n_sections is None"),
        (
            {"angles": {"n_sections": 3, "curve": [{"angle": 3}]}},
            "it lacks angles.curve[0].map_paper",
        ),
        (
            {"angles": {"n_sections": 3, "curve": [{**POINT, "angle": None}]}},
            "angles.curve[0].angle is None, not a number",
        ),
    ],
)
def test_newer_fields_are_checked_too(tmp_path, content, message):
    record = newer(made_up("hippocampus", "plates", 0.2, HIPPOCAMPUS.names))
    write(tmp_path, good=record, bad={**record, **content})
    results, (problem,) = read_results(tmp_path, {})
    assert [result.name for result in results] == ["good"] and message in problem
    turned = {**record["turned"], **{k: v for k, v in content.items() if k in record["turned"]}}
    if turned != record["turned"]:
        write(tmp_path, bad={**record, "turned": turned})
        _, (problem,) = read_results(tmp_path, {})
        assert f"turned.{message}" in problem


# --- methods and splits


def method_files(folder):
    names = HIPPOCAMPUS.names
    write(
        folder,
        a=made_up_method("hippocampus", "plates", "none", names, 0.3),
        b=made_up_method("hippocampus", "plates", "dipy", names, 0.4),
        c=made_up_method("hippocampus", "plates", "elastix", names, 0.5),
        d=made_up_method(
            "hippocampus", "plates", "network", names, 0.6, network="U-Net", weights="u"
        ),
        e=made_up_method(
            "hippocampus", "plates", "network", names, 0.7, network="Mask R-CNN", weights="m"
        ),
    )


def test_methods_come_networks_first(tmp_path):
    method_files(tmp_path)
    methods, problems = read_methods(tmp_path, {})
    assert problems == ()
    assert [(m.name, m.method_name, m.network) for m in methods] == [
        ("e", "Mask R-CNN", "Mask R-CNN"),
        ("d", "U-Net", "U-Net"),
        ("c", "elastix (affine, B-spline)", ""),
        ("b", "SyN (dipy)", ""),
        ("a", "no registration", ""),
    ]


def drop(record, key, turned=False):
    record = json.loads(json.dumps(record))
    del (record["turned"] if turned else record)[key]
    return record


ELASTIX = made_up_method("hippocampus", "plates", "elastix", HIPPOCAMPUS.names, 0.5)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "it holds a JSON list"),
        (drop(ELASTIX, "method"), "it lacks method"),
        ({**ELASTIX, "method": None}, "method is None, not text"),
        ({**ELASTIX, "method": "network"}, "network is None, not text"),
        ({**ELASTIX, "method": "network", "network": "U-Net"}, "weights is None, not text"),
        ({**ELASTIX, "turned": None}, "turned holds a JSON NoneType"),
        (drop(ELASTIX, "rotate", turned=True), "it lacks turned.rotate"),
        (drop(ELASTIX, "mse"), "it lacks mse"),
        (drop(ELASTIX, "sections", turned=True), "it lacks turned.sections"),
        ({**ELASTIX, "mse": None}, "mse is None, not a number"),
        (
            {**ELASTIX, "seconds_per_section": 3},
            "seconds_per_section is neither an object nor null",
        ),
        (
            {**ELASTIX, "sections": [{"section": "val/0", "regions": {}}]},
            "it lacks sections[0].mse",
        ),
        (
            {**ELASTIX, "sections": [{"section": "val/0", "regions": {}, "mse": None}]},
            "sections[0].mse is None",
        ),
        (made_up("hippocampus", "plates", 0.2, HIPPOCAMPUS.names), "it lacks method"),
    ],
)
def test_a_damaged_method_is_named_and_the_rest_goes_on(tmp_path, record, message):
    method_files(tmp_path)
    write(tmp_path, c=record)
    methods, (problem,) = read_methods(tmp_path, {})
    assert [method.name for method in methods] == ["e", "d", "b", "a"]
    assert problem.startswith(f"{tmp_path / 'c.json'}: not a whole result of `sebre register`: ")
    assert message in problem and "Make it again with `sebre register`" in problem
    _, (problem,) = read_methods(tmp_path, {"c": "sebre register X"})
    assert problem.endswith(f"Make it again: sebre register X --out {tmp_path / 'c.json'}")


def test_which_methods_are_expected(tmp_path, monkeypatch):
    expected = shipped_methods()
    for dataset in ("ara_nissl", "malc2012"):
        assert {f"{dataset}_{name}" for name in ("none", "elastix", "dipy")} <= set(expected)
    assert "--method network --weights hippocampus " in expected["ara_nissl_hippocampus"]
    assert "register ibsr --dataset datasets/malc2012 " in expected["malc2012_ibsr"]
    # A network that is new in the manifest is expected in both folders.
    entry = {"file": "x.h5", "experiment": "hippocampus", "dataset": "ara_nissl"}
    (tmp_path / "manifest.json").write_text(json.dumps({"new": {**entry, "network": "unet"}}))
    monkeypatch.setenv("SEBRE_WEIGHTS", str(tmp_path))
    assert list(shipped_results()) == ["new"]
    networks = {name for name, command in shipped_methods().items() if "network" in command}
    assert networks == {"ara_nissl_new"}


def test_missing_methods_are_named_and_a_missing_folder_is_no_problem(tmp_path):
    assert read_methods(tmp_path / METHODS_FOLDER) == ((), ())
    assert read_splits(tmp_path / SPLITS_FOLDER) == ((), ())
    _, problems = read_methods(tmp_path)
    assert len(problems) == len(shipped_methods())
    path = tmp_path / "malc2012_elastix.json"
    command = "sebre register ibsr --dataset datasets/malc2012 --method elastix --rotate 20"
    assert any(
        problem.startswith(f"{path}: is not there. Make it: {command}")
        and problem.endswith(f"--out {path}")
        for problem in problems
    )
    _, (problem,) = read_splits(tmp_path)
    assert "ibsr_by_section.json: is not there" in problem and "--split section:1/3" in problem


def test_a_damaged_split_is_named(tmp_path):
    (tmp_path / "ibsr_by_section.json").write_text("{")
    splits, (problem,) = read_splits(tmp_path)
    assert splits == () and "cannot be read as JSON" in problem and "Make it again" in problem


def test_the_shipped_methods_and_splits_are_whole():
    for read, name in ((read_methods, METHODS_FOLDER), (read_splits, SPLITS_FOLDER)):
        shipped, problems = read(REAL / name)
        assert problems == ()
        assert {result.name for result in shipped} == {
            path.stem for path in (REAL / name).glob("*.json")
        }
        assert {result.experiment for result in shipped} <= set(EXPERIMENTS)


def test_results_by_network(tmp_path):
    old = made_up("hippocampus", "plates", 0.1, HIPPOCAMPUS.names)
    unet = newer(made_up("hippocampus", "plates", 0.2, HIPPOCAMPUS.names), network="U-Net")
    write(tmp_path, old=old, unet=unet)
    results, _ = read_results(tmp_path, {})
    assert [r.name for r in of_network(results)] == ["old"]
    assert [r.name for r in of_network(results, "U-Net")] == ["unet"]
    assert [label for label, _ in of_experiment(results, "hippocampus")] == ["plates"]
    assert [r.name for _, r in of_experiment(results, "hippocampus", "U-Net")] == ["unet"]
