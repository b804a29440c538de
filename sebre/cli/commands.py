"""The command line: `sebre COMMAND ...`, also `python -m sebre`, and the scripts in samples/.

Exit codes: 0 done; 1 a bug, with its traceback; 2 the user's error, in one line; 3 done, but
some inputs failed.
"""

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrcnn.errors import TrainingStopped, UserError

# Before anything imports Keras; TensorFlow's start-up notes would bury the results.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from sebre.cli.areas import run_areas  # noqa: E402
from sebre.cli.neurites import run_neurites  # noqa: E402
from sebre.cli.next_command import run_next  # noqa: E402
from sebre.cli.parser import SOURCE_OPTIONS, build_parser  # noqa: E402
from sebre.data.region_names import order_of, recorded_regions  # noqa: E402
from sebre.data.regions import ANY_SECTION  # noqa: E402
from sebre.experiments import EXPERIMENTS, custom  # noqa: E402
from sebre.experiments.base import Experiment  # noqa: E402
from sebre.program import (  # noqa: E402
    DONE,
    SOME_FAILED,
    STOPPED,
    USER_ERROR,
    complain,
    run_program,
    say,
)

if TYPE_CHECKING:  # heavy to import
    from sebre.predict.job import Job
    from sebre.predict.pictures import Inputs

_QUIET = ("demo", "publish")  # commands whose progress is not of interest


def main(
    argv: Sequence[str] | None = None,
    experiment: str | None = None,
    train: Callable[[Any], Any] | None = None,
) -> int:
    """Run a command; returns its exit code.

    Args:
        argv: arguments; None takes those of the process.
        experiment: fixes the experiment: commands do not take one then.
        train: carries out `train` for Mask R-CNN: takes `sebre.networks.train.TrainingOptions`
            and returns the model. None for `sebre.networks.train.run_training`.
    """
    argv = sys.argv[1:] if argv is None else [str(argument) for argument in argv]
    if experiment is None and argv[:1] == ["bench"]:
        from sebre.bench.__main__ import main as bench

        return bench(argv[1:])
    args = build_parser(experiment, _COMMANDS).parse_args(argv)
    args.line = " ".join(["sebre" if experiment is None else f"samples/{experiment}.py", *argv])
    args.argv = argv
    args.train = train
    level = logging.WARNING if args.command in _QUIET else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    if args.debug:  # with the tracebacks of pictures that failed
        logging.getLogger("sebre").setLevel(logging.DEBUG)
    return run_program(f"sebre {args.command}", lambda: args.run(args), args.debug)


def _prepare(args: argparse.Namespace) -> int:
    from sebre.prepare.build import build
    from sebre.prepare.layout import demand_empty
    from sebre.prepare.raw import unused
    from sebre.prepare.raw_download import download_source
    from sebre.prepare.region_map import map_regions
    from sebre.prepare.sources import read_source
    from sebre.prepare.subjects import name_subjects

    given = {name: getattr(args, name) for name in SOURCE_OPTIONS}
    options = {name: value for name, value in given.items() if value is not None}
    demand_empty(args.out)
    if args.download:
        download_source(args.source, args.raw, options)
    raw_set = read_source(args.source, args.raw, options)
    if args.subjects or args.subject_pattern:
        raw_set = name_subjects(raw_set, args.subjects, args.subject_pattern)
    # A script of samples/ prepares for its experiment.
    wanted = args.regions_of or args.experiment
    if wanted or args.map:
        regions = EXPERIMENTS[wanted].regions if wanted else None
        raw_set = map_regions(raw_set, dict(args.map), regions)
    given = [f"--{name} {value}" for name, value in options.items() if name != "exact"]
    given += ["--exact"] if "exact" in options else []
    given += [f"--map {shlex.quote('='.join(pair))}" for pair in args.map]
    given += [f"--regions-of {wanted}"] if raw_set.region_map else []
    if args.subject_pattern:
        given += [f"--subject-pattern {shlex.quote(args.subject_pattern)}"]
    given += [f"--subjects {args.subjects.name}"] if args.subjects else []
    given += [f"--split {args.split}"] if args.split else []
    given += [f"--seed {args.seed}"] if args.seed else []
    given += ["--rotations"] if args.rotations else []
    command = ["sebre prepare", args.source, f"--raw DIR --out datasets/{raw_set.name}", *given]
    build(raw_set, args.out, args.split, args.seed, args.rotations, command=" ".join(command))
    say(f"Prepared data set: {args.out}")
    if line := unused(raw_set, args.raw):
        say(line)
    return DONE


