"""Arguments of the command line; `sebre.cli.commands` carries the commands out."""

import argparse
import ast
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sebre import __version__
from sebre.experiments import EXPERIMENTS
from sebre.networks.weights_store import NETWORKS
from sebre.prepare.sources import SOURCES, source_name
from sebre.registration.transform import METHODS

ROOT = Path(__file__).resolve().parents[2]

# Options of `prepare` that are handed to the source as they are.
SOURCE_OPTIONS = {
    "plane": {"metavar": "PLANE", "help": "of volumes: sagittal, coronal or horizontal"},
    "orientation": {"metavar": "XYZ", "help": "of volumes whose header does not say, such as LAS"},
    "regions": {"metavar": "CSV", "type": Path, "help": "table of regions: name,r,g,b"},
    "downsample": {"metavar": "N", "type": int, "help": "reduce images and masks by this factor"},
    "tolerance": {"metavar": "N", "type": int, "help": "largest difference of a color, 0-255"},
    "exact": {"action": "store_true", "help": "match colors as the released notebook does"},
    "structures": {"metavar": "CSV", "type": Path, "help": "structure tree of the Allen atlas"},
    "gene": {"metavar": "NAME[,NAME]", "help": "allen-ish: markers, such as Gad1"},
    "age": {"metavar": "AGE[,AGE]", "help": "allen-ish: such as P14"},
}


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
    _add_debug(parser, False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, takes_experiment: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run[name])
        _add_debug(sub, argparse.SUPPRESS)  # it may stand before or after the command
        if takes_experiment and experiment is None:
            sub.add_argument("experiment", choices=EXPERIMENTS)
        else:
            sub.set_defaults(experiment=experiment)
        return sub

    _add_prepare(command("prepare", "make a prepared data set from raw data", False), experiment)
    _add_train(command("train", "train a network"))
    _add_evaluate(command("evaluate", "score a network on a prepared data set"))
    _add_detect(command("detect", "find regions in images"))
    _add_export(command("export", "write a network for other programs and runtimes"))
    _add_inspect(command("inspect", "draw every stage of one section, from anchors to masks"))
    _add_register(command("register", "score the labels that registration carries over"))
    if experiment is None:
        _add_check(command("check", "find faults of a prepared data set", False))
        _add_compare(command("compare", "published scores beside stored results", False))
        _add_demo(command("demo", "segment the test sections of datasets/slicemap", False))
        _add_publish(command("publish", "ship trained weights, with scores and a model card"))
        # `sebre.cli.commands.main` hands its arguments on to `sebre.bench`.
        command("bench", "time detection, training and input on this machine", False)
    return parser


