"""The command line: `sebre COMMAND ...`, also `python -m sebre`.

Exit codes: 0 done, 2 the user's error, 3 done but some inputs failed.
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

# Before anything imports Keras; TensorFlow's start-up notes would bury the results.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

DONE, USER_ERROR, SOME_FAILED = 0, 2, 3

SOURCES = {"slicemap": "sagittal mouse sections of Barbier et al. 2018 (NumPy arrays)"}
EXPERIMENT_NAMES = ("slicemap",)


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
    args = _parser(experiment).parse_args(argv)
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
    return str(error)


def _parser(experiment: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sebre" if experiment is None else f"samples/{experiment}.py",
        description="Segmentation of brain regions in tissue sections.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run, text: str, takes_experiment: bool = True):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        if takes_experiment and experiment is None:
            sub.add_argument("experiment", choices=EXPERIMENT_NAMES)
        else:
            sub.set_defaults(experiment=experiment)
        return sub

    def weights(group, default: str, text: str) -> None:
        group.add_argument("--weights", default=default, metavar="NAME|PATH", help=text)

    if experiment is None:
        sub = command("prepare", _prepare, "make a prepared data set from raw data", False)
        sub.add_argument("source", choices=sorted(SOURCES), help="kind of raw data")
    elif experiment in SOURCES:
        sub = command("prepare", _prepare, "make the prepared data set from raw data")
        sub.set_defaults(source=experiment)
    sub.add_argument("--raw", required=True, type=Path, metavar="DIR", help="folder of raw data")
    sub.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write")
    sub.add_argument("--seed", type=int, default=0, help="of the split (default: %(default)s)")

    sub = command("train", _train, "train a network")
    data = sub.add_argument_group("data")
    data.add_argument("--dataset", required=True, type=Path, metavar="DIR", help="prepared folder")
    data.add_argument("--logs", required=True, type=Path, metavar="DIR", help="folder of all runs")
    data.add_argument(
        "--inner-validation",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="hold out this share of the training sections, for choosing settings (default: 0)",
    )
    how = sub.add_argument_group("training")
    weights(how, "none", "start from: none, last, coco, imagenet, a name or a file")
    how.add_argument(
        "--steps",
        type=_numbers,
        metavar="N[,N]",
        help="optimizer steps of each part of the schedule (default: the experiment's)",
    )
    how.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    how.add_argument("--resume", action="store_true", help="go on with --weights last")

    sub = command("evaluate", _evaluate, "score a network on a prepared data set")
    sub.add_argument("--dataset", required=True, type=Path, metavar="DIR", help="prepared folder")
    weights(sub, experiment or "slicemap", "a name or a file (default: %(default)s)")
    sub.add_argument("--out", required=True, type=Path, metavar="FILE.json", help="file to write")
    sub.add_argument("--subset", default="val", help="part of the data set (default: %(default)s)")
    sub.add_argument(
        "--inner-validation",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="score what `train` with this share and seed held out of the training part",
    )
    sub.add_argument("--seed", type=int, default=0, help="of the inner split (default: 0)")

    sub = command("detect", _detect, "find regions in images")
    sub.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="images or folders")
    weights(sub, experiment or "slicemap", "a name or a file (default: %(default)s)")
    sub.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write")
    return parser


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number, or numbers with commas"
        ) from error


def _experiment(args: argparse.Namespace):
    from sebre.experiments import EXPERIMENTS

    return EXPERIMENTS[args.experiment]


def _prepare(args: argparse.Namespace) -> int:
    source = importlib.import_module(f"sebre.prepare.sources.{args.source}")
    source.prepare(args.raw, args.out, seed=args.seed)
    say(f"Prepared data set: {args.out}")
    return DONE


def _train(args: argparse.Namespace) -> int:
    from sebre.train import train

    model = train(
        _experiment(args),
        args.dataset,
        args.weights,
        args.logs,
        steps=args.steps,
        seed=args.seed,
        inner_validation=args.inner_validation,
        resume=args.resume,
    )
    say(f"Weights: {model.checkpoint_path.format(epoch=model.epoch)}")
    return DONE


def _evaluate(args: argparse.Namespace) -> int:
    from sebre.dataset import SectionDataset
    from sebre.evaluate import evaluate, save_json
    from sebre.predict import load_segmenter
    from sebre.train import training_sets

    experiment = _experiment(args)
    if args.inner_validation:
        _, dataset = training_sets(experiment, args.dataset, args.inner_validation, args.seed)
    else:
        dataset = SectionDataset(experiment.regions).load(args.dataset, args.subset)
        dataset.prepare()
    segmenter = load_segmenter(args.weights, experiment)
    record = evaluate(segmenter, dataset, experiment.name, args.dataset)
    save_json(record, args.out)
    for title, scores in (("as they lie", record), ("turned, mirrored", record["turned"])):
        say(
            f"{title:17} {scores['n_sections']:4d} sections  mAP {scores['map_paper']:.3f}  "
            f"Dice {scores['dice_mean']:.3f}  "
            + "  ".join(
                f"{name} {value:.3f}"
                for name, value in scores["dice_per_region"].items()
                if value is not None
            )
        )
    say(f"Results: {args.out}")
    return DONE


def _detect(args: argparse.Namespace) -> int:
    from sebre.predict import detect_files, image_files, load_segmenter

    files = image_files(args.inputs)
    segmenter = load_segmenter(args.weights, _experiment(args))
    rows, failed = detect_files(segmenter, files, args.out)
    for row in rows:
        say(f"{row['image']:24} {row['region']:24} {row['score']:6.3f} {row['area_px']:8d} px")
    say(f"Label maps, overlays and regions.csv: {args.out}")
    for message in failed:
        print(f"sebre detect: {message}", file=sys.stderr)
    return SOME_FAILED if failed else DONE
