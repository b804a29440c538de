"""What is measured: cases, each in a process of its own, since TensorFlow keeps its memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from mrcnn.errors import UserError
from sebre.bench.enlarged_sections import FORMATS

# Of the configuration that all are about: resnet101, 384 px, 9 classes, 8 detections at most.
SECTION, SQUARE = (240, 384), (384, 384)  # px


@dataclass(frozen=True)
class Case:
    """One process: a configuration, and what is timed with it."""

    name: str  # "group/what is special"; names of several tasks follow after a further slash
    kind: str  # a name of `sebre.bench.worker.KINDS`
    settings: Mapping[str, Any] = field(default_factory=dict)  # JSON types: they travel as a file
    title: str = ""
    quick: bool = False  # whether a quick run has it
    long: bool = False  # whether only a run that asks for it has it
    rounds: int | None = None  # at most, for what takes long
    unit: str = "R"  # what the ratio is to
    note: str = ""  # what a reader must know


_BFLOAT16 = {"PRECISION": "bfloat16"}
_REDUCED = {"REDUCED_DECODE": True}
_FIT64 = {"IMAGE_RESIZE_MODE": "fit64"}
_300_PROPOSALS = {"POST_NMS_ROIS_INFERENCE": 300}
_FEWEST = {"RUNTIME": "openvino", "PRECISION": "int8", **_300_PROPOSALS, "PRE_NMS_LIMIT": 2000}
# Ways to detect, apart from float32 in Keras, which is the reference; name: title, settings. With
# a RUNTIME, what is timed is an exported file.
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "bfloat16": ("bfloat16", _BFLOAT16),
    "float16": ("float16", {"PRECISION": "float16"}),
    **{
        f"{name}_{precision}": (f"{title}, {precision}", {"RUNTIME": name, "PRECISION": precision})
        for name, title, precisions in (
            ("onnxruntime", "ONNX Runtime", ("float32", "int8")),
            ("openvino", "OpenVINO", ("float32", "bfloat16", "int8")),
        )
        for precision in precisions
    },
    "proposals_300": ("float32, 300 proposals", _300_PROPOSALS),
    "proposals_100": ("float32, 100 proposals", {"POST_NMS_ROIS_INFERENCE": 100}),
    "fit64": ("float32, no padding to a square", _FIT64),
    "bfloat16_fit64": ("bfloat16, no padding to a square", {**_BFLOAT16, **_FIT64}),
    "bfloat16_300": ("bfloat16, 300 proposals", {**_BFLOAT16, **_300_PROPOSALS}),
    "openvino_int8_300": ("OpenVINO, int8, 300 proposals of 2,000 anchors", _FEWEST),
    "openvino_int8_300_fit64": (
        "OpenVINO, int8, 300 proposals of 2,000 anchors, no padding to a square",
        {**_FEWEST, **_FIT64},
    ),
}
_QUICK = ("bfloat16", "fit64", "bfloat16_fit64")
# Shipped networks, and their data sets, whose scores a way of computing must not change.
STAND_INS = {"slicemap_384": "slicemap", "extended_mouse_384": "mouse_mri"}

# Other steps at full size.
_STEPS = (
    ("batch_4", "4 sections", {"IMAGES_PER_GPU": 4}),
    ("positive", "masks of positive ROIs alone", {"MASK_ROIS": "positive"}),
)


def all_cases() -> list[Case]:
    """Every case, in the order of the table."""
    groups = (_detection, _sides, _training, _reading, _feeding, _memory, _accuracy)
    return [case for group in groups for case in group()]


def _side(px: int) -> dict[str, int]:
    return {"IMAGE_MIN_DIM": px, "IMAGE_MAX_DIM": px}


def _detection() -> Iterator[Case]:
    both, same = [SECTION, SQUARE], {"peer": {}}
    yield Case("detect/float32", "detect", {"images": both, **same}, "float32", quick=True)
    for name, (title, config) in WAYS.items():
        images = both if name == "bfloat16" else [SECTION]
        settings = {"images": images, "config": config, **same}
        yield Case(f"detect/{name}", "detect", settings, title, quick=name in _QUICK)
    for name in ("fit64", "bfloat16_fit64"):
        title, config = WAYS[name]
        settings = {"images": [SECTION], "config": config, "peer": {"rpn_channels": 256}}
        title = f"{title}; torchvision as it comes, its RPN half as wide"
        yield Case(f"detect/{name}_narrow", "detect", settings, title)
    for batch in (2, 4):
        settings = {"images": [SECTION], "config": {"IMAGES_PER_GPU": batch}, "batch": batch}
        title = f"float32, {batch} sections at a time, for each"
        yield Case(f"detect/batch_{batch}", "detect", settings, title)


def _sides() -> Iterator[Case]:
    for side in (128, 256, 384, 512, 768, 1024):
        settings = {"config": _side(side), "images": [(side, side)]}
        title = f"detect, float32, {side} x {side} px"
        yield Case(f"side/{side}", "detect", settings, title, rounds=7 if side > 512 else None)


def _training() -> Iterator[Case]:
    for side in (128, 192, 256, 384):
        for precision in ("float32", "bfloat16"):
            config = {**_side(side), "PRECISION": precision}
            title = f"training step, all layers, {side} px, {precision}"
            settings = {"config": config, "peer": {}}
            yield Case(f"train/{side}_{precision}", "train", settings, title, quick=side == 384)
            for name, words, change in _STEPS if side == 384 else ():
                settings = {"config": {**config, **change}, "peer": {}}
                yield Case(
                    f"train/{side}_{precision}_{name}", "train", settings, f"{title}, {words}"
                )


def _reading() -> Iterator[Case]:
    for side, count, rounds in ((1000, 8, None), (4000, 4, 5), (10000, 2, 3)):
        title = f"a section of {side} x {side} px with its masks"
        settings = {"side": side, "count": count, "formats": FORMATS, "config": {}}
        yield Case(f"input/{side}", "input", settings, title, rounds=rounds)
        settings, title = {**settings, "config": _REDUCED}, f"{title}, decoded at reduced scale"
        yield Case(f"input/{side}_reduced", "input", settings, title, rounds=rounds)


def _feeding() -> Iterator[Case]:
    for name, words, config in (
        ("float32", "float32", {}),
        ("bfloat16", "bfloat16", _BFLOAT16),
        ("bfloat16_reduced", "bfloat16, decoded at reduced scale", {**_BFLOAT16, **_REDUCED}),
    ):
        settings = {"side": 7000, "count": 6, "format": "png", "config": config}
        title, unit = f"sections of 7000 x 7000 px, {words}", "one batch repeated"
        yield Case(f"feed/7000_{name}", "feed", settings, title, rounds=5, unit=unit)


def _memory() -> Iterator[Case]:
    for name, counts, side, config in (
        ("resnet18", (20, 200, 2000), 128, {"BACKBONE": "resnet18", **_side(128)}),
        ("resnet101", (20, 200), 384, {}),
    ):
        settings = {"counts": counts, "config": config}
        title, unit = f"memory after detections, {name}, {side} px", "memory after 20"
        yield Case(f"memory/{name}", "memory", settings, title, long=True, unit=unit)


def _accuracy() -> Iterator[Case]:
    for weights, dataset in STAND_INS.items():
        yield accuracy_of(weights, weights, dataset)


def accuracy_of(
    name: str, weights: str, dataset: str, ways: Sequence[str] = (), limit: int | None = None
) -> Case:
    """The case of a trained network: how ways to detect change its scores.

    Args:
        name: in the record.
        weights: as `sebre.networks.segmenter.load_segmenter` takes it.
        dataset: folder of its prepared data set, in the folder of all.
        ways: keys of WAYS; all by default, but float16, which processors emulate.
        limit: of the sections of its test part; None for all.

    Raises:
        UserError: there is no such way.
    """
    if unknown := [way for way in ways if way not in WAYS]:
        raise UserError(f"--ways {unknown[0]}: there is no such way. There are {', '.join(WAYS)}.")
    chosen = ways or [way for way in WAYS if way != "float16"]
    tried = {way: WAYS[way][1] for way in chosen}
    settings = {"weights": weights, "dataset": dataset, "ways": tried}
    settings |= {"limit": limit} if limit else {}
    title, unit = f"the network {name} on {dataset}", "change of a score"
    return Case(f"accuracy/{name}", "accuracy", settings, title, long=True, unit=unit)


def select(cases: Iterable[Case], only: Iterable[str], quick: bool, long: bool) -> list[Case]:
    """The cases to run.

    Args:
        cases: all.
        only: names, beginnings of names that end at a slash, or patterns with * and ?; what
            they name is run in any case. Empty for all.
        quick: the few quick ones only.
        long: also those that take minutes each.
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
