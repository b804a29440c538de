"""What is known of the networks at hand: `sebre models` shows it.

The facts are those of the manifests (`sebre.networks.weights_store`), which `sebre publish` takes
from the data set that a network was trained on. What nobody recorded is None.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mrcnn.errors import MissingFileError
from sebre.data.csv_tables import read_rows
from sebre.data.metadata import read_facts
from sebre.networks.weights_store import is_here, known_networks, stores

KINDS = {
    "mask_rcnn": "Mask R-CNN",
    "unet": "U-Net",
    "any_section": "U-Net",
    "fcnn": "F-CNN",
    "brainsegnet": "BrainSegNet",
    "quicknat": "QuickNAT",
    "nnunet": "nnU-Net",
    "neurites": "3-D U-Net",
    "backbone": "backbone",
}


@dataclass(frozen=True)
class StoredScore:
    """The score of a network on the test part of its data set, as it was measured."""

    dice: float  # mean over regions of the mean over sections; a region missed counts 0
    min_confidence: float | None  # best detection of each region from this score on
    dataset: str  # what was scored, in words
    n_sections: int
    unit: str | None = None  # what intervals vary over: "subject", "section"
    n_units: int | None = None
    interval: tuple[float, float] | None = None  # 95 %, of the Dice

    def text(self) -> str:
        """In one line, with all that it holds for."""
        cut = "" if self.min_confidence is None else f" from a score of {self.min_confidence:g} on"
        of = f", {self.n_units} {self.unit}s" if self.unit == "subject" and self.n_units else ""
        spread = "({:.2f}-{:.2f}) ".format(*self.interval) if self.interval else ""
        return (
            f"Dice {self.dice:.3f} {spread}on {self.dataset}: {self.n_sections} sections{of}{cut}"
        )


@dataclass(frozen=True)
class NetworkFacts:
    """One network that has a name."""

    name: str
    kind: str  # "Mask R-CNN", "U-Net"
    experiment: str | None
    regions: tuple[str, ...]
    species: str | None
    plane: str | None
    stain: str | None
    age: str | None
    pixel_um: float | None  # of the training pictures
    input_px: int | None  # side of the square that a picture is fitted to
    score: StoredScore | None
    licence: str | None
    dataset: str | None  # that it was trained on
    trust: bool  # whether it knows which inputs and results to doubt
    here: bool  # False: it will be fetched when it is asked for
    megabytes: float
    thumbnail: Path | None  # a picture of what it knows
    card: Path | None  # what else is to be known of it

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        facts = asdict(self) | {"regions": list(self.regions)}
        for key in ("thumbnail", "card"):
            facts[key] = None if facts[key] is None else str(facts[key])
        return facts


def list_networks() -> list[NetworkFacts]:
    """All networks at hand, in the order of `stores` and of their manifests."""
    return [_facts(name, *found) for name, found in known_networks().items()]


def network_facts(name: str) -> NetworkFacts:
    """One of them.

    Raises:
        MissingFileError: no manifest has the name.
    """
    known = known_networks()
    if name not in known:
        searched = " or ".join(str(store / "manifest.json") for store in stores())
        raise MissingFileError(
            f"{name}: not a name in {searched}. `sebre models` lists the names: "
            f"{', '.join(known) or 'none'}."
        )
    return _facts(name, *known[name])


def facts_of_data(root: str | Path) -> dict[str, Any]:
    """What a manifest says of the pictures that a network was trained on, from a prepared data set:
    `species`, `plane`, `stain`, `age` and `pixel_um`; None where the data set does not say.

    dataset.json has them (`plane`, `pixel_size_um`, and, where somebody wrote them, `species`,
    `stain`, `age`); else stain and age are those of the training sections in sections.csv.
    """
    record = read_facts(root).record
    path = Path(root) / "sections.csv"
    rows = read_rows(path)[1] if path.is_file() else []
    rows = [row for row in rows if row.get("subset") == "train"]
    pixel = record.get("pixel_size_um")
    return {
        "species": record.get("species"),
        "plane": record.get("plane"),
        "stain": record.get("stain") or _values(rows, "marker"),
        "age": record.get("age") or _span(rows),
        "pixel_um": pixel if isinstance(pixel, int | float) else None,
    }


def _values(rows: list[dict[str, str]], column: str) -> str | None:
    found = dict.fromkeys(row[column] for row in rows if row.get(column))
    return ", ".join(found) or None


def _span(rows: list[dict[str, str]]) -> str | None:
    """Ages as a span, "P4-P56" or "19-34", and what has no number after it."""
    ages = dict.fromkeys(row["age"] for row in rows if row.get("age"))
    numbered = [(int(m[2]), age) for age in ages if (m := re.fullmatch(r"(P?)(\d+)", age))]
    spans = []
    if numbered:
        low, high = min(numbered)[1], max(numbered)[1]
        spans = [low if low == high else f"{low}-{high}"]
    words = [age for age in ages if age not in {name for _, name in numbered}]
    return ", ".join([*spans, *words]) or None


def _facts(name: str, store: Path, entry: Mapping[str, Any]) -> NetworkFacts:
    settings = _settings(store, entry)
    kind = entry.get("network") or ("unet" if "UNET_WIDTH" in settings else "mask_rcnn")
    return NetworkFacts(
        name=name,
        kind=KINDS.get(kind, kind),
        regions=tuple(entry.get("regions", ())),
        input_px=settings.get("IMAGE_MAX_DIM"),
        score=_score(entry, settings),
        trust="trust" in entry,
        here=is_here(store, entry),
        megabytes=round(entry.get("bytes", 0) / 1e6, 1),
        thumbnail=_beside(store, entry.get("thumbnail")),
        card=_beside(store, f"{name}.md"),
        **{
            key: entry.get(key)
            for key in (
                *("experiment", "species", "plane", "stain", "age", "pixel_um"),
                *("licence", "dataset"),
            )
        },
    )


def _settings(store: Path, entry: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(json.loads((store / entry["config"]).read_text(encoding="utf-8")))
    except (KeyError, OSError, ValueError, TypeError):
        return {}  # a list is no place to complain of one network


def _score(entry: Mapping[str, Any], settings: Mapping[str, Any]) -> StoredScore | None:
    scores = entry.get("scores") or {}
    if scores.get("dice_mean") is None:
        return None
    interval = scores.get("dice_interval")
    cut = scores.get("min_confidence", settings.get("DETECTION_MIN_CONFIDENCE"))
    return StoredScore(
        dice=scores["dice_mean"],
        min_confidence=cut if entry.get("network", "mask_rcnn") == "mask_rcnn" else None,
        dataset=scores.get("dataset") or f"the test part of {entry.get('dataset', '?')}",
        n_sections=scores.get("n_sections", 0),
        unit=scores.get("unit"),
        n_units=scores.get("n_units"),
        interval=None if interval is None else (interval[0], interval[1]),
    )


def _beside(store: Path, file: str | None) -> Path | None:
    return store / file if file and (store / file).is_file() else None
