"""Which networks can be chosen, and what is shown of each before it is used."""

from dataclasses import dataclass
from pathlib import Path

from sebre.experiments import custom
from sebre.networks.network_facts import NetworkFacts, list_networks
from sebre.networks.weights_store import known_networks

DEFAULT = "any_section"  # offered first; also what its kind is called
_FINDS_REGIONS = ("Mask R-CNN", "U-Net")
_STARTS = ("mask_rcnn", DEFAULT)  # kinds that a training can start from


@dataclass(frozen=True)
class NetworkChoice:
    """One network that can be chosen.

    Attributes:
        name: that it is shown by.
        weights: what `sebre.load` takes: a name, a file or the folder of a run.
        kind: of network, see `sebre.networks.weights_store.network_of`.
        lines: what it knows, as (what, value).
        thumbnail: a picture of what it knows, if there is one.
        plane: that it knows, if one is recorded.
    """

    name: str
    weights: str
    kind: str
    lines: tuple[tuple[str, str], ...]
    thumbnail: Path | None = None
    plane: str | None = None


def shipped_choices() -> list[NetworkChoice]:
    """The networks at hand that find regions in sections, that for any section first."""
    found = [_choice(facts) for facts in list_networks() if _finds_regions(facts)]
    return sorted(found, key=lambda choice: choice.name != DEFAULT)


def start_of(choice: NetworkChoice) -> NetworkChoice:
    """The network that a training on corrections starts from: the one that was chosen, or, as
    trainings of networks that label pixels cannot go on from any, that for any section."""
    if choice.kind in _STARTS:
        return choice
    return next(other for other in shipped_choices() if other.name == DEFAULT)


def usual_steps(start: NetworkChoice) -> int:
    """How many steps `sebre train custom --weights START` takes where nothing is said."""
    return custom.SECTION_STEPS if start.kind == DEFAULT else custom.STEPS


def _finds_regions(facts: NetworkFacts) -> bool:
    return bool(facts.regions) and facts.kind in _FINDS_REGIONS


def _choice(facts: NetworkFacts) -> NetworkChoice:
    said = {
        "kind": facts.kind,
        "species": facts.species,
        "plane": facts.plane,
        "stain": facts.stain,
        "age": facts.age,
        "pixel": f"{facts.pixel_um:g} um" if facts.pixel_um else None,
        "regions": ", ".join(facts.regions),
        "score": facts.score.text() if facts.score else None,
        "trust": "knows what to doubt" if facts.trust else "does not know what to doubt",
        "license": facts.licence,
        "fetched": None if facts.here else f"when it is used ({facts.megabytes:g} MB)",
    }
    lines = tuple((what, value) for what, value in said.items() if value)
    kind = known_networks()[facts.name][1].get("network", "mask_rcnn")
    return NetworkChoice(facts.name, facts.name, kind, lines, facts.thumbnail, facts.plane)
