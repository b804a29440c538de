"""The command line: `sebre COMMAND ...`, also `python -m sebre`.

Exit codes: 0 done, 2 the user's error, 3 done but some inputs failed.
"""

import argparse
import ast
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Before anything imports Keras; TensorFlow's start-up notes would bury the results.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from sebre.experiments import EXPERIMENTS  # noqa: E402
from sebre.prepare.sources import SOURCES  # noqa: E402

DONE, USER_ERROR, SOME_FAILED = 0, 2, 3

# Options of `prepare` that are handed to the source as they are.
_SOURCE_OPTIONS = {
    "plane": {"metavar": "PLANE", "help": "of volumes: sagittal, coronal or horizontal"},
    "orientation": {"metavar": "XYZ", "help": "of volumes whose header does not tell: as LAS"},
    "regions": {"metavar": "CSV", "type": Path, "help": "table of regions: name,r,g,b"},
    "downsample": {"metavar": "N", "type": int, "help": "reduce images and masks by this factor"},
    "tolerance": {"metavar": "N", "type": int, "help": "largest difference of a colour, 0-255"},
    "exact": {"action": "store_true", "help": "match colours as the released notebook does"},
    "structures": {"metavar": "CSV", "type": Path, "help": "structure tree of the Allen atlas"},
    "gene": {"metavar": "NAME[,NAME]", "help": "allen-ish: markers, such as Gad1"},
    "age": {"metavar": "AGE[,AGE]", "help": "allen-ish: such as P14"},
}


def say(text: str = "") -> None:
    """Print a line of results."""
    print(text, flush=True)


def main(argv: Sequence[str] | None = None, experiment: str | None = None) -> int:
    """Run a command.

    Args:
        argv: arguments; None takes those of the process.
        experiment: fixes the experiment: commands do not take one then.

    Returns:
        The exit code.
    """
    argv = sys.argv[1:] if argv is None else [str(argument) for argument in argv]
    args = _parser(experiment).parse_args(argv)
    args.line = " ".join(["sebre" if experiment is None else f"samples/{experiment}.py", *argv])
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return args.run(args)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"sebre {args.command}: {_message(error)}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print(f"sebre {args.command}: stopped.", file=sys.stderr)
        return 130


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or ''}: {error.strerror}".removeprefix(": ")
    return " ".join(str(error).split())


def _parser(experiment: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sebre" if experiment is None else f"samples/{experiment}.py",
        description="Segmentation of brain regions in tissue sections."
        if experiment is None
        else f"Segmentation of {EXPERIMENTS[experiment].summary}.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run, text: str, takes_experiment: bool = True):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        if takes_experiment and experiment is None:
            sub.add_argument("experiment", choices=EXPERIMENTS)
        else:
            sub.set_defaults(experiment=experiment)
        return sub

    _add_prepare(
        command("prepare", _prepare, "make a prepared data set from raw data", False), experiment
    )
    if experiment is None:
        sub = command("check", _check, "find faults of a prepared data set", False)
        sub.add_argument("dataset", type=Path, metavar="DATASET", help="prepared folder")
        sub.add_argument(
            "--regions", type=Path, metavar="CSV", help="table of regions, without dataset.json"
        )
    _add_train(command("train", _train, "train a network"))
    _add_evaluate(command("evaluate", _evaluate, "score a network on a prepared data set"))
    sub = command("detect", _detect, "find regions in images")
    sub.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="images or folders")
    _add_weights(sub)
    _add_out(sub)
    sub = command("inspect", _inspect, "draw every stage of one section, from anchors to masks")
    sub.add_argument("image", type=Path, metavar="IMAGE", help="a section")
    _add_weights(sub)
    _add_out(sub)
    sub.add_argument(
        "--masks", type=Path, metavar="DIR", help="regions drawn on it, as in a prepared data set"
    )
    _add_settings(sub)
    if experiment is None:
        sub = command("compare", _compare, "published scores beside stored results", False)
        sub.add_argument(
            "--results", type=Path, default=Path("results"), metavar="DIR",
            help="of `sebre evaluate` (default: %(default)s)",
        )  # fmt: skip
        sub.add_argument(
            "--out", type=Path, default=Path(), metavar="DIR",
            help="folder to write RESULTS.md and results/figures to (default: here)",
        )  # fmt: skip
    return parser


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
        help=text or "a name or a file (default: those shipped for the experiment)",
    )


def _add_prepare(sub: argparse.ArgumentParser, experiment: str | None) -> None:
    if experiment is None:
        sub.add_argument("source", choices=SOURCES, metavar="SOURCE", help=", ".join(SOURCES))
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
    for name, how in _SOURCE_OPTIONS.items():
        options.add_argument(f"--{name}", default=None, **how)


def _add_train(sub: argparse.ArgumentParser) -> None:
    data = sub.add_argument_group("data")
    _add_dataset(data)
    data.add_argument("--logs", required=True, type=Path, metavar="DIR", help="folder of all runs")
    _add_inner_validation(
        data, "hold out this share of the training sections, for choosing settings"
    )
    how = sub.add_argument_group("training")
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
    _add_settings(how)
    how.add_argument("--resume", action="store_true", help="go on with --weights last")


