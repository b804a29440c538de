"""`python -m sebre.bench`: ratios, the choice of cases, baselines, the page, and tiny cases."""

import copy
import dataclasses
import importlib
import json
import math
import re
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
from learner import Learner
from paths import ROOT

from mrcnn.data.samples import load_sample
from mrcnn.model import MaskRCNN
from mrcnn.modeling.layers import graph_nodes
from sebre.bench import __main__ as program
from sebre.bench import enlarged_sections as pictures
from sebre.bench import entry_tables as tables
from sebre.bench import measurements as record
from sebre.bench import performance_page as page
from sebre.bench import run, targets, timing, work_limit, worker
from sebre.bench.cases import catalogue as cases
from sebre.bench.performance_page import scaling_figure
from sebre.bench.timing import matrix_product, reference_network
from sebre.bench.ways import TIMED, configuration, kind_of

BESIDE = ROOT / "results" / "bench" / "beside_torchvision.json"
STORED = ROOT / "results" / "bench" / "baseline.json"
SCORED = ROOT / "results" / "bench" / "accuracy_resnet101.json"
TINY = {
    "BACKBONE": "resnet18",
    "BACKBONE_WIDTH": 0.25,
    "TOP_DOWN_PYRAMID_SIZE": 32,
    "RPN_CONV_FILTERS": 32,
    "FPN_CLASSIF_FC_LAYERS_SIZE": 32,
    "MASK_CONV_FILTERS": 16,
    "IMAGE_MIN_DIM": 64,
    "IMAGE_MAX_DIM": 64,
    "POST_NMS_ROIS_INFERENCE": 20,
    "POST_NMS_ROIS_TRAINING": 20,
    "PRE_NMS_LIMIT": 100,
}