def _add_debug(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument(
        "--debug", action="store_true", default=default, help="show where an error was raised"
    )


def _add_check(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("dataset", type=Path, metavar="DATASET", help="prepared folder")
    sub.add_argument(
        "--regions", type=Path, metavar="CSV", help="table of regions, without dataset.json"
    )


def _add_inspect(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("image", type=Path, metavar="IMAGE", help="a section")
    _add_weights(sub)
    _add_out(sub)
    sub.add_argument(
        "--masks", type=Path, metavar="DIR", help="regions drawn on it, as in a prepared data set"
    )
    _add_settings(sub)


def _add_compare(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="of `sebre evaluate` (default: %(default)s)",
    )
    sub.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder to write RESULTS.md and results/figures to (default: here)",
    )


def _add_demo(sub: argparse.ArgumentParser) -> None:
    _add_weights(sub, "slicemap", "a name or a file (default: %(default)s)")
    sub.add_argument(
        "--dataset",
        type=Path,
        default=ROOT / "datasets" / "slicemap",
        metavar="DIR",
        help="prepared folder (default: datasets/slicemap)",
    )
    sub.add_argument(
        "--out",
        type=Path,
        default=ROOT / "results" / "demo",
        metavar="DIR",
        help="folder to write (default: results/demo)",
    )


def _add_publish(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--weights", required=True, type=Path, metavar="FILE", help="trained weights")
    _add_dataset(sub)
    sub.add_argument("--command", required=True, dest="trained_by", help="that trained them")
    sub.add_argument("--name", help="default: that of the experiment; of a U-Net, with _unet")
    sub.add_argument("--start", default="random weights", help="default: %(default)s")
    sub.add_argument(
        "--licence",
        "--license",
        dest="license",
        help="of the weights (default: MIT for the code, and that of the data set)",
    )
    sub.add_argument("--note", default="", help="what else limits them, for the card")
    sub.add_argument(
        "--results", type=Path, metavar="FILE.json", help="default: results/<name>.json"
    )


def _add_detect(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="INPUT",
        help="images, folders of images, or folders of brains, which are folders of images",
    )
    _add_weights(sub)
    _add_out(sub)
    _add_runtime(sub)
    _add_settings(sub)
    _add_large(sub.add_argument_group("large sections"))
    _add_many(sub.add_argument_group("many sections"))


def _add_large(large: argparse._ArgumentGroup) -> None:
    large.add_argument(
        "--reduced-decode",
        action="store_true",
        help="read them at a reduced scale where the format allows: faster, nearly the same",
    )
    large.add_argument(
        "--tile",
        type=_number,
        metavar="PX",
        help="segment tiles of this side one by one, for regions much smaller than the section",
    )
    large.add_argument(
        "--overlap", type=_count, metavar="PX", help="of tiles (default: a quarter of a tile)"
    )
    large.add_argument(
        "--masks",
        choices=("rle", "contours"),
        help="also write the regions' masks to <name>_regions.json, as run lengths or polygons",
    )
    large.add_argument(
        "--overlay-px",
        type=_number,
        default=2048,
        metavar="PX",
        help="longest side of an overlay (default: %(default)s)",
    )


def _add_many(many: argparse._ArgumentGroup) -> None:
    where = many.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=_number, metavar="N", help="N processes of a Dask cluster on this machine"
    )
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of a Dask cluster, as tcp://host:8786; its machines see the same disk under the "
        "same path",
    )
    again = many.add_mutually_exclusive_group()
    again.add_argument(
        "--resume",
        action="store_true",
        help="leave out sections that were finished with the same network and settings and are "
        "unchanged (the default)",
    )
    again.add_argument("--restart", action="store_true", help="do all sections again")
    many.add_argument(
        "--retries",
        type=_count,
        default=2,
        metavar="K",
        help="how often to try a section again that failed (default: %(default)s)",
    )


def _add_export(sub: argparse.ArgumentParser) -> None:
    _add_weights(sub)
    sub.add_argument(
        "--format",
        choices=("onnx", "saved_model"),
        default="onnx",
        help="onnx: a file for ONNX Runtime and OpenVINO, which `detect --weights` takes too; "
        "saved_model: a folder for TensorFlow (default: %(default)s)",
    )
    sub.add_argument("--out", required=True, type=Path, metavar="PATH", help="file or folder")
    sub.add_argument(
        "--precision", choices=("float32", "int8"), default="float32", help="default: %(default)s"
    )
    sub.add_argument(
        "--calibrate",
        type=Path,
        metavar="DIR",
        help="for int8: prepared data set, on whose training part ranges are measured",
    )
    sub.add_argument(
        "--shape",
        type=_count,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="px of the molded images, for IMAGE_RESIZE_MODE=fit64 (default: a square)",
    )
    _add_settings(sub)


def _add_runtime(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "float16"),
        help="of the network's arithmetic (default: that of its settings); for int8 see "
        "`sebre export`",
    )
    sub.add_argument(
        "--runtime",
        choices=("keras", "onnxruntime", "openvino"),
        help="what runs the network: keras a weights file, the others a file of `sebre export` "
        "(default: keras, or onnxruntime)",
    )


def _add_register(sub: argparse.ArgumentParser) -> None:
    _add_dataset(sub)
    sub.add_argument(
        "--method",
        required=True,
        choices=(*METHODS, "network"),
        help="none: labels as they lie on the atlas; network: no atlas, a network finds the "
        "regions of the same sections",
    )
    _add_weights(sub, text="of the network, a name or a file (default: the experiment's shipped)")
    sub.add_argument("--out", required=True, type=Path, metavar="FILE.json", help="file to write")
    sub.add_argument(
        "--rotate", type=float, default=20.0, help="degrees, for the turned versions (default: 20)"
    )
    sub.add_argument(
        "--limit", type=_count, metavar="N", help="score N sections only (default: all)"
    )
    sub.add_argument("--seed", type=_count, default=0, help="default: %(default)s")
    sub.add_argument("--threads", type=_count, default=1, help="default: %(default)s")


def _add_out(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write")


def _add_dataset(sub) -> None:
    sub.add_argument("--dataset", required=True, type=Path, metavar="DIR", help="prepared folder")


def _add_inner_validation(sub, text: str) -> None:
    sub.add_argument(
        "--inner-validation", type=float, default=0.0, metavar="SHARE", help=text + " (default: 0)"
    )


def _add_settings(sub) -> None:
    sub.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting of the configuration, such as IMAGES_PER_GPU=2; may be repeated",
    )


