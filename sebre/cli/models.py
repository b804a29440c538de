"""`sebre models`: the networks at hand, which of them fits a picture, and when to doubt one."""

import argparse
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mrcnn.errors import UserError
from sebre.networks.network_facts import NetworkFacts, list_networks, network_facts
from sebre.program import DONE, SOME_FAILED, complain, say

_COLUMNS = ("name", "kind", "plane", "stain", "age", "um/px", "Dice", "sections", "regions")
_NONE = "-"
_WIDTH = 100


def models(args: argparse.Namespace) -> int:
    """Carry out `sebre models`; returns the exit code."""
    verb, *rest = args.words or [""]
    if verb == "suggest":
        return _suggest([Path(word) for word in rest], args.json)
    if rest:
        raise UserError(
            f"{' '.join(args.words)}: wanted one name, or suggest IMAGE, or calibrate. `sebre "
            "models` alone lists the names."
        )
    if verb == "calibrate":
        return _calibrate(args)
    if args.weights or args.dataset or args.out:
        raise UserError("--weights, --dataset and --out belong to `sebre models calibrate`.")
    if verb:
        _show(network_facts(verb), args.json)
    else:
        _list(list_networks(), args.json)
    return DONE


# --- What is at hand ---------------------------------------------------------------------


def _list(networks: Sequence[NetworkFacts], as_json: bool) -> None:
    if as_json:
        say(json.dumps([network.to_json() for network in networks], indent=1))
        return
    rows = [_COLUMNS, *(_row(network) for network in networks)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS) - 1)]
    for row in rows:
        say("  ".join(cell.ljust(w) for cell, w in zip(row, [*widths, 0], strict=True)).rstrip())
    say()
    for line in (
        "Dice: mean over regions on the test part of the network's own data set, of the best "
        "detection of each region from a score of 0.3 on (U-Net: of the label of each pixel); in "
        "the next column how many sections.",
        "One network: sebre models NAME. Which one fits: sebre models suggest IMAGE.",
    ):
        say(textwrap.fill(line, _WIDTH))


def _row(network: NetworkFacts) -> tuple[str, ...]:
    score = network.score
    cells = [network.name + ("" if network.here else " (to be fetched)"), network.kind]
    cells += [network.plane, network.stain, network.age]
    cells.append(f"{network.pixel_um:g}" if network.pixel_um else None)
    cells += [f"{score.dice:.3f}", str(score.n_sections)] if score else [None, None]
    cells.append(" ".join(network.regions))
    return tuple(cell or _NONE for cell in cells)


def _show(network: NetworkFacts, as_json: bool) -> None:
    if as_json:
        say(json.dumps(network.to_json(), indent=1))
        return
    px = f"{network.pixel_um:g} um" if network.pixel_um else "not known"
    facts: dict[str, Any] = {
        "kind": network.kind,
        "regions": ", ".join(network.regions),
        "species": network.species,
        "plane": network.plane,
        "stain": network.stain,
        "age": network.age,
        "pixel": f"{px} in the training pictures; fitted to {network.input_px} px",
        "score": network.score.text() if network.score else None,
        "trained on": network.dataset,
        "license": network.licence,
        "doubt": "says what not to trust" if network.trust else "no trust file: says nothing",
        "file": f"{network.megabytes:g} MB" + ("" if network.here else ", fetched when asked for"),
        "picture": network.thumbnail,
        "card": network.card,
    }
    say(network.name)
    for key, value in facts.items():
        text = str(_NONE if value is None else value)
        wrapped = textwrap.wrap(text, _WIDTH - 14, break_long_words=False, break_on_hyphens=False)
        say(f"  {key:11} " + f"\n{'':14}".join(wrapped))


# --- Which one fits ----------------------------------------------------------------------


def _suggest(images: Sequence[Path], as_json: bool) -> int:
    from sebre.trust.suggesting import suggest

    if not images:
        raise UserError("Which pictures? Give them: sebre models suggest IMAGE [IMAGE ...].")
    found = suggest(images)
    if as_json:
        say(json.dumps(found.to_json(), indent=1))
    else:
        say(f"{'network':24} {'distance':>8}  {'knows':>12}  what it was trained on")
        for fit in found.fits:
            facts = network_facts(fit.name)
            known = [facts.species, facts.plane, facts.stain, facts.age]
            say(
                f"{fit.name:24} {fit.distance:8.2f}  {f'{fit.n_known} of {found.n_pictures}':>12}  "
                + ", ".join(filter(None, known))
            )
        say()
        for text in found.places:
            say(textwrap.fill(f"If it is a mouse brain: {text}.", _WIDTH))
        say(textwrap.fill(found.verdict(), _WIDTH))
        for name in found.untold:
            say(f"{name}: has no trust file, so how far the pictures are from it is not known.")
    for message in found.failed:
        complain(f"sebre models: {message}")
    return SOME_FAILED if found.failed else DONE


# --- When to doubt it --------------------------------------------------------------------


def _calibrate(args: argparse.Namespace) -> int:
    from sebre.cli.calibrate import Calibration, calibrate_weights

    if args.weights is None or args.dataset is None:
        raise UserError(
            "calibrate: give --weights, and --dataset, the prepared folder that they were trained "
            "on."
        )
    names = ("weights", "dataset", "out", "seed", "sections", "others", "results")
    asked = {name: getattr(args, name) for name in names}
    path, lines = calibrate_weights(Calibration(**asked, command=args.line))
    for line in lines:
        say(line)
    say(f"Trust file: {path}")
    return DONE