class Clock:
    """Time that passes only while a task runs."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def __call__(self):
        return self.now

    def task(self, name, seconds):
        seconds = iter(seconds)

        def run():
            self.calls.append(name)
            self.now += next(seconds)

        return run


def test_every_round_lies_between_two_of_the_reference():
    clock = Clock()
    rounds = timing.interleave(
        {"a": clock.task("a", [2, 4, 30]), "b": clock.task("b", [8, 8, 8])},
        clock.task("R", [1, 1, 1, 2, 2, 2, 1, 3, 1]),
        3,
        {"m": clock.task("m", [0.5, 0.25, 0.25])},
        clock,
    )
    ratios = {"a": rounds.ratio("a"), "b": rounds.ratio("b", items=4)}
    assert clock.calls == ["m", "R", "a", "R", "b", "R"] * 3
    # Around a: (1, 1), (2, 2), (1, 3); around b: (1, 1), (2, 2), (3, 1).
    assert ratios["a"].ratio == 4 / 1.5
    assert (ratios["a"].seconds, ratios["a"].r_seconds, ratios["a"].n) == (4, 1.5, 3)
    assert (ratios["a"].q1, ratios["a"].q3) == (2, 8.5)  # of 2, 2, 15
    assert (ratios["b"].ratio, ratios["b"].seconds) == (2 / 1.5, 2)
    # The rounds' ratios are 2, 1, 1.
    assert (ratios["b"].q1, ratios["b"].q3) == (1, 1.5)
    assert rounds.median("m") == 0.25
    # Of the rounds of a and b alone: 2 / 8, 4 / 8, 30 / 8.
    beside = rounds.against("a", "b")
    assert (beside.ratio, beside.q1, beside.q3) == (0.5, 0.375, 2.125)
    assert (beside.seconds, beside.r_seconds) == (4, 8)


def test_the_range_of_the_quartiles_holds_the_ratio():
    ratio = timing.ratio_of([1, 1, 10], [1, 5, 10], [1, 5, 10])
    assert ratio.ratio == 1 / 5
    assert (ratio.q1, ratio.q3) == (0.2, 1)


@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_the_slope_is_the_exponent(power):
    sizes = np.array([128, 256, 512]) ** 2
    assert timing.slope(sizes, 3.0 * sizes**power) == pytest.approx(power)
    with pytest.raises(ValueError, match="two different sizes"):
        timing.slope([4, 4], [1, 2])


def test_cases_are_chosen_by_name_group_and_pattern():
    every = cases.all_cases()
    names = [case.name for case in every]
    assert len(set(names)) == len(names)
    json.dumps([dict(case.settings) for case in every])  # they travel as a file

    def chosen(*only, quick=False, long=False):
        return [case.name for case in cases.select(every, only, quick, long)]

    assert chosen("detect/float32") == ["detect/float32"]
    assert chosen("train") == [name for name in names if name.startswith("train/")]
    assert chosen("train/", "*/bfloat16") == ["detect/bfloat16", *chosen("train")]
    assert set(chosen(quick=True)) == {
        "detect/float32",
        "detect/bfloat16",
        "detect/fit64",
        "detect/bfloat16_fit64",
        "train/384_float32",
        "train/384_bfloat16",
    }
    assert set(chosen(long=True)) - set(chosen()) == {
        "memory/resnet18",
        "memory/resnet101",
        "accuracy/slicemap_384",
        "accuracy/extended_mouse_384",
    }
    with pytest.raises(ValueError, match="--only detekt: there is no such case.*detect/float32"):
        chosen("detekt")


def entry(name, ratio, spread=0.02, **more):
    kind = {"side": "detect"}.get(name.split("/")[0], name.split("/")[0])
    facts = {
        "name": name,
        "kind": kind,
        "title": "made up",
        "note": "",
        "unit": "R",
        "status": record.MEASURED,
        "ratio": ratio,
        "q1": ratio - spread,
        "q3": ratio + spread,
        "n": 5,
        "seconds": ratio * 0.3,
        "r_seconds": 0.3,
        "gflops": 200.0,
    }
    return record.Entry.from_json({**facts, **more})


def peer(ratio, precision="float32"):
    versions = {"torch": "2", "torchvision": "1"}
    facts = {"ratio": ratio, "q1": ratio - 0.01, "q3": ratio + 0.01, "seconds": 0.2}
    return {"peer": {"precision": precision, "versions": versions, **facts}}


def score(name, change):
    more = {"sections": 12, "map": 0.9 + change, "map_before": 0.9, "dice": 0.8, "dice_before": 0.8}
    return entry(name, abs(change), 0, unit="change of a score", **more)


@pytest.fixture
def made_up():
    size = {"image_px": [240, 384], "proposals": 1000}
    low = {**size, "gflops_bfloat16": 400.0}
    fewer = {**size, "proposals": 300}
    entries = [
        entry("detect/float32", 1.7, **size, **peer(0.9)),
        entry("detect/bfloat16", 0.9, **low, **peer(0.8, "bfloat16")),
        entry("detect/bfloat16_fit64", 0.6, **low, **peer(0.4, "bfloat16")),
        entry("detect/fit64", 1.2, **size, **peer(0.97)),
        entry("detect/float16", 0, status=record.NOT_AVAILABLE, reason="no such units"),
        entry("detect/openvino_int8_300_fit64", 0.3, **fewer, **peer(0.3)),
        *(entry(f"side/{side}", side**2 / 1e5) for side in (128, 256, 512)),
        entry("train/384_float32", 4.0, **peer(0.9)),
        entry("input/1000/png", 0.5, epoch="first, decoding", format="png"),
        *(score(f"accuracy/{name}/openvino_int8_300_fit64", 0.005) for name in "ab"),
        *(score(f"accuracy/{name}/fit64", 0.001) for name in "ab"),
        *(score(f"accuracy/{name}/bfloat16_fit64", 0.0) for name in "ab"),
        score("accuracy/a/bfloat16", 0.0),
    ]
    machine = {
        "processor": "made up",
        "cores": 2,
        "memory_gib": 4.0,
        "flags": ["avx2"],
        "versions": {"keras": "3", "openvino": None},
        "python": "3",
        "platform": "none",
        "revision": None,
        "date": "today",
    }
    return record.Record(
        command="python -m sebre.bench", seed=0, rounds=5, machine=machine, cases=entries
    )


def test_targets_are_said_to_be_reached_or_missed(made_up):
    found = {f.target.text: f for f in targets.findings(made_up)}
    assert len(found) == len(targets.findings(made_up))
    verdicts = {text: f.verdict for text, f in found.items()}
    # The worse of the two counts.
    float32 = found["detect, float32, padded to a square and not"]
    assert (float32.case, float32.value, float32.verdict) == ("detect/fit64", 0.97, "missed by 2%")
    assert verdicts["detect, bfloat16, padded to a square and not"] == "reached"
    assert found["exponent of the cost in pixels (1 is linear)"].value == pytest.approx(1)
    step = "training step, all layers, resnet101, 384 px, 1 and 4 sections"
    assert verdicts[f"{step}, float32"] == "reached in 1 of 2 cases"
    assert verdicts[f"{step}, bfloat16"] == "not measured"
    # int8 changes scores, bfloat16 stands beside a peer in bfloat16.
    fastest, of_kind = (f for text, f in found.items() if "fastest" in text)
    assert (fastest.case, fastest.verdict) == ("detect/fit64", "missed by 116%")
    assert of_kind.verdict == "not measured"
    scored = [score(f"accuracy/{name}/fit64", 0.0) for name in "cd"]
    for one in scored:
        one.network = TIMED
    for change, verdict in ((0.003, "missed: no way keeps the scores"), (0.001, "missed by 116%")):
        scored[1].ratio = change
        more = dataclasses.replace(made_up, cases=[*made_up.cases, *scored])
        again = [f.verdict for f in targets.findings(more) if TIMED in f.target.text]
        assert again == [verdict]
    assert kind_of(configuration({})) == TIMED
    # 0.27 s at 400 GFLOP/s for 126.5 GFLOP, and 0.18 s for 96.4.
    limit = found["detect, bfloat16, against its products alone, padded to a square and not"]
    assert (limit.case, limit.value) == ("detect/bfloat16", pytest.approx(0.854, abs=0.001))
    table = tables.targets_table(found.values())
    wanted = ("at most 0.95 x torchvision", "0.970 [0.960, 0.980]", "detect/fit64", "missed by 2%")
    assert ("detect, float32, padded to a square and not", *wanted) in table.rows
    *_, shown = program._tables(made_up)
    assert "missed by 2%" in shown.text() and "not measured" not in shown.text()


def test_the_limit_is_of_the_work_of_each_way(made_up):
    over = {name: work_limit.over_limit(entry) for name, entry in made_up.measured.items()}
    assert over["detect/float32"] == pytest.approx(1.7 * 0.3 * 200 / 126.505, rel=1e-4)
    # Two thirds of the pixels: 256 x 384 px.
    dense = 2 * work_limit.DENSE / 1e9
    smaller = 126.505 - dense / 3
    assert over["detect/fit64"] == pytest.approx(1.2 * 0.3 * 200 / smaller, rel=1e-4)
    assert over["detect/bfloat16"] == pytest.approx(0.9 * 0.3 * 400 / 126.505, rel=1e-4)
    # No product of eight bits is timed; steps have no limit.
    assert over["detect/openvino_int8_300_fit64"] is None and over["train/384_float32"] is None
    made_up.cases[1].gflops_bfloat16 = None
    assert work_limit.over_limit(made_up.cases[1]) is None


def test_the_limit_counts_the_products_of_the_network(tmp_path):
    model = MaskRCNN("training", configuration({}), tmp_path).keras_model
    counted = Counter()

    def count(layer, positions):
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            return
        part = "box" if layer.name.startswith("mrcnn") else "dense"
        part = "mask" if layer.name.startswith("mrcnn_mask") else part
        # A transposed convolution of stride 2 has a product for every fourth output.
        stride = layer.strides[0] if isinstance(layer, keras.layers.Conv2DTranspose) else 1
        counted[part] += positions // stride**2 * math.prod(kernel.shape)

    for node in graph_nodes(model):
        if isinstance(node.operation, keras.Function):  # the RPN, of each level
            for layer in node.operation.layers:
                count(layer, math.prod(node.input_tensors[0].shape[1:3]))
        else:
            count(node.operation, math.prod(node.outputs[0].shape[1:-1]))
    parts = {"dense": work_limit.DENSE, "box": work_limit.BOX, "mask": work_limit.MASK}
    assert counted == parts
    assert work_limit.gflop((384, 384), 1000) == pytest.approx(126.5, abs=0.05)


def test_slower_needs_more_than_the_tolerance_and_both_quartiles(made_up):
    def verdict(ratio, spread=0.02, **more):
        change = record.compare(entry("detect/float32", ratio, spread, **more), made_up)
        return change and change.verdict

    assert verdict(1.7 * 1.1) == record.SAME
    assert verdict(1.7 * 1.3) == record.SLOWER
    assert verdict(1.7 * 1.3, spread=0.6) == record.SAME
    assert verdict(1.7 * 0.7) == record.FASTER
    assert verdict(1.7 * 1.3, unit="another") is None
    made_up.cases[0].q1, made_up.cases[0].q3 = 1.6, 2.3
    assert verdict(1.7 * 1.3) == record.SAME
    assert record.compare(entry("detect/new", 1), made_up) is None
    assert record.compare(score("accuracy/a/bfloat16", 0.1), made_up) is None
    change = record.compare(entry("detect/bfloat16", 1.8), made_up)
    assert (change.before, change.change) == (0.9, pytest.approx(1.0))
    line = tables.line(entry("detect/bfloat16", 1.8), change)
    assert line.endswith("0.900 +100.0% slower")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(format=0), "not a benchmark of format 1, but 0"),
        (lambda r: r.pop("machine"), "it lacks machine"),
        (lambda r: r["cases"][0].pop("unit"), "it lacks cases[0].unit"),
        (lambda r: r["cases"][0].update(ratio="1"), "cases[0].ratio is '1', neither a number"),
        (lambda r: r["cases"][0].pop("n"), "detect/float32 is measured, and lacks"),
        (lambda r: r["cases"][4].pop("reason"), "detect/float16 is not measured, and no reason"),
    ],
)
def test_a_record_that_is_not_whole_is_refused(made_up, tmp_path, change, message, capsys):
    path = tmp_path / "record.json"
    stored = made_up.to_json()
    path.write_text(json.dumps(stored))
    assert record.read_record(path).to_json() == stored
    change(stored)
    path.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=f"record.json: {re.escape(message)}.*--out"):
        record.read_record(path)
    assert program.main(["--baseline", str(path), "--only", "detect/float32"]) == 2
    assert message in capsys.readouterr().err


def test_the_page_says_what_the_record_says(made_up, tmp_path):
    source, out = tmp_path / "bench" / "record.json", tmp_path / "PAGE.md"
    source.parent.mkdir()
    source.write_text(json.dumps(made_up.to_json()))
    assert program.main(["--page", str(out), "--from", str(source)]) == 0
    text = out.read_text()
    assert "**Detection**" not in text  # a heading says it
    assert text == page.page({"bench/record.json": made_up}, "bench/scaling.png")
    # A page and its figure that came without a record are known, and so is what was changed.
    for record_of_written in tmp_path.rglob(".written.jsonl"):
        record_of_written.unlink()
    assert program.main(["--page", str(out), "--from", str(source)]) == 0
    out.write_text(text + "my own remark\n")
    assert program.main(["--page", str(out), "--from", str(source)]) == 2
    assert out.read_text() == text + "my own remark\n"
    assert (tmp_path / "bench" / "scaling.png").read_bytes().startswith(b"\x89PNG")
    for row in (
        "not | at most 0.95 x torchvision | 0.970 [0.960, 0.980] | detect/fit64 | missed by 2% |",
        "| 1.700 [1.680, 1.720] | 0.900 [0.890, 0.910] | 0.81 | 5 |",
        "| 0.300 [0.280, 0.320] | 0.300 [0.290, 0.310] | - | 5 |",
        "| fit64 | +0.0010 | +0.0000 | +0.0010 | +0.0000 | holds |",
        "| openvino_int8_300_fit64 | +0.0050 | +0.0000 | +0.0050 | +0.0000 | does not hold |",
        "| bfloat16 | +0.0000 | +0.0000 | - | - | holds |",
        "| a, 12 sections: mAP 0.9000 | mean Dice 0.8000 | b, 12 sections: mAP 0.9000 |",
        "- `detect/float16`: not available: no such units",
        "ran at 200 GFLOP/s in float32 and 400 GFLOP/s in bfloat16",
        "- Peer: torch 2, torchvision 1",
        "![Cost over the side of the input](bench/scaling.png)",
        "--baseline bench/record.json",
    ):
        assert row in text, row
    changed = copy.deepcopy(made_up)
    changed.cases[3] = entry("detect/fit64", 1.2, **peer(0.85))
    row = "not | at most 0.95 x torchvision | 0.900 [0.890, 0.910] | detect/float32 | reached |"
    assert row in page.page({"x": changed})
    # Without a peer its columns stay, with dashes.
    for case in changed.cases:
        case.peer = None
    alone = page.page({"x": changed})
    assert "- Peer: none was timed in this record" in alone
    assert "| 1.700 [1.680, 1.720] | - | 0.81 | 5 |" in alone
    assert (
        "| training step, all layers, resnet101, 384 px, 1 and 4 sections, float32 | at most 1 x "
        "torchvision | - | - | not measured |" in alone
    )
    assert scaling_figure(dataclasses.replace(made_up, cases=made_up.cases[:3])) is None


def test_cases_of_a_later_record_take_the_place_of_those_of_their_names(made_up):
    later = dataclasses.replace(
        made_up,
        cases=[entry("detect/float32", 1.1), entry("detect/more", 1.3)],
        machine={**made_up.machine, "processor": "Another"},
    )
    text = page.page({"a.json": made_up, "b.json": later})
    assert "`b.json`, 2 of detect:" in text and "- Processor: Another," in text
    assert text.count("| detect/float32 |") == 1 and "| detect/more |" in text
    assert "| 1.100 [1.080, 1.120] |" in text and "--from a.json b.json" in text


def test_the_page_says_whether_the_timed_kind_of_network_was_scored(made_up):
    alone = page.page({"a.json": made_up})
    assert "(resnet101 of width 1 at 384 px); changes of scores are of 2 smaller ones." in alone
    timed = score("accuracy/mine/fit64", 0.001)
    timed.network = TIMED
    text = page.page({"a.json": made_up, "b.json": dataclasses.replace(made_up, cases=[timed])})
    assert "changes of scores are of 3 trained ones, of which `mine` are of the same kind" in text


def test_the_page_of_the_project_is_what_the_stored_record_gives():
    paths = [path.relative_to(ROOT).as_posix() for path in (STORED, BESIDE, SCORED)]
    stored = {name: record.read_record(ROOT / name) for name in paths}
    shown = STORED.with_name(page.FIGURE).relative_to(ROOT).as_posix()
    expected = page.page(stored, shown, page.measured_volumes(STORED))
    assert "## Volumes of electron microscopy" in expected
    assert expected.count("\n") <= 140  # three screens
    command = f"python -m sebre.bench --page PERFORMANCE.md --from {' '.join(paths)}"
    assert (ROOT / "PERFORMANCE.md").read_text(encoding="utf-8") == expected, f"Run `{command}`."


def order(kind, **settings):
    return {"kind": kind, "settings": settings, "rounds": 2, "seed": 0}


def measure(case):
    """With a matrix product in place of R, which takes long to build."""
    product, _ = matrix_product(32)
    result = worker.measure(case, product, matrix=32)
    json.dumps(result)  # it travels as a file
    assert result["status"] == record.MEASURED
    return result


def test_a_tiny_network_is_timed_between_rounds_of_a_reference():
    case = order("detect", config=TINY, images=[(40, 64), (64, 64)], batch=2)
    result = measure(case)
    assert result["gflops"] > 0 and result["gflops_bfloat16"] > 0 and result["devices"]
    first, second = result["entries"]
    assert (first["name"], second["name"]) == ("", "64x64")
    for found in result["entries"]:
        assert found["n"] == 2 and found["q1"] <= found["ratio"] <= found["q3"]
        assert found["ratio"] == pytest.approx(found["seconds"] / found["r_seconds"])
        assert found["peak_mib"] > 100 and found["first_call_s"] > 0 and found["batch"] == 2


def test_the_reference_is_in_float32_whatever_the_policy(monkeypatch):
    made = []

    def network(**arguments):
        assert arguments == {"include_top": False, "weights": None, "input_shape": (8, 8, 3)}
        made.append(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Dense(4)]))
        return made[0]

    monkeypatch.setattr(keras.applications, "ResNet101", network)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        output = reference_network(8)()
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert made[0].compute_dtype == "float32"
    assert output.shape == (1, 8, 8, 4) and output.dtype == np.float32


class Leaking:
    """A network that keeps 8 MiB of every picture."""

    def __init__(self, mode, config, folder):
        self.kept = []

    def detect(self, images):
        self.kept.append(np.ones(2**20))


def test_growth_of_memory_is_seen(monkeypatch):
    monkeypatch.setattr("mrcnn.model.MaskRCNN", Leaking)
    found = measure(order("memory", counts=[2, 4, 12]))["entries"]
    assert [e["name"] for e in found] == ["4", "12"]
    grown = [e["resident_mib"] - e["resident_mib_first"] for e in found]
    assert grown == pytest.approx([16, 80], abs=8)
    assert all(e["ratio"] == e["resident_mib"] / e["resident_mib_first"] for e in found)


def decodings(kind, monkeypatch, **settings):
    """How often each task of a case decodes an image, by its name; no time is compared."""
    calls = []

    def load(dataset, config, image_id):
        calls.append(image_id)
        return load_sample(dataset, config, image_id)

    monkeypatch.setattr("mrcnn.data.samples.load_sample", load)
    prepared = importlib.import_module(worker.KINDS[kind]).prepare(settings, 0)
    try:
        found = {}
        for task in prepared.tasks:
            calls.clear()
            task.run()
            found[task.name] = len(calls)
        return found
    finally:
        prepared.close()


def test_reading_is_timed_for_each_format_and_from_the_cache(monkeypatch):
    settings = {"side": 200, "count": 2, "formats": pictures.FORMATS, "config": TINY}
    found = measure(order("input", **settings))["entries"]
    assert [e["name"] for e in found] == ["png", "jpeg", "tiff", "cached"]
    assert [e["epoch"] for e in found] == ["first, decoding"] * 3 + ["cached"]
    assert all(e["seconds"] > 0 for e in found)
    counts = decodings("input", monkeypatch, **settings)
    assert counts == {"png": 2, "jpeg": 2, "tiff": 2, "cached": 0}


def test_steps_are_timed_with_files_and_with_one_batch_repeated(monkeypatch):
    monkeypatch.setattr("mrcnn.model.MaskRCNN", Learner)
    settings = {"side": 300, "count": 3, "format": "png", "config": TINY}
    found = measure(order("feed", **settings))["entries"]
    assert [e["name"] for e in found] == ["cached", "decoding"]
    assert all(e["steps"] == 3 and e["original_px"] == [300, 300] for e in found)
    assert all(e["seconds"] > 0 for e in found)
    assert decodings("feed", monkeypatch, **settings) == {"cached": 0, "decoding": 3}
    (found,) = measure(order("train", config=TINY))["entries"]
    assert found["loss"] > 0 and found["image_px"] == [64, 64]
    assert found["trainable_parameters"] == 4


def test_scores_of_each_way_are_held_against_those_of_the_network():
    ways = {
        "same": {},
        "blind": {"DETECTION_MIN_CONFIDENCE": 1.0},
        "int8": {"RUNTIME": "openvino", "PRECISION": "int8"},
    }
    settings = {"weights": "slicemap", "dataset": "slicemap", "datasets": "none", "limit": 2}
    same, blind, int8 = measure(order("accuracy", ways=ways, **settings))["entries"]
    assert same["ratio"] == 0.0 and same["map"] == same["map_before"] > 0.5
    assert same["network"] == "resnet18 of width 0.5 at 128 px"
    assert blind["ratio"] > 0.5 and same["sections"] == 2
    assert 0.0 < int8["ratio"] < 0.2


def test_a_network_of_ones_own_is_scored_in_each_way(tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(run, "run_case", lambda case, *_: seen.append(case) or [])
    network = ["--network", "mine", "logs/run", "slicemap"]
    assert program.main([*network, "--ways", "fit64,bfloat16", "--sections", "9"]) == 0
    (case,) = seen
    assert case.name == "accuracy/mine" and list(case.settings["ways"]) == ["fit64", "bfloat16"]
    assert case.settings["weights"] == "logs/run" and case.settings["dataset"] == "slicemap"
    assert case.settings["limit"] == 9
    assert program.main([*network, "--sections", "0"]) == 2
    assert program.main([*network, "--ways", "faster"]) == 2
    assert "--ways faster: there is no such way. There are bfloat16" in capsys.readouterr().err
    assert program.main(["--ways", "fit64"]) == 2
    assert program.main([*network, "--only", "detect/fit64"]) == 2
    assert "--network, --ways and --sections go together" in capsys.readouterr().err


def test_what_is_not_there_is_named_with_its_cure():
    result = worker.measure(order("detect", config={"NO_SUCH": 1}))
    assert result["status"] == record.NOT_AVAILABLE and "NO_SUCH" in result["reason"]
    result = worker.measure(order("detect", config={"RUNTIME": "no_such_package"}))
    assert result["reason"] == "the package is not installed: pip install no_such_package"

    missing = order(
        "accuracy", weights="ibsr", dataset="no_such", datasets="none", limit=1, ways={}
    )
    result = worker.measure(missing)
    assert result["status"] == record.NOT_AVAILABLE
    assert "no_such is not there" in result["reason"] and "--datasets" in result["reason"]


def test_a_case_that_fails_is_recorded_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    broken = cases.Case("x/broken", "detect", {"config": TINY, "images": 3})
    lost = cases.Case("x/lost", "detect")
    absent = cases.Case("x/absent", "detect", {"config": {"NO_SUCH": 1}})
    monkeypatch.setattr(cases, "all_cases", lambda: [broken, lost, absent])
    begin = run.start

    def start(command, log):
        if json.loads(Path(command[-2]).read_text())["name"] == "x/lost":
            command = [command[0], "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
        return begin(command, log)

    monkeypatch.setattr(run, "start", start)
    out = tmp_path / "new" / "record.json"
    assert program.main(["--out", str(out)]) == 3
    stored = record.read_record(out)
    assert stored.command == "python -m sebre.bench --out PATH"
    found = {e.name: (e.status, e.reason) for e in stored.cases}
    assert found["x/broken"][0] == record.FAILED and "TypeError" in found["x/broken"][1]
    assert found["x/lost"][0] == record.FAILED and "out of memory" in found["x/lost"][1]
    assert found["x/absent"][0] == record.NOT_AVAILABLE
    said = capsys.readouterr()
    assert "failed: x/broken, x/lost" in said.err and "x/absent" not in said.err
    assert "x/absent" in said.out
    assert [p.name for p in tmp_path.rglob("[!.]*")] == ["new", "record.json"]


def test_mistakes_of_the_user_are_named(tmp_path, capsys):
    for arguments, message in (
        (["--only", "nothing"], "there is no such case"),
        (["--repeats", "0"], "--repeats 0: give a whole number"),
        (["--page", "x.md"], "--page FILE.md and --from FILE.json go together"),
        (["--page", "x.md", "--from", str(tmp_path / "none")], "none"),
    ):
        assert program.main(arguments) == 2
        assert message in capsys.readouterr().err