def _add_weights(sub, default: str | None = None, text: str = "") -> None:
    sub.add_argument(
        "--weights",
        default=default,
        metavar="NAME|PATH",
        help=text
        or "a name or a file, also one of `sebre export` (default: those shipped for the "
        "experiment)",
    )


def _add_prepare(sub: argparse.ArgumentParser, experiment: str | None) -> None:
    if experiment is None:
        sub.add_argument(
            "source",
            type=source_name,
            choices=SOURCES,
            metavar="SOURCE",
            help="; ".join(f"{name}: {source.summary}" for name, source in SOURCES.items()),
        )
    else:
        fitting = [name.replace("_", "-") for name in EXPERIMENTS[experiment].sources]
        sub.add_argument(
            "--source", choices=fitting, default=fitting[0], help="default: %(default)s"
        )
    sub.add_argument("--raw", required=True, type=Path, metavar="DIR", help="folder of raw data")
    _add_out(sub)
    sub.add_argument(
        "--split",
        metavar="RULE",
        help="section, subject, block or image, each with :N or :1/3 held out; marker=NAME, "
        "age=NAME; source, train or test (default: the source's)",
    )
    sub.add_argument("--seed", type=_count, default=0, help="of the split (default: %(default)s)")
    sub.add_argument(
        "--rotations", action="store_true", help="write the 20 rotated versions of each section"
    )
    sub.add_argument(
        "--download", action="store_true", help="fetch missing raw files from their public address"
    )
    options = sub.add_argument_group("options of some sources")
    for name, how in SOURCE_OPTIONS.items():
        options.add_argument(f"--{name}", default=None, **how)


def _add_train(sub: argparse.ArgumentParser) -> None:
    data = sub.add_argument_group("data")
    _add_dataset(data)
    data.add_argument("--logs", required=True, type=Path, metavar="DIR", help="folder of all runs")
    _add_inner_validation(
        data, "hold out this share of the training sections, for choosing settings"
    )
    how = sub.add_argument_group("training")
    how.add_argument(
        "--network",
        choices=NETWORKS,
        default=NETWORKS[0],
        help="unet: a U-Net in place of Mask R-CNN, to compare it with: on the same pictures, "
        "always small and from random weights (default: %(default)s)",
    )
    _add_weights(how, "none", "start from: none, last, coco, imagenet, a name or a file")
    how.add_argument(
        "--small",
        action="store_const",
        const="small",
        dest="variant",
        help="the small network, for a CPU (without it: the paper's, or with --weights none the "
        "variant for random weights)",
    )
    how.add_argument(
        "--steps",
        type=_numbers,
        metavar="N[,N]",
        help="optimizer steps of each part of the schedule (default: the experiment's)",
    )
    how.add_argument("--seed", type=_count, default=0, help="default: %(default)s")
    how.add_argument(
        "--devices",
        type=_devices,
        metavar="N|all",
        help="how many devices to train on at once, each with IMAGES_PER_GPU images per step "
        "(default: 1)",
    )
    _add_settings(how)
    how.add_argument(
        "--resume",
        action="store_true",
        help="go on with the last run (mask_rcnn: and --weights last)",
    )


def _add_evaluate(sub: argparse.ArgumentParser) -> None:
    _add_dataset(sub)
    _add_weights(sub)
    sub.add_argument("--out", required=True, type=Path, metavar="FILE.json", help="file to write")
    _add_runtime(sub)
    _add_settings(sub)
    sub.add_argument("--subset", default="val", help="part of the data set (default: %(default)s)")
    _add_inner_validation(
        sub, "score what `train` with this share and seed held out of the training part"
    )
    sub.add_argument("--seed", type=_count, default=0, help="of the inner split (default: 0)")
    sub.add_argument(
        "--draws",
        type=_count,
        metavar="N",
        help="random orientations of each section, scored as well (default: 5; 0 for none)",
    )
    sub.add_argument(
        "--angles",
        action="store_true",
        help="score the sections turned by fixed angles too, as in the paper's Fig. 4",
    )
    sub.add_argument(
        "--angle-sections", type=_count, metavar="N", help="turn N sections only (default: all)"
    )
    sub.add_argument(
        "--slice-um",
        type=float,
        metavar="UM",
        help="distance of neighboring slices of volumes, where the data set does not state it",
    )


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


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value  # a word
