"""Regions of a source as those of another region set: renamed, joined, left out.

`sebre prepare --map cerebellum=hindbrain,brainstem=hindbrain --regions-of p14_mouse` makes of any
source a data set that this experiment takes, whose ids are those of the experiment.
"""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mrcnn.errors import UserError
from sebre.data.listing import some
from sebre.data.region_names import alike, are_same, in_words, same_names
from sebre.data.regions import Region, RegionSet, safe_name
from sebre.prepare.raw import RawSet

LEFT_OUT = "none"

_log = logging.getLogger(__name__)

_Read = Callable[[], tuple[np.ndarray, dict[int, np.ndarray]]]


def map_regions(
    raw_set: RawSet, given: Mapping[str, str], wanted: RegionSet | None = None
) -> RawSet:
    """A source with the regions of another set.

    A region keeps its name unless the map gives it another one; several of one name become one
    region, which is where any of them is.

    Args:
        raw_set: the source.
        given: new names of its regions by their names; "none" leaves one out.
        wanted: the regions that the names must be among; None makes a set of all new names, in the
            order of the source.

    Returns:
        The source with the new regions, and with `region_map`: the new name of each of its own. It
        is unchanged where nothing changes.

    Raises:
        UserError: a name that there is not.
    """
    names = raw_set.regions.names
    known = same_names(map(safe_name, given), names)
    new = {name: name for name in names}
    for name, target in given.items():
        source = known.get(safe_name(name))
        if source is None:
            raise UserError(
                f"--map {name}={target}: {raw_set.name} has no region {name!r}; it has "
                f"{', '.join(raw_set.regions.names)}."
            )
        new[source] = LEFT_OUT if target.lower() == LEFT_OUT else safe_name(target)
    kept, typed = (
        {name for name in new.values() if name != LEFT_OUT and (name in names) == of_source}
        for of_source in (True, False)
    )
    spelled = same_names(typed, kept)
    new = {name: spelled.get(target, target) for name, target in new.items()}
    if twice := [name for name in alike(new.values()) if name in typed]:
        _log.warning(
            "--map: %s: names that only spelling tells apart are regions each.", some(twice)
        )
    if wanted is None:
        wanted = _of_names(raw_set.regions, new)
    else:
        new = _among(raw_set, new, wanted)
    if not given and are_same(names, wanted.names):
        return raw_set
    targets = {region.name: region.id for region in wanted}
    ids = {region.id: targets.get(new[region.name]) for region in raw_set.regions}
    sections = [
        replace(section, read=functools.partial(_read, section.read, ids))
        for section in raw_set.sections
    ]
    return replace(raw_set, regions=wanted, sections=sections, region_map=new)


def _of_names(regions: RegionSet, new: Mapping[str, str]) -> RegionSet:
    """The regions that a map makes of a set, each with the color of the first that becomes it."""
    first: dict[str, Region] = {}
    for region in regions:
        if new[region.name] != LEFT_OUT:
            first.setdefault(new[region.name], region)
    if not first:
        raise UserError("--map leaves out every region. Keep one.")
    return RegionSet(
        regions.name,
        tuple(
            Region(number, name, region.acronym if name == region.name else name, region.color)
            for number, (name, region) in enumerate(first.items(), start=1)
        ),
    )


def _among(raw_set: RawSet, new: Mapping[str, str], wanted: RegionSet) -> dict[str, str]:
    """A map whose names are spelled as those of a region set; refused if one is not in it."""
    spelled = {**same_names(new.values(), wanted.names), LEFT_OUT: LEFT_OUT}
    lost = [name for name, target in new.items() if target not in spelled]
    if lost:
        shown = ", ".join(name if new[name] == name else f"{name} ({new[name]})" for name in lost)
        raise UserError(
            f"{raw_set.name} has the regions {in_words(raw_set.regions.names)}; those of "
            f"{wanted.name} are {in_words(wanted.names)}, and {shown} is not among them. Say what "
            f"becomes of each: --map {lost[0]}=NAME, or {lost[0]}={LEFT_OUT} to leave it out."
        )
    return {name: spelled[target] for name, target in new.items()}


def _read(read: _Read, ids: Mapping[int, int | None]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """A section with the masks of the new regions by their ids."""
    image, masks = read()
    joined: dict[int, np.ndarray] = {}
    for class_id, mask in masks.items():
        if (target := ids[class_id]) is not None:
            joined[target] = joined[target] | mask if target in joined else mask
    return image, dict(sorted(joined.items()))


def in_lines(region_map: Mapping[str, str]) -> str:
    """A map in Markdown, for the card of a data set; empty without one."""
    sources: dict[str, Sequence[str]] = {}
    for name, target in region_map.items():
        sources[target] = (*sources.get(target, ()), name)
    parts = [f"{' + '.join(names)} -> {target}" for target, names in sources.items()]
    return f"- **Regions of the source**: {'; '.join(parts)}.\n" if parts else ""
