"""The commands `sebre areas prepare | pretrain | train | evaluate | fill`.

Called by `sebre.cli.parser`, which gives the options, and by `sebre.cli.commands`.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mrcnn.errors import UserError
from sebre.cli.subcommands import subcommands
from sebre.program import DONE, say

# Of `sebre.areas.nissl_stack`, `.filling`, `.area_runs` and of registration; heavy to import.
SIDES = ("right", "left")
METHODS = ("carried", "shapes", "network", "combined")
NETWORK_METHODS = METHODS[2:]
PRECISIONS = ("float32", "bfloat16")
REGISTRATION = ("elastix", "dipy", "none")
CACHE = "registration"  # folder beside a run


def add_areas(
    sub: argparse.ArgumentParser, adder: Callable[..., Callable[..., None]], shared: dict[str, Any]
) -> None:
    """Give the command `areas` its own commands.

    Args:
        sub: its parser.
        adder: makes what adds options with their help (`sebre.cli.parser`).
        shared: kinds of options that several commands have.
    """
    action = subcommands(sub, "areas", adder)
    _add_prepare(action("prepare", "make the stack of the Nissl plates"), shared)
    _add_pretrain(action("pretrain", "learn from sections without areas"), shared)
    _add_train(action("train", "train a network of areas"), shared)
    _add_evaluate(action("evaluate", "score a network on sections left out"), shared)
    _add_fill(action("fill", "fill the sections between annotated ones"), shared)


def run_areas(args: argparse.Namespace) -> int:
    """Carry out one of the commands; returns the exit code."""
    run = {"prepare": _prepare, "pretrain": _pretrain, "train": _train}
    run |= {"evaluate": _evaluate, "fill": _fill}
    return run[args.action](args)


def _add_prepare(add: Callable[..., None], shared: dict[str, Any]) -> None:
    add("raw", type=Path, metavar="RAW")
    add("--out", required=True, type=Path, metavar="STACK.npz")
    add("--pixel-um", default=17.0, **shared["length"])
    add("--side", choices=SIDES, default=SIDES[0])


def _add_stack(add: Callable[..., None], shared: dict[str, Any]) -> None:
    add("stack", type=Path, metavar="STACK")
    add("--labels", type=Path, metavar="DIR|FILE")
    add("--pixel-um", **shared["length"])
    add("--spacing-mm", **shared["length"])
    add("--axis", type=int, choices=(0, 1, 2), default=1)


def _add_training(add: Callable[..., None], shared: dict[str, Any], steps: int) -> None:
    add("--out", required=True, type=Path, metavar="DIR")
    add("--split", metavar="SPLIT")
    add("--steps", default=steps, **shared["number"])
    add("--precision", choices=PRECISIONS, default=PRECISIONS[0])
    add("--seed", default=0, **shared["count"])


def _add_pretrain(add: Callable[..., None], shared: dict[str, Any]) -> None:
    _add_stack(add, shared)
    _add_training(add, shared, 1200)


def _add_train(add: Callable[..., None], shared: dict[str, Any]) -> None:
    _add_stack(add, shared)
    _add_training(add, shared, 1800)
    add("--patch", default=96, **shared["number"])
    add("--start", type=Path, metavar="DIR")
    add("--without-prior", action="store_true")
    add("--registration", choices=REGISTRATION, default=REGISTRATION[0])


def _add_evaluate(add: Callable[..., None], shared: dict[str, Any]) -> None:
    _add_stack(add, shared)
    add("--out", required=True, type=Path, metavar="FILE.json")
    add("--split", required=True, metavar="SPLIT")
    add("--weights", required=True, type=Path, nargs="+", metavar="DIR")
    add("--cache", type=Path, metavar="DIR")
    add("--registration", choices=REGISTRATION, default=REGISTRATION[0])


def _add_fill(add: Callable[..., None], shared: dict[str, Any]) -> None:
    _add_stack(add, shared)
    add("--annotated", nargs="+", required=True, metavar="SECTION")
    add("--out", required=True, type=Path, metavar="DIR")
    add("--method", choices=METHODS, default="carried")
    add("--steps", default=250, **shared["number"])
    add("--weights", type=Path, nargs="+", metavar="DIR")
    add("--layers", action="store_true")
    add("--registration", choices=REGISTRATION, default=REGISTRATION[0])
    add("--seed", default=0, **shared["count"])


def _stack(args: argparse.Namespace) -> Any:
    from sebre.areas.stacks import open_stack

    return open_stack(args.stack, args.labels, args.pixel_um, args.spacing_mm, args.axis)


def _neighbors(stack: Any, folder: Path, method: str) -> Any:
    from sebre.areas.alignment import Alignment
    from sebre.areas.atlas_prior import Neighbors

    return Neighbors(stack, Alignment(stack.images, folder, method))


def _precision(args: argparse.Namespace) -> str:
    from sebre.areas.area_runs import PRECISIONS as NAMES

    return NAMES[args.precision]


def _prepare(args: argparse.Namespace) -> int:
    from mrcnn.io.own_files import demand_own
    from sebre.areas.nissl_stack import nissl_stack
    from sebre.areas.stacks import write_stack

    if args.out.suffix != ".npz":
        raise UserError(f"{args.out}: wanted a name that ends with .npz.")
    demand_own([args.out])
    stack = nissl_stack(args.raw, args.pixel_um, args.side)
    write_stack(stack, args.out)
    say(
        f"{len(stack)} sections of {stack.images.shape[1:]} pixels, {len(stack.areas)} areas: "
        f"{args.out}"
    )
    return DONE


def _pretrain(args: argparse.Namespace) -> int:
    from sebre.areas.area_measures import split_of
    from sebre.areas.pretraining.ribbon import geodesic_distances, middle_points
    from sebre.areas.pretraining.siamese import PatchMaker, SiameseSettings, pretrain

    stack = _stack(args).drawn()
    known = split_of(args.split, stack).known if args.split else range(len(stack))
    part = stack.sections(known)
    cortex = part.labels > 0
    points = middle_points(part, cortex)
    distances = geodesic_distances(part, cortex, points)
    settings = SiameseSettings(steps=args.steps, precision=_precision(args), seed=args.seed)
    pretrain(PatchMaker(part, points, distances, settings.side), args.out, settings, part.names)
    say(f"Network: {args.out}")
    return DONE


def _train(args: argparse.Namespace) -> int:
    from sebre.areas.area_measures import split_of
    from sebre.areas.area_training import AreaSettings, train_areas
    from sebre.areas.pretraining.siamese import load_siamese

    stack = _stack(args).drawn()
    if args.split:
        known = split_of(args.split, stack).known
    else:
        known = [n for n in range(len(stack)) if stack.labels[n].any()]
    settings = AreaSettings(
        steps=args.steps, patch=args.patch, precision=_precision(args), seed=args.seed
    )
    neighbors = None
    if not args.without_prior:
        neighbors = _neighbors(stack, args.out.with_name(CACHE), args.registration)
    start = load_siamese(args.start) if args.start else None
    train_areas(stack, known, args.out, settings, neighbors, start)
    say(f"Network: {args.out}")
    return DONE


def _evaluate(args: argparse.Namespace) -> int:
    from mrcnn.io.files import arrays_sha256
    from mrcnn.io.own_files import demand_own, replace_own_text
    from sebre.areas.area_measures import measure, split_of
    from sebre.areas.area_prediction import demand_stack, load_area_network
    from sebre.areas.area_scores import short
    from sebre.data.listing import some
    from sebre.networks.environment import environment
    from sebre.networks.training_run import SETTINGS_FILE

    demand_own([args.out])
    stack = _stack(args).drawn()
    split = split_of(args.split, stack)
    network = load_area_network(*args.weights)
    demand_stack(network, stack)
    runs = [json.loads((path / SETTINGS_FILE).read_text("utf-8")) for path in args.weights]
    if len({tuple(settings["sections"]) for settings in runs}) > 1:
        raise UserError(
            f"--weights: {some([path.as_posix() for path in args.weights])} learned from other "
            "sections than each other. Give runs of one stack and one --split."
        )
    tested = {arrays_sha256(stack.images[n]): stack.names[n] for n in split.tested}
    for path, settings in zip(args.weights, runs, strict=True):
        if known := [tested[sha] for sha in settings.get("pictures", ()) if sha in tested]:
            raise UserError(
                f"{path}: learned from {some(known)}, which --split leaves out to be tested. "
                "Train with the same --split."
            )
    cache = args.cache or args.out.with_name(CACHE)
    neighbors = _neighbors(stack, cache, args.registration)
    rows = measure(stack, split, neighbors, network)
    each = [measure(stack, split, neighbors, one) for one in network.singly()]
    record = {
        "command": args.line,
        "stack": args.stack.name,
        "split": args.split,
        "tested": list(tested.values()),
        "learned": runs[0]["sections"],
        "networks": network.sha256,
        "settings": runs[0],
        "seeds": [settings["seed"] for settings in runs],
        "rows": rows,
        "each": [{name: short(row) for name, row in rows.items()} for rows in each],
        "environment": environment(),
    }
    replace_own_text(args.out, json.dumps(record, indent=1) + "\n")
    for name, row in rows.items():
        say(f"{name:48} Dice {row['dice']:.3f}  right area {row['accuracy']:.3f}")
    say(f"Results: {args.out}")
    return DONE


def _fill(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from mrcnn.io.own_files import demand_own
    from sebre.areas.area_prediction import load_area_network
    from sebre.areas.filled_files import outputs, write_filled
    from sebre.areas.filling import GAP_TRAINING, FillSettings, between, fill
    from sebre.prepare.sources.ara_areas import LAYERS

    if args.weights and args.method not in NETWORK_METHODS:
        raise UserError(
            f"--weights: --method {args.method} asks no network. Give --method "
            f"{' or '.join(NETWORK_METHODS)}, or leave --weights out."
        )
    stack = _stack(args).drawn()
    if args.layers:
        if stack.layers is None:
            raise UserError(f"{args.stack}: has no layers.")
        stack = replace(stack, labels=stack.layers, areas=LAYERS, layers=None)
    annotated = stack.numbers_of(args.annotated)
    demand_own(outputs(args.out, between(stack, annotated)[0].names))
    settings = FillSettings(
        method=args.method,
        registration=args.registration,
        training=replace(GAP_TRAINING, steps=args.steps, seed=args.seed),
    )
    start = (lambda: load_area_network(*args.weights)) if args.weights else None
    filled = fill(stack, annotated, args.out, settings, start)
    write_filled(filled, args.out)
    say(f"{len(filled.stack)} sections, {len(annotated)} of them annotated: {args.out}")
    if filled.next_section is not None:
        say(
            f"Annotate section {filled.stack.names[filled.next_section]} next: it is the least "
            f"sure (confidence {filled.confidence[filled.next_section]:.2f})."
        )
    return DONE
