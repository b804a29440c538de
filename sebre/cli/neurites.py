"""The commands `sebre neurites train | predict | evaluate`.

Called by `sebre.cli.parser`, which gives the options, and by `sebre.cli.commands`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mrcnn.errors import UserError
from sebre.cli.subcommands import subcommands
from sebre.program import DONE, say

NAME = "neurites"  # of the shipped network
METHODS = ("watershed", "components", "mutex")  # of `sebre.neurites.whole_volumes`
# Of `sebre.neurites.learning.patches`; both are heavy to import.
AUGMENTATIONS = (
    *("flip", "transpose", "rotate", "elastic", "intensity"),
    *("blur", "darken", "missing", "shift", "noise", "interpolate"),
)
SEVERITIES = ("mild", "harsh")  # of `sebre.neurites.learning.section_defects`


def add_neurites(
    sub: argparse.ArgumentParser, adder: Callable[..., Callable[..., None]], shared: dict[str, Any]
) -> None:
    """Give the command `neurites` its own commands.

    Args:
        sub: its parser.
        adder: makes what adds options with their help (`sebre.cli.parser`).
        shared: kinds of options that several commands have.
    """
    action = subcommands(sub, "neurites", adder)
    _add_train(action("train", "train a network of affinities"), shared)
    _add_predict(action("predict", "segment the neurites of a volume"), shared)
    _add_evaluate(action("evaluate", "score a network on a volume with labels"), shared)


def run_neurites(args: argparse.Namespace) -> int:
    """Carry out one of the commands; returns the exit code."""
    run = {"train": _train, "predict": _predict, "evaluate": _evaluate}
    return run[args.action](args)


def _add_train(add: Callable[..., None], shared: dict[str, Any]) -> None:
    add("volumes", nargs="+", type=Path, metavar="VOLUME")
    add("--out", required=True, type=Path, metavar="DIR")
    add("--sections", type=_range, metavar="FIRST:LAST")
    add("--check", type=_range, metavar="FIRST:LAST")
    add("--voxel-nm", type=float, nargs=3, metavar="NM")
    add("--steps", default=8000, **shared["number"])
    add("--stop-at", **shared["number"])
    add("--keep", nargs="+", default=(), **shared["number"])
    add("--patch", nargs=3, default=(48, 80, 80), **shared["number"])
    add("--widths", nargs="+", default=(24, 48, 96), **shared["number"])
    add("--learning-rate", type=float, default=2e-3, metavar="RATE")
    add("--long-range", default=6, **shared["count"])
    add("--without", nargs="+", default=(), choices=AUGMENTATIONS, metavar="NAME")
    add("--defects", choices=SEVERITIES, default="harsh")
    add("--zero-is-border", action="store_true")
    add("--begin-with", metavar="NAME|PATH")
    add("--precision", choices=("float32", "bfloat16"), default="float32")
    add("--check-s", type=float, default=240.0, metavar="S")
    add("--seed", default=0, **shared["count"])


def _add_predict(add: Callable[..., None], shared: dict[str, Any]) -> None:
    add("volume", type=Path, metavar="VOLUME")
    add("--out", required=True, type=Path, metavar="SEGMENTS")
    add("--weights", default=NAME, metavar="NAME|PATH")
    add("--voxel-nm", type=float, nargs=3, metavar="NM")
    _add_decoding(add, shared)
    add("--threshold", type=_share, metavar="0..1")
    add("--block", nargs=3, default=(128, 192, 192), **shared["number"])
    add("--workers", **shared["number"])
    add("--scheduler", metavar="ADDRESS")


def _add_decoding(add: Callable[..., None], shared: dict[str, Any]) -> None:
    add("--method", choices=METHODS, default=METHODS[0])
    add("--min-voxels", default=100, **shared["count"])
    add("--flat", action="store_true")
    add("--keep-sections", action="store_true")


def _add_evaluate(add: Callable[..., None], shared: dict[str, Any]) -> None:
    add("volume", type=Path, metavar="VOLUME")
    add("--out", required=True, type=Path, metavar="FILE.json")
    add("--weights", default=NAME, metavar="NAME|PATH")
    add("--labels", type=Path, metavar="FILE")
    add("--segments", type=Path, metavar="FILE")
    add("--sections", type=_range, metavar="FIRST:LAST")
    add("--choose", type=_range, metavar="FIRST:LAST")
    add("--voxel-nm", type=float, nargs=3, metavar="NM")
    _add_decoding(add, shared)
    add("--threshold", type=_share, metavar="0..1")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return share


def _range(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIRST:LAST, as in 0:150")
    return int(first), int(last)


def _train(args: argparse.Namespace) -> int:
    from sebre.neurites.affinity_prediction import load_network
    from sebre.neurites.learning.neurite_training import TrainSettings, train
    from sebre.neurites.volume_files import open_volume

    volumes = [open_volume(path) for path in args.volumes]
    for path, volume in zip(args.volumes, volumes, strict=True):
        if volume.labels is None:
            raise UserError(f"{path}: has no labels to learn from.")
    sizes = {tuple(args.voxel_nm)} if args.voxel_nm else {v.voxel_nm for v in volumes}
    if len(sizes) > 1 or None in sizes:
        raise UserError(
            f"The voxel sizes of {', '.join(map(str, args.volumes))} are {sizes}; wanted one and "
            "the same. Give --voxel-nm."
        )
    begin = load_network(args.begin_with) if args.begin_with else None
    settings = TrainSettings(
        voxel_nm=sizes.pop(),
        patch=tuple(args.patch),
        widths=tuple(args.widths),
        learning_rate=args.learning_rate,
        long_range=args.long_range,
        steps=args.steps,
        augmentations=tuple(name for name in AUGMENTATIONS if name not in args.without),
        zero_is_border=args.zero_is_border,
        precision={"bfloat16": "mixed_bfloat16"}.get(args.precision, args.precision),
        seed=args.seed,
        severity=args.defects,
        begun_with=begin.sha256 if begin else "",
    )
    sections = args.sections or (0, 2**31)
    _demand_apart("--check", args.check, "learned from", sections)
    learned = [v.sections(*(args.sections or (0, v.raw.shape[0]))) for v in volumes]
    held_out = [v.sections(*args.check) for v in volumes] if args.check else []
    how = {"check_s": args.check_s, "stop_at": args.stop_at, "keep": args.keep}
    how["begin"] = begin.model if begin else None
    train(learned, held_out, args.out, settings, **how)
    say(f"Network: {args.out}")
    return DONE


def _demand_apart(
    option: str, held_out: tuple[int, int] | None, use: str, sections: tuple[int, int]
) -> None:
    """Raise a UserError where sections that are held out are used otherwise, too."""
    if held_out and held_out[0] < sections[1] and sections[0] < held_out[1]:
        raise UserError(
            f"{option} {held_out[0]}:{held_out[1]}: these sections are {use}, too. Give --sections "
            "that leave them out."
        )


def _predict(args: argparse.Namespace) -> int:
    from sebre.neurites.affinity_prediction import load_network
    from sebre.neurites.blockwise import segment_file

    if args.workers is not None and args.scheduler is not None:
        raise UserError("--workers and --scheduler: give one of them.")
    network = load_network(args.weights)
    segments = segment_file(
        args.volume,
        args.out,
        network,
        args.weights,
        _decoding(args, network),
        voxel_nm=args.voxel_nm and tuple(args.voxel_nm),
        block=args.block,
        workers=args.workers,
        scheduler=args.scheduler,
    )
    say(f"{segments.largest} segments: {args.out}")
    return DONE


def _decoding(args: argparse.Namespace, network: Any) -> Any:
    from sebre.neurites.whole_volumes import Decoding

    how = {"min_voxels": args.min_voxels, "flat": args.flat, "make_up": not args.keep_sections}
    return Decoding.of(network, args.method, args.threshold, **how)


def _evaluate(args: argparse.Namespace) -> int:
    from dataclasses import replace

    import numpy as np

    from mrcnn.io.own_files import demand_own
    from sebre.neurites.affinity_prediction import load_network
    from sebre.neurites.scoring.choosing import choose_threshold, evaluation_record, score_volume
    from sebre.neurites.scoring.segment_scores import pieces, score_segments, scored_bodies
    from sebre.neurites.volume_files import demand_like, open_labels, open_volume
    from sebre.neurites.whole_volumes import as_facts

    demand_own([args.out])
    whole = open_volume(args.volume, args.voxel_nm, args.labels)
    if whole.labels is None:
        raise UserError(f"{args.volume}: has no labels to score by. Give --labels.")
    sections = args.sections or (0, whole.raw.shape[0])
    _demand_apart("--choose", args.choose, "scored", sections)
    for chosen in filter(None, (sections, args.choose)):
        whole.demand_sections(*chosen)
    facts: dict[str, Any] = {"volume": args.volume.name, "sections": list(sections)}
    if args.segments is not None:
        found = open_labels(args.segments, whole)
        if tuple(found.shape) != tuple(whole.raw.shape):
            raise UserError(
                f"{args.segments}: the segments are {tuple(found.shape)}, {args.volume} is "
                f"{tuple(whole.raw.shape)}; wanted the same shape, z, y, x in this order."
            )
        found = found[slice(*sections)]
        bodies = scored_bodies(whole.sections(*sections).labels, flat=args.flat)
        scores = score_segments(bodies, pieces(np.asarray(found), args.flat))
    else:
        network = load_network(args.weights)
        demand_like(network.voxel_nm, whole.voxel_nm, args.volume)
        decoding = _decoding(args, network)
        if args.choose:
            threshold, tried = choose_threshold(network, [whole.sections(*args.choose)], decoding)
            decoding = replace(decoding, threshold=threshold)
            facts["chosen_on"] = {"sections": list(args.choose), "vi_by_threshold": tried}
        scores = score_volume(network, whole.sections(*sections), decoding)
        facts |= {"weights_sha256": network.sha256, "decoding": as_facts(decoding)}
    evaluation_record(args.out, args.line, facts, scores)
    say(
        f"VI {scores.vi:.3f} (splits {scores.vi_split:.3f}, mergers {scores.vi_merge:.3f})  "
        f"adapted Rand error {scores.rand_error:.3f}  {scores.segments} segments of "
        f"{scores.bodies} bodies"
    )
    say(f"Results: {args.out}")
    return DONE
