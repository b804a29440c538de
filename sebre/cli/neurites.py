"""The commands `sebre neurites train | predict | evaluate`.

Called by `sebre.cli.parser`, which gives the options, and by `sebre.cli.commands`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mrcnn.errors import UserError
from sebre.program import DONE, say

# Of `sebre.neurites.patches`, which is heavy to import.
AUGMENTATIONS = (
    *("flip", "transpose", "rotate", "elastic", "intensity"),
    *("blur", "darken", "missing", "shift", "noise"),
)


def add_neurites(
    sub: argparse.ArgumentParser, adder: Callable[..., Callable[..., None]], shared: dict[str, Any]
) -> None:
    """Give the command `neurites` its own commands.

    Args:
        sub: its parser.
        adder: makes what adds options with their help (`sebre.cli.parser`).
        shared: kinds of options that several commands have.
    """
    actions = sub.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> Callable[..., None]:
        parser = actions.add_parser(name, help=text, description=text)
        return adder(parser, command=f"neurites {name}")

    _add_train(action("train", "train a network of affinities"), shared)


def run_neurites(args: argparse.Namespace) -> int:
    """Carry out one of the commands; returns the exit code."""
    return {"train": _train}[args.action](args)


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
    add("--long-range", default=6, **shared["count"])
    add("--without", nargs="+", default=(), choices=AUGMENTATIONS, metavar="NAME")
    add("--zero-is-border", action="store_true")
    add("--precision", choices=("float32", "bfloat16"), default="float32")
    add("--check-s", type=float, default=240.0, metavar="S")
    add("--seed", default=0, **shared["count"])


def _range(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIRST:LAST, as in 0:150")
    return int(first), int(last)


def _train(args: argparse.Namespace) -> int:
    from sebre.neurites.neurite_training import TrainSettings, train
    from sebre.neurites.volume_files import read_npz

    volumes = [read_npz(path) for path in args.volumes]
    for path, volume in zip(args.volumes, volumes, strict=True):
        if volume.labels is None:
            raise UserError(f"{path}: has no labels to learn from.")
    sizes = {tuple(args.voxel_nm)} if args.voxel_nm else {v.voxel_nm for v in volumes}
    if len(sizes) > 1 or None in sizes:
        raise UserError(
            f"The voxel sizes of {', '.join(map(str, args.volumes))} are {sizes}; wanted one and "
            "the same. Give --voxel-nm."
        )
    settings = TrainSettings(
        voxel_nm=sizes.pop(),
        patch=tuple(args.patch),
        long_range=args.long_range,
        steps=args.steps,
        augmentations=tuple(name for name in AUGMENTATIONS if name not in args.without),
        zero_is_border=args.zero_is_border,
        precision={"bfloat16": "mixed_bfloat16"}.get(args.precision, args.precision),
        seed=args.seed,
    )
    learned = [v.sections(*args.sections) if args.sections else v for v in volumes]
    held_out = [v.sections(*args.check) for v in volumes] if args.check else []
    how = {"check_s": args.check_s, "stop_at": args.stop_at, "keep": args.keep}
    train(learned, held_out, args.out, settings, **how)
    say(f"Network: {args.out}")
    return DONE
