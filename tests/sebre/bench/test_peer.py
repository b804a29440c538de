"""torchvision beside ours: the same work, in turn, in a process of its own.

What needs torchvision runs under `make test-peer`, which names an interpreter that has it
in SEBRE_PEER_PYTHON.
"""

import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from learner import Learner
from paths import ROOT

from sebre.bench import __main__ as program
from sebre.bench import measurements as record
from sebre.bench import peer, torchvision_peer, worker
from sebre.bench.cases import catalogue, detect
from sebre.bench.timing import matrix_product
from sebre.bench.ways import configuration

PYTHON = os.environ.get("SEBRE_PEER_PYTHON", sys.executable)
needs_torchvision = pytest.mark.skipif(
    PYTHON == sys.executable and importlib.util.find_spec("torchvision") is None,
    reason="torchvision is not installed; `make test-peer` installs it and runs this",
)
SMALL = {"BACKBONE": "resnet18", "IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, "NUM_CLASSES": 3}
# A server in the place of torchvision: it writes down what it does.
SERVER = """
import json, os, sys, time
def serve():
    log = open(sys.argv[1] + ".log", "a")
    for line in sys.stdin:
        order = json.loads(line)
        if order.get("prepare", {}).get("die"):
            os._exit(7)
        if order.get("prepare", {}).get("refuse"):
            answer = {"error": "RuntimeError: other work"}
        else:
            log.write("peer begins, "); time.sleep(0.02); log.write("ends; "); log.flush()
            answer = {"ok": {"versions": {"torchvision": "0"}} if "prepare" in order else {}}
        print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def log(tmp_path, monkeypatch):
    """What the process in the place of torchvision's did."""
    server = tmp_path / "server.py"
    server.write_text(SERVER)
    monkeypatch.setattr(peer, "_SERVER", server)
    return Path(f"{server}.log")


def prepared(monkeypatch, *tasks):
    """A kind of case with these tasks."""
    module = types.ModuleType("made_up_case")
    module.prepare = lambda settings, seed: worker.Prepared(tasks)
    monkeypatch.setitem(sys.modules, "made_up_case", module)
    monkeypatch.setitem(worker.KINDS, "made_up", "made_up_case")


def measure(kind, peer_python, rounds=2, **settings):
    """With a matrix product in place of R, which takes long to build."""
    case = {"kind": kind, "settings": settings, "rounds": rounds, "seed": 0}
    product, _ = matrix_product(32)
    return worker.measure({**case, "peer_python": peer_python}, product, matrix=32)["entries"]


def test_the_peer_has_the_work_of_the_paper():
    config = configuration({})
    work = peer.work_of(config, (240, 384), (256, 384))
    assert (work["backbone"], work["classes"], work["batch"]) == ("resnet101", 9, 1)
    assert (work["anchors"], work["proposals"], work["masks"]) == (6000, 1000, 8)
    assert (work["rpn_channels"], work["anchor_px"]) == (512, [8, 16, 32, 64, 128])
    step = peer.work_of(config, (384, 384), (384, 384), training=True)
    # Ours runs the mask head on all ROIs, positive or not.
    assert (step["proposals"], step["rois"], step["masks"]) == (2000, 32, 32)
    config = configuration({"MASK_ROIS": "positive", "PRECISION": "bfloat16", "IMAGES_PER_GPU": 4})
    step = peer.work_of(config, (384, 384), (384, 384), training=True)
    assert (step["masks"], step["precision"], step["batch"]) == (10, "bfloat16", 4)
    # 64 px have no 6000 anchors.
    assert peer.work_of(config, (64, 64), (64, 64))["anchors"] == 3 * (256 + 64 + 16 + 4 + 1)
    with pytest.raises(peer.PeerFailed, match="no such settings: {'BACKBONE_WIDTH': 0.5}"):
        peer.work_of(configuration({"BACKBONE_WIDTH": 0.5}), (64, 64), (64, 64))


def test_a_way_with_less_work_stands_beside_all_of_it():
    for name, (_, way) in catalogue.WAYS.items():
        work = detect._of_peer({**way, "RUNTIME": "keras"}, 0, (240, 384), (256, 384), {})
        assert (work["anchors"], work["proposals"]) == (6000, 1000), name
        assert work["precision"] == ("bfloat16" if "bfloat16" in name else "float32"), name
    way = catalogue.WAYS["bfloat16"][1]
    narrow = detect._of_peer(way, 0, (240, 384), (256, 384), {"rpn_channels": 256})
    assert narrow["rpn_channels"] == 256


@pytest.mark.parametrize(
    ("canvas", "total", "each"),
    [((256, 384), 6000, 2244), ((384, 384), 6000, 1866), ((64, 64), 1023, 768)],
)
def test_levels_share_the_anchors(canvas, total, each):
    levels = [3 * -(-canvas[0] // s) * -(-canvas[1] // s) for s in (4, 8, 16, 32, 64)]
    assert torchvision_peer.anchors_per_level(canvas, 3, total) == each
    assert sum(min(each, level) for level in levels) == total


def test_torch_stays_out_of_this_process():
    code = (
        "import sys, sebre.bench.__main__, sebre.bench.torchvision_peer\n"
        "assert not {'torch', 'torchvision'} & set(sys.modules), 'torch is imported'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_one_of_the_two_computes_at_a_time(log, monkeypatch):
    def ours():
        with log.open("a") as file:
            file.write("ours; ")

    work = {"precision": "float32"}
    prepared(monkeypatch, worker.Task("", ours, peer=work), worker.Task("alone", ours))
    first, alone = measure("made_up", sys.executable, rounds=3)
    # The first calls; then the rounds, with a task that has no peer in each.
    began = "ours; ours; peer begins, ends; "
    assert log.read_text() == began + "ours; peer begins, ends; ours; " * 3
    found = record.PeerEntry.from_json(first["peer"])
    assert found.ratio == pytest.approx(first["seconds"] / found.seconds)
    assert found.q1 <= found.ratio <= found.q3 < 1 and found.seconds >= 0.02
    assert first["peer"]["work"] == work and "peer" not in alone


def test_without_a_peer_ours_is_timed_alone(log, monkeypatch):
    def task(**work):
        return worker.Task("", lambda: None, peer={"precision": "float32", **work})

    prepared(monkeypatch, task())
    (entry,) = measure("made_up", None)
    assert entry["n"] == 2 and not {"peer", "peer_reason"} & set(entry) and not log.exists()
    prepared(monkeypatch, task(refuse=True))
    (entry,) = measure("made_up", sys.executable)
    assert entry["n"] == 2 and entry["peer_reason"] == "RuntimeError: other work"
    prepared(monkeypatch, task(die=True))
    (entry,) = measure("made_up", sys.executable)
    assert entry["peer_reason"] == "the process of torchvision ended with code 7"


def test_a_python_without_torchvision_is_named(tmp_path, monkeypatch, capsys):
    entry = record.Entry(name="x", kind="detect", title="", unit="R", status="failed", reason="?")
    asked = []

    def run_case(case, rounds, seed, datasets, peer_python):
        asked.append(peer_python)
        return [entry]

    monkeypatch.setattr("sebre.bench.run.run_case", run_case)
    missing = str(tmp_path / "python")
    only = ["--only", "detect/float32"]
    assert program.main([*only, "--peer-python", missing]) == 2
    error = capsys.readouterr().err
    assert f"--peer-python {missing} has no torchvision: " in error and asked == []
    assert "-m pip install torchvision" in error and error.count("\n") == 1
    monkeypatch.setattr(peer, "why_not", lambda python: "No module named 'torchvision'")
    program.main(only)
    error = capsys.readouterr().err
    assert "nothing is timed beside torchvision: No module named" in error and asked == [None]
    # Cases that have no peer ask for none.
    program.main(["--only", "memory/resnet18"])
    assert "beside" not in capsys.readouterr().err
    monkeypatch.setattr(peer, "why_not", lambda python: "")
    program.main(only)
    entry.peer_reason = "RuntimeError: other work"
    assert program.main([*only, "--peer-python", missing]) == 3
    assert asked == [None, None, sys.executable, missing]
    assert "without a peer: x" in capsys.readouterr().err


def test_why_an_interpreter_will_not_do(tmp_path, monkeypatch):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('no such operator')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert peer.why_not(sys.executable) == "RuntimeError: no such operator"
    (tmp_path / "torchvision.py").write_text("")
    assert peer.why_not(sys.executable) == ""


# --- With torchvision -----------------------------------------------------------------


def small_work(training=False, **changes):
    settings = {"proposals": 20, "anchors": 100, "rpn_samples": 16, "rois": 8, "masks": 5}
    config = configuration(SMALL)
    return peer.work_of(config, (40, 64), (64, 64), training, **{**settings, **changes})


@needs_torchvision
def test_torchvision_does_the_work_that_is_asked():
    works = {
        "float32": small_work(),
        "bfloat16": small_work(precision="bfloat16"),
        "two": small_work(batch=2, rpn_channels=256),
        "step": small_work(True),
        "step of two": small_work(True, batch=2, masks=8, precision="bfloat16"),
        "too much": small_work(proposals=101),
    }
    with peer.peers_of(works, PYTHON) as found:
        for name in [*works][:-1]:
            assert found[name].reason == ""
            found[name].run()
            found[name].run()
    done = {name: peer.facts["done"] for name, peer in found.items() if peer.run}
    # Of 100 anchors: 28 of each of three levels, and all of two, 12 and 3.
    assert done["float32"] == {"suppressed": [99, 20], "rois": 20, "masks": 5}
    assert done["bfloat16"] == done["float32"]
    assert done["two"] == {"suppressed": [99, 99, 20, 20], "rois": 40, "masks": 10}
    assert done["step"] == {"suppressed": [99], "rois": 8, "masks": 5}
    assert done["step of two"] == {"suppressed": [99, 99], "rois": 16, "masks": 16}
    facts = found["float32"].facts
    assert facts["gflop"] > 1 and set(facts["versions"]) == {"torch", "torchvision"}
    # A step has the products of a detection three times.
    assert found["step"].facts["gflop"] > 2 * facts["gflop"]
    reason = found["too much"].reason
    # Of 99 boxes non-maximum suppression leaves fewer.
    assert "torchvision did other work, {'suppressed': [99, 93], 'rois': 93" in reason


@needs_torchvision
def test_the_work_of_the_paper_is_that_of_the_limit():
    """Its steps of 2 lie in other convolutions, which costs 1 %."""
    from sebre.bench import work_limit

    work = peer.work_of(configuration({}), (240, 384), (256, 384))
    with peer.peers_of({"": work}, PYTHON) as found:
        facts = found[""].facts
    assert facts["done"] == {"suppressed": [6000, 1000], "rois": 1000, "masks": 8}
    assert facts["gflop"] == pytest.approx(work_limit.gflop((256, 384), 1000), rel=0.015)


@needs_torchvision
@pytest.mark.parametrize("kind", ["detect", "train"])
def test_a_small_network_is_timed_beside_torchvision(kind, monkeypatch):
    if kind == "train":
        monkeypatch.setattr("mrcnn.model.MaskRCNN", Learner)  # ours takes long to compile
    changes = {"proposals": 20, "anchors": 100}
    settings = {"config": {**SMALL, "NUM_CLASSES": 9}, "peer": changes}
    images = {"images": [(40, 64)]} if kind == "detect" else {}
    (entry,) = measure(kind, PYTHON, **settings, **images)
    found = record.PeerEntry.from_json(entry["peer"])
    assert found.ratio == pytest.approx(entry["seconds"] / found.seconds)
    assert found.precision == "float32" and entry["peer"]["work"]["canvas_px"] == [64, 64]