def _check(args: argparse.Namespace) -> int:
    from sebre.data.check import check, render
    from sebre.data.regions import read_regions

    findings = check(args.dataset, read_regions(args.regions) if args.regions else None)
    say(render(findings, args.dataset))
    return USER_ERROR if any(finding.severity == "error" for finding in findings) else DONE


def _train(args: argparse.Namespace) -> int:
    experiment, kind = _experiment(args), _kind_to_train(args)
    if args.inner_validation is None:
        own = experiment.name == custom.NAME
        share = custom.held_out_share(args.dataset, experiment.regions) if own else 0.0
        args.inner_validation = share
    try:
        if kind == "mask_rcnn":
            return _train_mask_rcnn(args, experiment)
        return _train_pixels(args, experiment, kind)
    except KeyboardInterrupt as stopped:
        if args.resume or isinstance(stopped, TrainingStopped):
            kept = list(args.argv) if kind == "any_section" else _without_start(args.argv)
            options = ["--weights", "last", "--resume"] if kind == "mask_rcnn" else ["--resume"]
            complain(f"sebre train: {str(stopped) or 'stopped.'} Go on with:")
            complain(_command([*(word for word in kept if word != "--resume"), *options]))
        else:
            complain("sebre train: stopped before the first checkpoint. Begin again with:")
            complain(_command(args.argv))
        return STOPPED


def _without_start(argv: Sequence[str]) -> list[str]:
    """Arguments of `train` without those that say what it starts from."""
    kept, words = [], iter(argv)
    for word in words:
        if word == "--weights":
            next(words, None)
        elif word != "--resume" and not word.startswith("--weights="):
            kept.append(word)
    return kept


def _command(argv: Sequence[str]) -> str:
    """The line that runs this program with other arguments."""
    program = Path(sys.argv[0])
    begun = ["sebre"]
    if program.suffix == ".py":
        begun = ["python", *(["-m", "sebre"] if program.stem == "__main__" else [str(program)])]
    return shlex.join([*begun, *argv])


def _train_mask_rcnn(args: argparse.Namespace, experiment: Experiment) -> int:
    from mrcnn.backend import count_devices
    from sebre.networks.train import TrainingOptions, run_training

    settings = dict(args.set)
    if experiment.name == custom.NAME and not (args.resume or args.variant):
        args.variant = None if args.weights in ("coco", "imagenet") else "small"
    if args.devices is not None:
        settings["GPU_COUNT"] = count_devices(args.devices)
    names = ("dataset", "logs", "weights", "variant", "steps", "seed", "inner_validation", "resume")
    options = TrainingOptions(**_chosen(args, *names), settings=settings)
    model = (args.train or partial(run_training, experiment))(options)
    say(f"Weights: {model.checkpoint_path.format(epoch=model.epoch)}")
    return DONE


def _kind_to_train(args: argparse.Namespace) -> str:
    """The kind of network that is trained: what was said, or that of the weights it starts from."""
    from sebre.networks.training_run import weights_of_run
    from sebre.networks.weights_store import find_weights, network_of

    if args.network is not None:
        return args.network
    if args.weights in ("none", "last", "coco", "imagenet"):
        return "mask_rcnn"
    args.weights = str(weights_of_run(args.weights))
    kind = network_of(find_weights(args.weights))
    # Others start from random weights alone, so their weights say nothing of what is wanted.
    return kind if kind == "any_section" else "mask_rcnn"


