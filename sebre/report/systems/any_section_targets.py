"""What was asked of the network of any section, and what was measured: a row for each aim."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sebre.report.curves import scores_by_start
from sebre.report.markdown import NONE, Table
from sebre.report.systems.any_section_scores import (
    LYING,
    REGISTERED,
    SAGITTAL,
    by_condition,
    lying,
    mean_of_sources,
    over_copied,
    per_section,
    spreads,
)

MET = "met"
_FEW, _MANY, _SETS = 5, 20, 3  # sections drawn, and data sets
_START, _RANDOM = "any_section", "none"
_NOTES = (
    "Targets are those that were set before. A row on "
    "each source counts how many keep to the target, with the lowest and the highest. The spread "
    "is the highest minus the lowest mean Dice of a source over the conditions of the next table; "
    "prepared data sets were not turned. The real sections are not blind: an earlier network was "
    "scored on them, and its faults were mended. One network, one seed.",
    "Held-out brains: synthetic sections of brains that neither the network of the place nor its "
    "error bars know, half easy, half hard. Fine-tuned: means over seeds, one to three; in every "
    "seed means that the lowest of any_section is above the highest of random weights. From the "
    "volumes of demba and of other animals of mouse_mri, and from the atlas that labels ccf, "
    "any_section had learned before; slicemap and the plates of ara_nissl are new to it.",
)
_SPEED = (
    "Speed: medians of {rounds} rounds, in seconds of the processor, all threads together, and by "
    "the clock; of regions and place, without reading and writing. The load of the machine was "
    "{load} on {processors} processors when it began; other work there makes the clock run longer."
)


@dataclass(frozen=True)
class Target:
    """A limit that something should keep to.

    Attributes:
        name: of what is measured.
        limit: of it.
        unit: behind numbers.
        most: whether it is the highest value that is allowed, and not the lowest.
        digits: behind the point.
    """

    name: str
    limit: float
    unit: str = ""
    most: bool = False
    digits: int = 3

    @property
    def wanted(self) -> str:
        """The limit in words."""
        return f"{self.limit:g}{self.unit} or {'less' if self.most else 'more'}"

    def row(self, found: Mapping[str, float], about: str = "") -> tuple[str, ...]:
        """What was measured, by name, and how much of it misses the target by how much."""
        if not found:
            return self.name, self.wanted, NONE, "not measured"
        sign = 1 if self.most else -1
        missed = {n: over for n, v in found.items() if (over := sign * (v - self.limit)) > 0}
        values = [
            f"{value:.{self.digits}f}" for value in (min(found.values()), max(found.values()))
        ]
        if len(found) == 1:
            measured = values[0] + self.unit
            verdict = "".join(f"missed by {self._by(over)}" for over in missed.values())
        else:
            kept = len(found) - len(missed)
            measured = f"{kept} of {len(found)}: {values[0]} to {values[1]}{self.unit}"
            by = (f"{name} by {self._by(over)}" for name, over in missed.items())
            verdict = f"missed: {', '.join(by)}" if missed else ""
        return self.name, self.wanted, measured + (f" ({about})" if about else ""), verdict or MET

    def _by(self, over: float) -> str:
        return f"{over:.{self.digits}f}{self.unit}"


def targets_table(found: Mapping[str, Any], curves: Mapping[str, Any]) -> Table:
    """Aims and what was measured.

    Args:
        found: of `read_any_section`.
        curves: of `sebre.evaluation.learning_curve`, by name of the data set.
    """
    rows: list[tuple[str, ...]] = []
    notes = _NOTES
    if "any_section" in found:
        rows = [*_dice_rows(found), *_place_rows(found), *_cost_rows(found), tuned_row(curves)]
        notes += _speed_note(found)
    header = ("aim", "target", "measured", "verdict")
    return Table("Any section: aims", header, tuple(rows), notes=notes if rows else ())


def _dice_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    record = found["any_section"]
    counts = record["n_by_source"]
    sources = [name for name in counts if name != SAGITTAL]
    mean = {"mean": mean_of_sources(record["scores"][LYING])}
    about = f"{sum(counts[n] for n in sources)} sections, {len(sources)} sources"
    sagittal = {n: scores[LYING] for n, scores in by_condition(found).items() if n == SAGITTAL}
    others = ", ".join(
        f"{name} {dice:.3f} ({n})"
        for name, (dice, n) in lying(found).items()
        if name in record["prepared"]
    )
    name = "Dice, mean of the sources of zeroshot"
    rows = [
        Target(name, 0.65).row(mean, about),
        Target(f"{name}: hoped for", 0.75).row(mean, about),
        Target(f"Dice on {SAGITTAL}, six regions", 0.7).row(
            sagittal, f"{counts.get(SAGITTAL, 0)} sections"
        ),
        Target("Dice above copied labels, each source", 0.15).row(over_copied(found)),
        Target("Dice turned, mirrored, inverted: spread of each source", 0.05, "", True).row(
            spreads(found)
        ),
    ]
    if others:
        rows.append(("Dice on prepared data sets", "reported", others, MET))
    return rows


def _place_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Errors of the plane and of the position, on brains held out and on real sections."""
    record = found.get("place", {"synthetic": {}, "real": {}})
    rows = []
    targets = (
        Target("median error of the plane's angle, {}", 10, " degrees", True, 1),
        Target("median error of the position, {}", 0.5, " mm", True, 2),
    )
    for target, key in zip(targets, ("angle_deg", "position_mm"), strict=True):
        real = {name: part[key] for name, part in record["real"].items() if key in part}
        made = {name: part[key] for name, part in record["synthetic"].items() if key in part}
        parts = {
            "held-out brains": ({n: p for n, p in made.items() if n == "all"}, "synthetic"),
            "the easy ones of these": ({n: p for n, p in made.items() if n == "recipe easy"}, ""),
            "the hard ones": ({n: p for n, p in made.items() if n == "recipe hard"}, ""),
            "real, registered planes": ({n: p for n, p in real.items() if n == REGISTERED}, ""),
            "each source of real sections": (
                {n: p for n, p in real.items() if n != REGISTERED},
                "",
            ),
        }
        for words, (some, kind) in parts.items():
            one = Target(target.name.format(words), target.limit, target.unit, True, target.digits)
            n = sum(part["n"] for part in some.values())
            about = f"{n} {kind} sections".replace("  ", " ") if some else ""
            rows.append(one.row({name: part["median"] for name, part in some.items()}, about))
    return rows


