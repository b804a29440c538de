"""Arguments of the command line; `sebre.cli.commands` carries the commands out.

The help of each option is in options.csv, in a row without a command where several share it.
"""

import argparse
import ast
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mrcnn.errors import UserError
from sebre import __version__
from sebre.cli.areas import add_areas
from sebre.cli.neurites import add_neurites
from sebre.data.csv_tables import read_rows
from sebre.experiments import EXPERIMENTS
from sebre.experiments.custom import NAME as CUSTOM
from sebre.networks.weights_store import NETWORKS
from sebre.prepare.sources import SOURCES, source_name
from sebre.prepare.volume_header import checked_orientation
from sebre.registration.transform import METHODS

ROOT = Path(__file__).resolve().parents[2]


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number, or numbers with commas"
        ) from error


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _devices(text: str) -> int | str:
    return text if text == "all" else _number(text)


def _page(text: str) -> int | str:
    return text if text == "max" else _number(text)


def _length(text: str) -> float:
    try:
        length = float(text)
    except ValueError:
        length = 0.0
    if not 0 < length < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a length above 0")
    return length


def _orientation(text: str) -> str:
    try:
        return checked_orientation(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value  # a word


def _renamed(text: str) -> list[tuple[str, str]]:
    # Names of the Allen Institute have commas, so a part without "=" belongs to the next one.
    pairs = re.findall(r"([^=]+)=([^=,]+)(?:,|$)", text)
    if not pairs or ",".join(map("=".join, pairs)) != text.rstrip(","):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NAME, or several with commas")
    return pairs


_FLAG = {"action": "store_true"}
_DIR = {"type": Path, "metavar": "DIR"}
_CSV = {"type": Path, "metavar": "CSV"}
_JSON = {"type": Path, "metavar": "FILE.json"}
_COUNT = {"type": _count, "metavar": "N"}
_NUMBER = {"type": _number, "metavar": "N"}
_LENGTH = {"type": _length, "metavar": "LENGTH"}
_PX = {"type": _number, "metavar": "PX"}
_SEED = {"type": _count, "default": 0}


# Of `sebre.predict.exchange` and `sebre.prepare.volume`, which are heavy to import.
EXCHANGE_FORMATS = ("geojson", "imagej", "svg", "coco", "flat", "tiff")
PLANES = ("sagittal", "coronal", "horizontal")

# Of `sebre.morphometry.groups`, which is heavy to import.
MEASURES = "area_mm2 area_px tissue_share solidity box_aspect compactness volume_mm3".split()

# Options of several commands.
_SHARED = {
    "--debug": _FLAG,
    "--weights": {"metavar": "NAME|PATH"},
    "--dataset": {"required": True, **_DIR},
    "--out": {"required": True, **_DIR},
    "--inner-validation": {"type": float, "default": 0.0, "metavar": "SHARE"},
    "--set": {"type": _setting, "action": "append", "default": [], "metavar": "NAME=VALUE"},
    "--precision": {"choices": ("float32", "bfloat16", "float16")},
    "--channel": {"metavar": "N", "type": _number},
    "--z": {"metavar": "N|max", "type": _page},
    "--runtime": {"choices": ("keras", "onnxruntime", "openvino")},
}
# Options of `prepare` that are handed to the source as they are.
SOURCE_OPTIONS = {
    "plane": {"metavar": "PLANE"},
    "orientation": {"metavar": "XYZ"},
    "regions": _CSV,
    "downsample": {"metavar": "N", "type": int},
    "tolerance": {"metavar": "N", "type": int},
    "exact": _FLAG,
    "structures": _CSV,
    "gene": {"metavar": "NAME[,NAME]"},
    "age": {"metavar": "AGE[,AGE]"},
    "channel": {},
    "z": {},
    "smallest": {"metavar": "PX", "type": _number},
}


_, _rows = read_rows(Path(__file__).with_name("options.csv"))
_HELP = {(row["command"], row["option"]): row["help"] for row in _rows}


def _adder(
    parser: argparse.ArgumentParser, group: Any = None, command: str | None = None
) -> Callable[..., None]:
    """`add_argument` of a command or of a group of its options, which knows their help.

    What is not given of an option that several commands share is that of `_SHARED`.
    """
    command = command or parser.prog.rpartition(" ")[2]

    def add(name: str, *others: str, **how: Any) -> None:
        text = _HELP.get((command, name)) or _HELP.get(("", name))
        how = {"help": text, **_SHARED.get(name, {}), **how}
        (group or parser).add_argument(name, *others, **how)

    return add


def build_parser(
    experiment: str | None, run: Mapping[str, Callable[[argparse.Namespace], int]]
) -> argparse.ArgumentParser:
    """The parser of all commands.

    Args:
        experiment: fixes the experiment: commands do not take one then, and those that belong
            to no experiment are left out.
        run: what carries out a command, by its name.
    """
    parser = argparse.ArgumentParser(
        prog="sebre" if experiment is None else f"samples/{experiment}.py",
        description="Segmentation of brain regions in tissue sections."
        if experiment is None
        else f"Segmentation of {EXPERIMENTS[experiment].summary}.",
    )
    parser.add_argument("--version", action="version", version=f"sebre {__version__}")
    _adder(parser)("--debug", default=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str, text: str, takes_experiment: bool = True, own: bool = False, listed: bool = True
    ) -> argparse.ArgumentParser:
        named = {"help": text} if listed else {}
        sub = commands.add_parser(name, description=text, **named)
        sub.set_defaults(run=run[name])
        _adder(sub)("--debug", default=argparse.SUPPRESS)  # it may stand before or after
        if takes_experiment and experiment is None:
            more = [CUSTOM] if own else []  # regions of one's own
            sub.add_argument("experiment", choices=[*EXPERIMENTS, *more])
        else:
            sub.set_defaults(experiment=experiment)
        return sub

    _add_prepare(command("prepare", "make a prepared data set from raw data", False), experiment)
    _add_train(command("train", "train a network", own=True))
    _add_evaluate(command("evaluate", "score a network on a prepared data set", own=True))
    _add_predict(command("predict", "find regions in pictures and volumes", False))
    # The name of `predict` until 0.2, which wanted the experiment first.
    _add_predict(command("detect", "find regions; see predict", listed=False))
    _add_export(command("export", "write a network for other programs and runtimes", own=True))
    _add_inspect(
        command("inspect", "draw every stage of one section, from anchors to masks", own=True)
    )
    _add_register(command("register", "score the labels that registration carries over"))
    if experiment is None:
        _add_check(command("check", "find faults of a prepared data set", False))
        _add_compare(
            command(
                "compare",
                "own results side by side, or published scores beside stored results",
                False,
            )
        )
        _add_morphometry(command("morphometry", "measure regions by age or group", False))
        _add_next(command("next", "which sections to correct first, of those predicted", False))
        _add_demo(command("demo", "segment the test sections of datasets/slicemap", False))
        _add_models(command("models", "the networks at hand, and which of them fits", False))
        _add_publish(
            command("publish", "ship trained weights, with scores and a model card", own=True)
        )
        text = "make synthetic sections of any plane and stain from labeled volumes"
        _add_synthesize(command("synthesize", text, False))
        neurites = command("neurites", "segment neurites in electron microscopy", False)
        add_neurites(neurites, _adder, {"number": _NUMBER, "count": _COUNT})
        text = "cytoarchitectonic areas of the cortex with few annotated sections"
        kinds = {"number": _NUMBER, "count": _COUNT, "length": _LENGTH}
        add_areas(command("areas", text, False), _adder, kinds)
        # `sebre.cli.commands.main` hands its arguments on to `sebre.bench`.
        command("bench", "time detection, training and input on this machine", False)
    return parser


def _add_prepare(sub: argparse.ArgumentParser, experiment: str | None) -> None:
    add = _adder(sub)
    if experiment is None:
        summaries = "; ".join(f"{name}: {source.summary}" for name, source in SOURCES.items())
        add("source", type=source_name, choices=SOURCES, metavar="SOURCE", help=summaries)
    else:
        fitting = [name.replace("_", "-") for name in EXPERIMENTS[experiment].sources]
        add("--source", choices=fitting, default=fitting[0])
    add("--raw", required=True, **_DIR)
    add("--out")
    add("--split", metavar="RULE")
    add("--seed", **_SEED)
    add("--rotations", **_FLAG)
    add("--download", **_FLAG)
    add("--map", type=_renamed, action="extend", default=[], metavar="NAME=NAME[,NAME=NAME]")
    add("--subjects", **_CSV)
    add("--subject-pattern", metavar="REGEX")
    if experiment is None:
        add("--regions-of", choices=EXPERIMENTS, metavar="EXPERIMENT")
    else:
        sub.set_defaults(regions_of=experiment)
    add = _adder(sub, sub.add_argument_group("options of some sources"))
    for name, how in SOURCE_OPTIONS.items():
        add(f"--{name}", default=None, **how)


def _add_train(sub: argparse.ArgumentParser) -> None:
    add = _adder(sub, sub.add_argument_group("data"))
    add("--dataset")
    add("--logs", required=True, **_DIR)
    add("--inner-validation", default=None)
    add("--regions", **_CSV)
    add = _adder(sub, sub.add_argument_group("training"))
    add("--network", choices=NETWORKS)
    add("--weights", default="none")
    add("--small", action="store_const", const="small", dest="variant")
    add("--steps", type=_numbers, metavar="N[,N]")
    add("--seed", **_SEED)
    add("--devices", type=_devices, metavar="N|all")
    add("--set")
    add("--resume", **_FLAG)


def _add_evaluate(sub: argparse.ArgumentParser) -> None:
    add = _adder(sub)
    add("--dataset")
    add("--weights")
    add("--out", **_JSON)
    add("--precision")
    add("--runtime")
    add("--set")
    add("--subset", default="val")
    add("--inner-validation")
    add("--seed", **_SEED)
    add("--draws", **_COUNT)
    add("--angles", **_FLAG)
    add("--angle-sections", **_COUNT)
    add("--slice-um", type=float, metavar="UM")


def _add_predict(sub: argparse.ArgumentParser) -> None:
    add = _adder(sub, command="predict")
    add("inputs", nargs="+", type=Path, metavar="INPUT")
    for name in ("--weights", "--out", "--precision", "--runtime", "--set"):
        add(name)
    add("--channel")
    add("--z")
    add("--pixel-um", type=_length, metavar="UM")
    add("--format", nargs="+", choices=EXCHANGE_FORMATS)
    add("--tta", **_FLAG)
    add("--place", choices=("yes", "no"))
    add("--dry-run", **_FLAG)
    add = _adder(sub, sub.add_argument_group("volumes"), "predict")
    add("--plane", choices=PLANES)
    add("--orientation", type=_orientation, metavar="XYZ")
    add = _adder(sub, sub.add_argument_group("large sections"), "predict")
    add("--reduced-decode", **_FLAG)
    add("--tile", **_PX)
    add("--overlap", type=_count, metavar="PX")
    add("--masks", choices=("rle", "contours"))
    add("--overlay-px", default=2048, **_PX)
    many = sub.add_argument_group("many sections")
    add = _adder(sub, many.add_mutually_exclusive_group(), "predict")
    add("--workers", **_NUMBER)
    add("--scheduler", metavar="ADDRESS")
    add = _adder(sub, many.add_mutually_exclusive_group(), "predict")
    add("--resume", **_FLAG)
    add("--restart", **_FLAG)
    _adder(sub, many, "predict")("--retries", type=_count, default=2, metavar="K")


def _add_export(sub: argparse.ArgumentParser) -> None:
    add = _adder(sub)
    add("--weights")
    add("--format", choices=("onnx", "saved_model"), default="onnx")
    add("--out", metavar="PATH")
    add("--precision", choices=("float32", "int8"), default="float32")
    add("--calibrate", **_DIR)
    add("--shape", type=_count, nargs=2, metavar=("HEIGHT", "WIDTH"))
    add("--set")


def _add_inspect(sub: argparse.ArgumentParser) -> None:
    add = _adder(sub)
    add("image", type=Path, metavar="IMAGE")
    add("--weights")
    add("--out")
    add("--masks", **_DIR)
    add("--channel")
    add("--z")
    add("--set")


def _add_register(sub: argparse.ArgumentParser) -> None:
    add = _adder(sub)
    add("--dataset")
    add("--method", required=True, choices=(*METHODS, "network"))
    add("--weights")
    add("--out", **_JSON)
    add("--rotate", type=float, default=20.0)
    add("--limit", **_COUNT)
    add("--seed", **_SEED)
    add("--threads", type=_count, default=1)


def _add_check(sub: argparse.ArgumentParser) -> None:
    add = _adder(sub)
    add("dataset", type=Path, metavar="DATASET")
    add("--regions", **_CSV)


def _add_compare(sub: argparse.ArgumentParser) -> None:
    add = _adder(sub)
    add("files", nargs="*", type=Path, metavar="FILE.json")
    add("--results", default=Path("results"), **_DIR)
    add("--out", default=None, required=False)


def _add_morphometry(sub: argparse.ArgumentParser) -> None:
    add = _adder(sub)
    add("predictions", nargs="+", **_DIR)
    add("--by", required=True, nargs="+", metavar="COLUMN")
    add("--table", **_CSV)
    add("--subject", metavar="COLUMN|PATTERN")
    add("--out")
    add("--trusted-only", **_FLAG)
    add("--spacing-um", type=_length, metavar="UM")
    add("--draw", choices=MEASURES)
    add("--seed", **_SEED)


def _add_next(sub: argparse.ArgumentParser) -> None:
    add = _adder(sub)
    add("predictions", **_DIR)
    add("--count", default=5, **_NUMBER)
    add("--done", **_DIR)
    add("--out", **_CSV, required=False)


def _add_demo(sub: argparse.ArgumentParser) -> None:
    add = _adder(sub)
    add("--weights", default="slicemap")
    add("--dataset", default=ROOT / "datasets" / "slicemap", required=False)
    add("--out", default=ROOT / "results" / "demo", required=False)


def _add_models(sub: argparse.ArgumentParser) -> None:
    add = _adder(sub)
    add("words", nargs="*", metavar="NAME | suggest IMAGE [IMAGE ...] | calibrate")
    add("--json", **_FLAG)
    add = _adder(sub, sub.add_argument_group("calibrate"))
    add("--weights")
    add("--dataset", required=False)
    add("--out", **_JSON, required=False)
    add("--seed", **_SEED)
    add("--sections", default=100, **_NUMBER)
    add("--others", nargs="+", type=Path, default=[], metavar="PATH")
    add("--results", **_JSON)


def _add_synthesize(sub: argparse.ArgumentParser) -> None:
    add = _adder(sub)
    add("--data", required=True, **_DIR)
    add("--out")
    add("--count", default=48, **_NUMBER)
    add("--size", default=192, **_PX)
    add("--graded", action="store_true")
    add("--seed", **_SEED)
    add("--without", nargs="+", default=(), metavar="NAME")


def _add_publish(sub: argparse.ArgumentParser) -> None:
    add = _adder(sub)
    add("--weights", required=True, type=Path, metavar="FILE")
    add("--dataset")
    add("--command", required=True, dest="trained_by")
    add("--name")
    add("--start", default="random weights")
    add("--licence", "--license", dest="license")
    add("--note", default="")
    add("--results", **_JSON)