def _train_pixels(args: argparse.Namespace, experiment: Experiment, kind: str) -> int:
    from sebre.networks.network_facts import KINDS
    from sebre.networks.rivals import LOADED_KINDS, PIXEL_KINDS
    from sebre.networks.rivals.nnunet_train import train_nnunet
    from sebre.networks.section_train import train_section
    from sebre.networks.unet_train import from_pictures, train_pixels

    rival, name = LOADED_KINDS.get(kind), KINDS[kind]
    fresh = args.weights == "none" or (args.resume and args.weights == "last")
    if rival is not None and not fresh:
        raise UserError(
            f"--weights {args.weights}: {name} starts from random weights, or goes on with the "
            "last run (--resume). Leave --weights out."
        )
    if args.devices is not None:
        raise UserError(f"--devices: {name} is trained on one device. Leave --devices out.")
    if args.steps and len(args.steps) > 1:
        raise UserError(
            f"--steps has {len(args.steps)} numbers; the schedule of {name} has one part. Give "
            "one number."
        )
    if rival is None:
        trained = partial(train_section, weights=args.weights)
    elif kind in PIXEL_KINDS:
        trained = partial(train_pixels, from_pictures(rival))
    else:
        trained = train_nnunet
    segmenter = trained(
        experiment,
        steps=args.steps[0] if args.steps else None,
        settings=dict(args.set),
        **_chosen(args, "dataset", "logs", "seed", "inner_validation", "resume"),
    )
    say(f"Weights: {segmenter.weights.path}")
    return DONE


def _experiment(args: argparse.Namespace) -> Experiment:
    """The experiment named, or that of regions of one's own: of the data set that is trained on,
    or of the weights."""
    if args.experiment != custom.NAME:
        if getattr(args, "regions", None) is not None:
            raise UserError(
                f"--regions: {args.experiment} has its own regions. Leave it out, or train "
                f"{custom.NAME}."
            )
        return EXPERIMENTS[args.experiment]
    if args.command == "train":
        return custom.experiment_of_dataset(args.dataset, args.regions)
    from sebre.networks.segmenter import find_network

    if args.weights is None:
        raise UserError(
            f"{custom.NAME} has no weights of its own. Give --weights: a file, or the folder of "
            "the run that `sebre train custom` made."
        )
    return find_network(args.weights)[1]


def _as_numbered(root: Path, experiment: Experiment) -> Experiment:
    """An experiment with its regions under the class ids of a data set that numbers the same ones
    otherwise."""
    recorded = recorded_regions(root)
    order = recorded and order_of(recorded.names, experiment.regions.names)
    return replace(experiment, regions=recorded) if order and order != sorted(order) else experiment


