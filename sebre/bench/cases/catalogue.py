"""What is measured: cases, each with the process that measures it, and the targets.

A process measures one configuration, since TensorFlow does not give memory back. Its settings
are plain JSON types, for they travel to it as a file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from mrcnn.errors import UserError
from sebre.bench.inputs import FORMATS

# Of the configuration that all are about: resnet101, 384 px, 9 classes, 8 detections at most.
SECTION, SQUARE = (240, 384), (384, 384)  # px


@dataclass(frozen=True)
class Case:
    """One process: a configuration, and what is timed with it.

    Attributes:
        name: group and what is special, such as "detect/bfloat16". A process may measure
            several things; then their names follow after a further slash.
        kind: which measurement, a name of `sebre.bench.worker.KINDS`.
        settings: of the measurement.
        title: in words.
        quick: whether a quick run has it.
        long: whether only a run that asks for it has it.
        rounds: at most, for what takes long; None for no limit.
        unit: what the ratio is to.
        note: what a reader must know.
    """

    name: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    quick: bool = False
    long: bool = False
    rounds: int | None = None
    unit: str = "R"
    note: str = ""


def _detect(name: str, title: str, quick: bool = False, **settings: Any) -> Case:
    return Case(f"detect/{name}", "detect", settings, title, quick)


_FIT64 = {"IMAGE_RESIZE_MODE": "fit64"}
_FEWEST = {
    "RUNTIME": "openvino",
    "PRECISION": "int8",
    "POST_NMS_ROIS_INFERENCE": 300,
    "PRE_NMS_LIMIT": 2000,
}

# Ways to detect, apart from float32 in Keras, which is the reference; name: title, settings.
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "bfloat16": ("bfloat16", {"PRECISION": "bfloat16"}),
    "float16": ("float16", {"PRECISION": "float16"}),
    **{
        f"{runtime}_{precision}": (
            f"{words}, {precision}",
            {"RUNTIME": runtime, "PRECISION": precision},
        )
        for runtime, words, precisions in (
            ("onnxruntime", "ONNX Runtime", ("float32", "int8")),
            ("openvino", "OpenVINO", ("float32", "bfloat16", "int8")),
        )
        for precision in precisions
    },
    **{
        f"proposals_{count}": (
            f"float32, {count} proposals",
            {"POST_NMS_ROIS_INFERENCE": count},
        )
        for count in (300, 100)
    },
    "fit64": ("float32, no padding to a square", _FIT64),
    "bfloat16_fit64": (
        "bfloat16, no padding to a square",
        {"PRECISION": "bfloat16", **_FIT64},
    ),
    "bfloat16_300": (
        "bfloat16, 300 proposals",
        {"PRECISION": "bfloat16", "POST_NMS_ROIS_INFERENCE": 300},
    ),
    "openvino_int8_300": (
        "OpenVINO, int8, 300 proposals of 2,000 anchors",
        _FEWEST,
    ),
    "openvino_int8_300_fit64": (
        "OpenVINO, int8, 300 proposals of 2,000 anchors, no padding to a square",
        {**_FEWEST, **_FIT64},
    ),
}
# Shipped networks, and their data sets, whose scores a way of computing must not change.
STAND_INS = {"slicemap_384": "slicemap", "extended_mouse_384": "mouse_mri"}


def all_cases() -> list[Case]:
    """Every case, in the order of the table."""
    both = [SECTION, SQUARE]
    detect = [_detect("float32", "float32", quick=True, images=both)]
    for name, (title, config) in WAYS.items():
        images = both if name == "bfloat16" else [SECTION]
        detect.append(_detect(name, title, name == "bfloat16", images=images, config=config))
    for batch in (2, 4):
        detect.append(
            _detect(
                f"batch_{batch}",
                f"float32, {batch} sections at a time, for each",
                images=[SECTION],
                config={"IMAGES_PER_GPU": batch},
                batch=batch,
            )
        )
    sides = [
        Case(
            f"side/{side}",
            "detect",
            {"config": {"IMAGE_MIN_DIM": side, "IMAGE_MAX_DIM": side}, "images": [(side, side)]},
            f"detect, float32, {side} x {side} px",
            rounds=7 if side > 512 else None,
        )
        for side in (128, 256, 384, 512, 768, 1024)
    ]
    train = [
        Case(
            f"train/{side}_{precision}",
            "train",
            {"config": {"IMAGE_MIN_DIM": side, "IMAGE_MAX_DIM": side, "PRECISION": precision}},
            f"training step, all layers, {side} px, {precision}",
            quick=side == 384,
        )
        for side in (128, 192, 256, 384)
        for precision in ("float32", "bfloat16")
    ]
    reduced = {"REDUCED_DECODE": True}
    reading = [
        Case(
            f"input/{side}{'_reduced' if config else ''}",
            "input",
            {"side": side, "count": count, "formats": FORMATS, "config": config},
            f"a section of {side} x {side} px with its masks"
            + (", decoded at reduced scale" if config else ""),
            rounds=rounds,
        )
        for side, count, rounds in ((1000, 8, None), (4000, 4, 5), (10000, 2, 3))
        for config in ({}, reduced)
    ]
    feeding = [
        Case(
            f"feed/7000_{name}",
            "feed",
            {"side": 7000, "count": 6, "format": "png", "config": config},
            f"sections of 7000 x 7000 px, {words}",
            rounds=5,
            unit="one batch repeated",
        )
        for name, words, config in (
            ("float32", "float32", {}),
            ("bfloat16", "bfloat16", {"PRECISION": "bfloat16"}),
            (
                "bfloat16_reduced",
                "bfloat16, decoded at reduced scale",
                {"PRECISION": "bfloat16", **reduced},
            ),
        )
    ]
    small = {"BACKBONE": "resnet18", "IMAGE_MIN_DIM": 128, "IMAGE_MAX_DIM": 128}
    growth = [
        Case(
            f"memory/{config.get('BACKBONE', 'resnet101')}",
            "memory",
            {"counts": counts, "config": config},
            words,
            long=True,
            unit="memory after 20",
        )
        for config, counts, words in (
            (small, (20, 200, 2000), "memory after detections, resnet18, 128 px"),
            ({}, (20, 200), "memory after detections, resnet101, 384 px"),
        )
    ]
    accuracy = [
        Case(
            f"accuracy/{weights}",
            "accuracy",
            {
                "weights": weights,
                "dataset": dataset,
                # Processors emulate float16: that is for GPUs.
                "ways": {name: config for name, (_, config) in WAYS.items() if name != "float16"},
            },
            f"the network {weights} on {dataset}",
            long=True,
            unit="change of a score",
        )
        for weights, dataset in STAND_INS.items()
    ]
    return [*detect, *sides, *train, *reading, *feeding, *growth, *accuracy]


def select(cases: Iterable[Case], only: Iterable[str], quick: bool, long: bool) -> list[Case]:
    """The cases to run.

    Args:
        cases: all.
        only: names, beginnings of names that end at a slash, or patterns with * and ?; what
            they name is run in any case. Empty for all.
        quick: the few quick ones only.
        long: also those that take minutes each.

    Raises:
        ValueError: an entry of `only` names none.
    """
    cases, only = list(cases), list(only)
    if not only:
        return [case for case in cases if (case.quick or not quick) and (long or not case.long)]
    for pattern in only:
        if not any(_fits(case, pattern) for case in cases):
            names = ", ".join(case.name for case in cases)
            raise UserError(f"--only {pattern}: there is no such case. There are {names}.")
    return [case for case in cases if any(_fits(case, pattern) for pattern in only)]


def _fits(case: Case, pattern: str) -> bool:
    return fnmatchcase(case.name, pattern) or case.name.startswith(pattern.rstrip("/") + "/")