def _cost_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Size, and speed in seconds of the processor and by the clock."""
    size = Target("size, weights and place", 25, " MB", True, 1)
    clocks = {
        "cpu_s": Target("a section, seconds of the processor", 0.5, " s", True, 2),
        "wall_s": Target("a section, seconds by the clock", 0.5, " s", True, 2),
    }
    making = Target("synthetic sections of {} px, one core", 50, " a second", False, 0)
    if "stream" not in found:
        named = Target(making.name.format(192), making.limit, making.unit)
        return [target.row({}) for target in (size, *clocks.values(), named)]
    record = found["stream"]
    megabytes = sum(record["shipped"]["bytes"].values()) / 1e6
    count = len(record["shipped"]["pictures"])
    rates = {
        name: 1 / per_section(seconds, record["sections_a_round"], "cpu_s")
        for name, seconds in record["stream"].items()
    }
    best = ", ".join(
        f"{name} {record['sections_a_round'] / min(seconds['cpu_s']):.0f}"
        for name, seconds in record["stream"].items()
    )
    named = Target(making.name.format(record["size"]), making.limit, making.unit, digits=0)
    return [
        size.row({"both": megabytes}),
        *(answer.row(*_seconds(record, count, clock)) for clock, answer in clocks.items()),
        named.row(rates, f"best rounds: {best}"),
    ]


def _seconds(record: Mapping[str, Any], count: int, clock: str) -> tuple[dict[str, float], str]:
    """Seconds of a section by a clock, and those of the parts in words."""
    parts = {n: per_section(s, count, clock) for n, s in record["shipped"]["seconds"].items()}
    about = ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())
    return {"both": sum(parts.values())}, about


def _speed_note(found: Mapping[str, Any]) -> tuple[str, ...]:
    if "stream" not in found:
        return ()
    record = found["stream"]
    parts = record["shipped"]["seconds"]
    rounds = len(next(iter(parts.values()))["cpu_s"])
    load = NONE if record["load_average"] is None else f"{record['load_average']:.1f}"
    processors = record["environment"]["cpu_count"]
    return (_SPEED.format(rounds=rounds, load=load, processors=processors),)


def tuned_row(curves: Mapping[str, Any]) -> tuple[str, ...]:
    """Whether 5 sections from any_section beat 20 from random weights, on how many data sets."""
    ahead, every, asked = {}, [], 0
    for name, record in curves.items():
        scores = scores_by_start(record)
        few = scores.get(_START, {}).get(_FEW, [])
        many = scores.get(_RANDOM, {}).get(_MANY, [])
        if not few or not many:
            continue
        asked += 1
        if (more := float(np.mean(few) - np.mean(many))) > 0:
            ahead[name] = more
        if min(few) > max(many):
            every.append(name)
    aim = f"fine-tuned on {_FEW} sections above random weights on {_MANY}"
    wanted = f"{_SETS} data sets or more"
    if not asked:
        return aim, wanted, NONE, "not measured"
    means = ", ".join(f"{name} {more:+.3f}" for name, more in ahead.items())
    measured = f"{len(ahead)} of {asked}" + (f": {means}" if means else "")
    measured += f"; in every seed {', '.join(every) or 'none'}"
    if len(every) >= _SETS:
        return aim, wanted, measured, MET
    if len(ahead) >= _SETS:
        return aim, wanted, measured, f"met by means; in every seed missed by {_SETS - len(every)}"
    return aim, wanted, measured, f"missed by {_SETS - len(ahead)}"