def _chosen(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Options that are handed on under their own names."""
    return {name: getattr(args, name) for name in names}


def _weights(args: argparse.Namespace) -> str:
    """The weights given, or those that the experiment ships."""
    if args.weights is not None:
        return args.weights
    shipped = EXPERIMENTS[args.experiment].weights
    if not shipped:
        raise UserError(
            f"No weights are shipped for {args.experiment}. Give --weights, the path of weights "
            "that you trained."
        )
    return shipped[0]


def _evaluate(args: argparse.Namespace) -> int:
    from sebre.evaluation.angles import default_angles
    from sebre.evaluation.evaluate import demand_result_path, evaluate, save_json
    from sebre.evaluation.summary import dices_by_region
    from sebre.networks.segmenter import load_segmenter
    from sebre.networks.train import training_sets

    experiment = _experiment(args)
    if args.experiment == custom.NAME:
        experiment = _as_numbered(args.dataset, experiment)
    demand_result_path(args.out)
    if args.inner_validation:
        _, dataset = training_sets(experiment, args.dataset, args.inner_validation, args.seed)
    else:
        dataset = experiment.load(args.dataset, args.subset)
    segmenter = load_segmenter(_weights(args), experiment, **_settings(args))
    facts = {"command": args.line}
    if args.inner_validation:
        facts["subset"] = f"inner validation: {args.inner_validation:g} of train, seed {args.seed}"
    record = evaluate(
        segmenter,
        dataset,
        experiment.name,
        args.dataset,
        turn=experiment.turn,
        facts=facts,
        angles=default_angles(experiment.turn) if args.angles else None,
        **_chosen(args, "draws", "angle_sections", "slice_um"),
    )
    save_json(record, args.out)
    for title, turned in (("as they lie", False), ("turned", True)):
        scores = record.at(turned)
        if not scores.n_sections:
            continue
        say(
            f"{title:11} {scores.n_sections:4d} sections  mAP {_score(scores.map_paper)}  "
            f"Dice {_score(scores.dice_mean)}  {dices_by_region(scores)}"
        )
    say(f"Results: {args.out}")
    return DONE


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _predict(args: argparse.Namespace) -> int:
    from sebre.data.listing import some
    from sebre.predict.folders import detect_folders
    from sebre.predict.job import plan_job
    from sebre.predict.overview import PAGE
    from sebre.predict.pictures import find_inputs
    from sebre.predict.section_records import TABLE

    found = find_inputs(args.inputs, args.out)
    weights, experiment = _network_for(args)
    job = plan_job(
        weights,
        experiment,
        args.out,
        _settings(args),
        shapes=args.masks,
        formats=args.format or (),
        **_chosen(args, "tile", "overlap", "overlay_px", "channel", "z"),
        **_chosen(args, "pixel_um", "plane", "orientation", "tta"),
        place=None if args.place is None else args.place == "yes",
    )
    if args.dry_run:
        return _say_plan(found, job)
    how = _chosen(args, "workers", "scheduler", "restart", "retries")
    outcomes = detect_folders(job, found.sections, **how)
    for outcome in outcomes:
        for text in outcome.warnings:
            say(f"{outcome.name:24} warning: {text}")
        for row in outcome.found:
            doubt = f"  doubtful: {row['flags']}" if row.get("flags") else ""
            size = f"{row['score']:6.3f} {_size_of(row)}"
            say(f"{row['image']:24} {_region_of(row):24} {size}{doubt}")
    say(f"Label maps, overlays, {TABLE} and {PAGE}: {args.out}")
    if empty := [outcome.name for outcome in outcomes if not (outcome.found or outcome.error)]:
        say(f"No region was found in {len(empty)} of {len(outcomes)} section(s): {some(empty)}")
    _say_of_inputs(found, job)
    failed = [outcome.error for outcome in outcomes if outcome.error]
    for message in failed:
        complain(f"sebre {args.command}: {message}")
    return SOME_FAILED if failed else DONE


def _network_for(args: argparse.Namespace) -> "tuple[str, Experiment]":
    """The weights to predict with, and the experiment that they are of."""
    from sebre.networks.segmenter import find_network
    from sebre.networks.weights_store import known_networks

    if args.experiment is not None:
        return _weights(args), EXPERIMENTS[args.experiment]
    weights = args.weights
    if weights is None:
        weights = ANY_SECTION.name
        if weights not in known_networks():
            raise UserError(
                "Which network? Give --weights, a name or the path of weights of your own; "
                "`sebre models` lists the names."
            )
        complain(
            f"No --weights: {weights} is used. `sebre models suggest` says whether one fits better."
        )
    if weights in EXPERIMENTS and EXPERIMENTS[weights].weights and not Path(weights).exists():
        weights = EXPERIMENTS[weights].weights[0]  # what is shipped for it
    return weights, find_network(weights)[1]


def _say_plan(found: "Inputs", job: "Job") -> int:
    """What a call would do."""
    from sebre.predict.job import finished

    for section in found.sections:
        done = "  finished before" if finished(job, section) else ""
        say(f"{section.path}  ->  {job.out / section.name}_*{done}")
    regions = ", ".join(job.experiment.regions.names)
    say(f"{len(found.sections)} input(s), network {job.weights}: {regions}")
    _say_of_inputs(found, job)
    return DONE


def _say_of_inputs(found: "Inputs", job: "Job") -> None:
    """What was passed over; and, where files are for other programs, which names have a number."""
    numbered = found.numbered() if job.options["formats"] else ""
    for line in filter(None, (numbered, found.closing_line())):
        say(line)


def _region_of(row: dict[str, Any]) -> str:
    side = row.get("hemisphere", "")
    return row["region"] if row["region"].startswith(side) else f"{row['region']}, {side}"


def _size_of(row: dict[str, Any]) -> str:
    if "volume_mm3" in row:
        return f"{row['volume_mm3']:10.1f} mm3"
    size = f"{row['area_px']:8d} px"
    return f"{size} {row['area_mm2']:9.4f} mm2" if "area_mm2" in row else size


def _export(args: argparse.Namespace) -> int:
    from sebre.networks.exports import export_network

    path = export_network(
        _experiment(args),
        _weights(args),
        args.out,
        args.format,
        args.precision,
        args.calibrate,
        dict(args.set),
        args.shape,
    )
    say(f"Network: {path}")
    return DONE


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """Settings that differ, by --set and by the options that stand for one."""
    named = {"PRECISION": args.precision, "RUNTIME": args.runtime}
    if getattr(args, "reduced_decode", False):
        named["REDUCED_DECODE"] = True
    return {**dict(args.set), **{name: value for name, value in named.items() if value}}


def _inspect(args: argparse.Namespace) -> int:
    from mrcnn.imageio.header import Choice
    from mrcnn.io.own_files import demand_own
    from sebre.inspect.panels import panel_paths, save_panels
    from sebre.inspect.trace import walk_section
    from sebre.networks.segmenter import demand_mask_rcnn, load_segmenter, read_image

    experiment = _experiment(args)
    demand_own(panel_paths(args.out, args.image.stem), [args.image])
    segmenter = demand_mask_rcnn(load_segmenter(_weights(args), experiment, **dict(args.set)))
    choice = Choice(args.channel, args.z)
    image = read_image(args.image, segmenter.config.CONTRAST, choice)
    masks, class_ids = None, None
    if args.masks is not None:
        sections = experiment.sections()
        sections.add_section(args.image.name, args.image, args.masks)
        sections.prepare()
        masks, class_ids = sections.load_mask(0)
    walk = walk_section(segmenter, image, masks, class_ids, args.image.name)
    paths = save_panels(walk, args.out, args.image.stem)
    for name, count in walk.facts().items():
        say(f"{name.replace('_', ' '):14} {count:6d}")
    if not walk.drawn:
        say("No --masks: the targets of panel a are those of the regions found.")
    say(f"Panels a to i: {paths[-2]}, and one file each beside it. Every stage: {paths[-1]}")
    return DONE


def _register(args: argparse.Namespace) -> int:
    from sebre.registration.labelers import NETWORK
    from sebre.registration.scoring import register_command

    record = register_command(
        args.experiment,
        args.dataset,
        args.method,
        args.out,
        weights=_weights(args) if args.method == NETWORK else args.weights,
        command=args.line,
        **_chosen(args, "rotate", "limit", "seed", "threads"),
    )
    for title, part in (("upright", record), (f"turned {args.rotate:g}", record.turned)):
        times, scores = part.seconds_per_section, part.scores
        median = f"{times.median:.2f}" if times else "-"  # none where every one failed
        failed = f"  {part.n_failed} of them failed" if part.n_failed else ""
        say(
            f"{title:12} {scores.n_sections:4d} sections  mean Dice "
            f"{_score(scores.dice_mean)}  mean squared error {scores.mse:.4f}  "
            f"{median} processor s per section{failed}"
        )
    say(f"Results: {args.out}")
    return DONE


def _compare(args: argparse.Namespace) -> int:
    if args.files:
        return _compare_files(args)
    from sebre.report.page import FIGURES, PAGE, compare

    out = args.out or Path()
    tables, problems = compare(args.results, out)
    for table in tables:
        say(table.text())
    say(f"Page and figures: {out / PAGE}, {out / FIGURES}")
    for problem in problems:
        complain(f"sebre compare: {problem}")
    return SOME_FAILED if problems else DONE


def _compare_files(args: argparse.Namespace) -> int:
    from sebre.report.side_by_side import OUTPUTS, compare_files, write_comparison

    found = compare_files(args.files)
    for table in found.tables:
        say(table.text())
    if args.out is not None:
        write_comparison(found, args.out)
        say(f"Tables: {', '.join(str(args.out / name) for name in OUTPUTS)}")
    for line in (*found.refused, *found.notes):
        complain(f"sebre compare: {line}")
    return SOME_FAILED if found.refused else DONE


def _morphometry(args: argparse.Namespace) -> int:
    from mrcnn.io.own_files import demand_own
    from sebre.morphometry.groups import OUTPUTS, measure, write

    demand_own([args.out / name for name in OUTPUTS])
    chosen = _chosen(args, "by", "table", "subject", "trusted_only", "spacing_um", "seed")
    result = measure(args.predictions, **chosen)
    write(result, args.out, args.draw, command=args.line, seed=args.seed)
    for line in result.lines():
        say(line)
    for note in result.notes:
        complain(f"sebre morphometry: {note}")
    say(f"Table, record and growth curves: {', '.join(str(args.out / name) for name in OUTPUTS)}")
    return SOME_FAILED if result.missing else DONE


def _demo(args: argparse.Namespace) -> int:
    from sebre.cli.demo import run

    run(args.weights, args.dataset, args.out)
    return DONE


def _models(args: argparse.Namespace) -> int:
    from sebre.cli.models import models

    return models(args)


def _synthesize(args: argparse.Namespace) -> int:
    from sebre.prepare.layout import demand_empty
    from sebre.synthesis.gallery import synthesize

    demand_empty(args.out)
    asked = _chosen(args, "count", "size", "graded", "seed", "without")
    path = synthesize(args.out, args.data, **asked)
    say(f"{args.count} synthetic sections: {args.out}; all of them at a glance: {path}")
    return DONE


def _publish(args: argparse.Namespace) -> int:
    from sebre.cli.publish import Release, publish
    from sebre.networks.rivals import NNUNET, PIXEL_KINDS
    from sebre.networks.training_run import weights_of_run
    from sebre.networks.weights_store import find_weights, network_of, store_dir

    args.weights = Path(weights_of_run(args.weights))
    kind = network_of(find_weights(args.weights))
    if kind == NNUNET.name:
        raise UserError(
            f"{args.weights}: weights of nnU-Net, which stay out of the store. Use them by their "
            "path."
        )
    name = args.name or args.experiment + (f"_{kind}" if kind in PIXEL_KINDS else "")
    release = Release(
        name,
        experiment=_experiment(args),
        command=args.trained_by,
        **_chosen(args, "weights", "dataset", "start", "license", "note"),
    )
    folder = store_dir()
    results = args.results or folder.parent / "results" / f"{name}.json"
    entry = publish(release, folder, results)
    say(f"{name}: {entry['bytes'] / 1e6:.1f} MB, {entry['scores']}")
    return DONE


def _bench(args: argparse.Namespace) -> int:
    """`sebre --debug bench`; `main` hands on `sebre bench` itself."""
    from sebre.bench.__main__ import main as bench

    return bench(["--debug"] if args.debug else [])


_COMMANDS = {
    "prepare": _prepare,
    "check": _check,
    "train": _train,
    "evaluate": _evaluate,
    "predict": _predict,
    "detect": _predict,
    "export": _export,
    "inspect": _inspect,
    "register": _register,
    "compare": _compare,
    "morphometry": _morphometry,
    "next": run_next,
    "bench": _bench,
    "demo": _demo,
    "models": _models,
    "publish": _publish,
    "synthesize": _synthesize,
    "neurites": run_neurites,
    "areas": run_areas,
}
