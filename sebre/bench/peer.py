"""torchvision's Mask R-CNN beside ours: the same work, in a process of its own that waits."""

import json
import math
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "torchvision"
_SERVER = Path(__file__).with_name("torchvision_peer.py")
# By its path: the interpreter need not have this package.
_START = "import runpy, sys; runpy.run_path(sys.argv[1])['serve']()"
# What torchvision's network has no setting for, and its values there.
_FIXED = {
    "BACKBONE_WIDTH": 1.0,
    "BACKBONE_STRIDES": [4, 8, 16, 32, 64],
    "TOP_DOWN_PYRAMID_SIZE": 256,
    "FPN_CLASSIF_FC_LAYERS_SIZE": 1024,
    "MASK_CONV_FILTERS": 256,
    "POOL_SIZE": 7,
    "MASK_POOL_SIZE": 14,
    "RPN_ANCHOR_STRIDE": 1,
}


class PeerFailed(Exception):
    """The peer cannot do what was asked of it, and why."""


def why_not(python: str | Path) -> str:
    """Why an interpreter cannot run the peer; empty if it can."""
    command = [python, "-c", f"import {NAME}"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return found.stderr.strip().rpartition("\n")[2] if found.returncode else ""


def work_of(
    config: Any,
    image_px: Sequence[int],
    canvas_px: Sequence[int],
    training: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """What the peer is to do for the same work as ours: JSON types.

    Args:
        config: Config of ours.
        image_px: height and width of a section.
        canvas_px: of the network's input, which a section is padded to.
        training: a step instead of a detection.
        changes: entries that differ.
    """
    other = {name: found for name, v in _FIXED.items() if (found := getattr(config, name)) != v}
    if other:
        raise PeerFailed(f"torchvision's network has no such settings: {other}")
    low = config.PRECISION == "bfloat16"
    rois = config.TRAIN_ROIS_PER_IMAGE
    positive = rois if config.MASK_ROIS == "all" else int(rois * config.ROI_POSITIVE_RATIO)
    proposals = config.POST_NMS_ROIS_TRAINING if training else config.POST_NMS_ROIS_INFERENCE
    cells = sum(
        math.prod(-(-side // stride) for side in canvas_px) for stride in config.BACKBONE_STRIDES
    )
    work = {
        "training": training,
        "precision": "bfloat16" if low else "float32",
        "seed": config.SEED or 0,
        "backbone": config.BACKBONE,
        "classes": config.NUM_CLASSES,
        "image_px": [int(side) for side in image_px],
        "canvas_px": [int(side) for side in canvas_px],
        "batch": config.BATCH_SIZE,
        "anchor_px": list(config.RPN_ANCHOR_SCALES),
        "anchor_ratios": list(config.RPN_ANCHOR_RATIOS),
        "anchors": min(config.PRE_NMS_LIMIT, cells * len(config.RPN_ANCHOR_RATIOS)),
        "proposals": proposals,
        "rpn_channels": config.RPN_CONV_FILTERS,
        "rpn_nms": config.RPN_NMS_THRESHOLD,
        "rpn_samples": config.RPN_TRAIN_ANCHORS_PER_IMAGE,
        "rois": rois,
        "masks": positive if training else config.DETECTION_MAX_INSTANCES,
        "nms": config.DETECTION_NMS_THRESHOLD,
        "momentum": config.LEARNING_MOMENTUM,
        "weight_decay": config.WEIGHT_DECAY,
        "clip_norm": config.GRADIENT_CLIP_NORM,
    }
    return {**work, **changes}


@dataclass
class Peer:
    """The peer's part of a task."""

    run: Callable[[], object] | None  # does the work, and waits for its end; None without a peer
    facts: dict[str, Any]  # of `sebre.bench.torchvision_peer.prepare`, and the work
    reason: str = ""  # why there is no peer


@contextmanager
def peers_of(
    works: Mapping[str, Mapping[str, Any]], python: str | None
) -> Iterator[dict[str, Peer]]:
    """The peer's part of tasks by name, for works of `work_of`, each done once.

    One process does them all; it waits on a pipe between runs, and ends with the context. There
    is none without works or an interpreter.
    """
    if not works or python is None:
        yield {}
        return
    with _Process(python) as process:
        yield {name: process.prepare(work) for name, work in works.items()}


class _Process:
    """torchvision in a process of its own."""

    def __init__(self, python: str):
        self._pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._command = [python, "-c", _START, str(_SERVER)]
        self._prepared = 0

    def __enter__(self) -> "_Process":
        self._process = subprocess.Popen(self._command, **self._pipes, text=True, encoding="utf-8")
        return self

    def __exit__(self, *error: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()
        self._process.wait()

    def prepare(self, work: Mapping[str, Any]) -> Peer:
        try:
            facts = self._order({"prepare": work})
        except PeerFailed as error:
            return Peer(None, {}, str(error))
        number, self._prepared = self._prepared, self._prepared + 1
        return Peer(lambda: self._order({"run": number}), {**facts, "work": dict(work)})

    def _order(self, order: Mapping[str, Any]) -> dict[str, Any]:
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            code = self._process.wait()
            killed = ", killed: probably out of memory" if code == -9 else ""
            raise PeerFailed(f"the process of torchvision ended with code {code}{killed}")
        answer = json.loads(answer)
        if "error" in answer:
            raise PeerFailed(answer["error"])
        return answer["ok"]