def _add_evaluate(sub: argparse.ArgumentParser) -> None:
    _add_dataset(sub)
    _add_weights(sub)
    sub.add_argument("--out", required=True, type=Path, metavar="FILE.json", help="file to write")
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
        "--angle-sections", type=_count, metavar="N", help="so many of them (default: all)"
    )
    sub.add_argument(
        "--slice-um",
        type=float,
        metavar="UM",
        help="distance of neighbouring slices of volumes, where the data set does not state it",
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


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value  # a word


def _prepare(args: argparse.Namespace) -> int:
    from sebre.prepare.build import build
    from sebre.prepare.download import download_source
    from sebre.prepare.sources import read_source

    given = {name: getattr(args, name) for name in _SOURCE_OPTIONS}
    options = {name: value for name, value in given.items() if value is not None}
    if args.download:
        download_source(args.source, args.raw, options)
    raw_set = read_source(args.source, args.raw, options)
    given = [f"--{name} {value}" for name, value in options.items() if name != "exact"]
    given += ["--exact"] if "exact" in options else []
    given += [f"--split {args.split}"] if args.split else []
    given += [f"--seed {args.seed}"] if args.seed else []
    given += ["--rotations"] if args.rotations else []
    command = ["sebre prepare", args.source, f"--raw DIR --out datasets/{raw_set.name}", *given]
    build(raw_set, args.out, args.split, args.seed, args.rotations, command=" ".join(command))
    say(f"Prepared data set: {args.out}")
    return DONE


def _check(args: argparse.Namespace) -> int:
    from sebre.check import check, render
    from sebre.regions import read_regions

    findings = check(args.dataset, read_regions(args.regions) if args.regions else None)
    say(render(findings, args.dataset))
    return USER_ERROR if any(finding.severity == "error" for finding in findings) else DONE


def _train(args: argparse.Namespace) -> int:
    from sebre.train import train

    model = train(
        EXPERIMENTS[args.experiment],
        args.dataset,
        args.weights,
        args.logs,
        variant=args.variant,
        steps=args.steps,
        seed=args.seed,
        inner_validation=args.inner_validation,
        resume=args.resume,
        settings=dict(args.set),
    )
    say(f"Weights: {model.checkpoint_path.format(epoch=model.epoch)}")
    return DONE


def _weights(args: argparse.Namespace) -> str:
    """The weights given, or those that the experiment ships."""
    if args.weights is not None:
        return args.weights
    shipped = EXPERIMENTS[args.experiment].weights
    if not shipped:
        raise ValueError(
            f"No weights are shipped for {args.experiment}. Give --weights, the path of weights "
            "that you trained."
        )
    return shipped[0]


def _evaluate(args: argparse.Namespace) -> int:
    from sebre.angles import default_angles
    from sebre.dataset import SectionDataset
    from sebre.evaluate import evaluate, save_json
    from sebre.predict import load_segmenter
    from sebre.train import training_sets

    experiment = EXPERIMENTS[args.experiment]
    if args.inner_validation:
        _, dataset = training_sets(experiment, args.dataset, args.inner_validation, args.seed)
    else:
        dataset = SectionDataset(experiment.regions).load(args.dataset, args.subset)
        dataset.prepare()
    segmenter = load_segmenter(_weights(args), experiment)
    facts = {"command": args.line}
    if args.inner_validation:
        facts["subset"] = f"inner validation: {args.inner_validation:g} of train, seed {args.seed}"
    record = evaluate(
        segmenter,
        dataset,
        experiment.name,
        args.dataset,
        facts=facts,
        draws=args.draws,
        angles=default_angles(experiment.turn) if args.angles else None,
        angle_sections=args.angle_sections,
        slice_um=args.slice_um,
    )
    save_json(record, args.out)
    for title, scores in (("as they lie", record), ("turned", record["turned"])):
        if scores is None:
            continue
        say(
            f"{title:11} {scores['n_sections']:4d} sections  mAP {_score(scores['map_paper'])}  "
            f"Dice {_score(scores['dice_mean'])}  "
            + "  ".join(
                f"{name} {value:.3f}"
                for name, value in scores["dice_per_region"].items()
                if value is not None
            )
        )
    say(f"Results: {args.out}")
    return DONE


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _detect(args: argparse.Namespace) -> int:
    from sebre.predict import detect_files, image_files, load_segmenter

    files = image_files(args.inputs)
    segmenter = load_segmenter(_weights(args), EXPERIMENTS[args.experiment])
    rows, failed = detect_files(segmenter, files, args.out)
    for row in rows:
        say(f"{row['image']:24} {row['region']:24} {row['score']:6.3f} {row['area_px']:8d} px")
    say(f"Label maps, overlays and regions.csv: {args.out}")
    for message in failed:
        print(f"sebre detect: {message}", file=sys.stderr)
    return SOME_FAILED if failed else DONE


def _inspect(args: argparse.Namespace) -> int:
    from sebre.dataset import SectionDataset
    from sebre.predict import load_segmenter, read_image
    from sebre.stages import save_panels
    from sebre.walk import walk_section

    experiment = EXPERIMENTS[args.experiment]
    image, masks, class_ids = read_image(args.image), None, None
    if args.masks is not None:
        sections = SectionDataset(experiment.regions)
        sections.add_section(args.image.name, args.image, args.masks)
        sections.prepare()
        masks, class_ids = sections.load_mask(0)
    segmenter = load_segmenter(_weights(args), experiment, **dict(args.set))
    walk = walk_section(segmenter, image, masks, class_ids, args.image.name)
    paths = save_panels(walk, args.out, args.image.stem)
    for name, count in walk.facts().items():
        say(f"{name.replace('_', ' '):14} {count:6d}")
    if not walk.drawn:
        say("No --masks: the targets of panel a are those of the regions found.")
    say(f"Panels a to i: {paths[-2]}, and one file each beside it. Every stage: {paths[-1]}")
    return DONE


def _compare(args: argparse.Namespace) -> int:
    from sebre.results_page import FIGURES, PAGE, compare

    tables, problems = compare(args.results, args.out)
    for table in tables:
        say(table.text())
    say(f"Page and figures: {args.out / PAGE}, {args.out / FIGURES}")
    for problem in problems:
        print(f"sebre compare: {problem}", file=sys.stderr)
    return SOME_FAILED if problems else DONE
