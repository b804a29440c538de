"""The regions that weights find, and whether they are those that are looked for.

A weights file says which regions it finds in itself (`mrcnn.weights.read_classes`), in the settings
beside it (CLASS_NAMES) and in its entry of the manifest ("regions"). Files from before they did are
taken at the word of their experiment, or of who gives them, with a warning.
"""

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mrcnn.errors import UserError
from mrcnn.weights.loading import read_classes
from sebre.data.region_names import in_words, order_of
from sebre.experiments import EXPERIMENTS, custom
from sebre.experiments.base import Experiment
from sebre.networks.weights_store import WeightsFile, network_of, stored_settings

logger = logging.getLogger(__name__)


Classes = tuple[Sequence[str] | None, int | None]


def stored_regions(found: WeightsFile, inside: Classes | None = None) -> Classes:
    """Names of the regions of a weights file, in the order of its class ids, and their number.

    Either is None if nothing says it. `inside` is what `mrcnn.weights.read_classes` would give of a
    file that is no HDF5 file.

    Raises:
        UserError: the places that name them differ.
    """
    settings = stored_settings(found)
    names, count = inside or _inside(found)
    named = {
        "the file itself": names,
        f"{found.config}": settings.get("CLASS_NAMES"),
        "the manifest": found.entry.get("regions"),
    }
    named = {place: list(names) for place, names in named.items() if names}
    places = list(named)
    for place in places[1:]:
        if named[place] != named[places[0]]:
            raise UserError(
                f"{found.path}: the regions are {in_words(named[places[0]])} by {places[0]}, but "
                f"{in_words(named[place])} by {place}. One of them belongs to other weights; "
                "restore the files of one training."
            )
    if places:
        return named[places[0]], len(named[places[0]])
    if count is None and "NUM_CLASSES" in settings:
        count = int(settings["NUM_CLASSES"]) - 1
    known = EXPERIMENTS.get(found.entry.get("experiment") or settings.get("NAME"))
    if known is None or count not in (None, len(known.regions)):
        return None, count
    _assume(found, f"{known.name}, which it was trained for", known.regions.names)
    return known.regions.names, len(known.regions)


def _inside(found: WeightsFile) -> Classes:
    """What a weights file itself says; one of nnU-Net leaves it to its settings."""
    return (None, None) if network_of(found) == "nnunet" else read_classes(found.path)


def class_order(
    found: WeightsFile, experiment: Experiment, inside: Classes | None = None
) -> list[int] | None:
    """For every class id of an experiment, from the background on, that of a weights file; None
    if they are the same.

    `inside` as of `stored_regions`.

    Raises:
        UserError: the weights find other regions.
    """
    wanted = experiment.regions.names
    names, count = stored_regions(found, inside)
    if names is None and count in (None, len(wanted)):
        _assume(found, experiment.name, wanted)
        return None
    order = None if names is None else order_of(names, wanted)
    if order is None:
        finds = f"{count} regions" if names is None else f"the regions {in_words(names)}"
        fitting = " or ".join(known.name for known in _experiments_for(names))
        raise UserError(
            f"{found.path}: these weights find {finds}; {experiment.name} looks for "
            f"{len(wanted)}: {in_words(wanted)}. Give other weights, or the experiment that these "
            f"were trained for{f' ({fitting})' if fitting else ''}."
        )
    if order == sorted(order):
        return None
    logger.info(
        "%s: finds the regions in another order (%s); its class ids are changed to those of %s.",
        found.path,
        in_words(names),
        experiment.name,
    )
    return order


def experiment_of(
    found: WeightsFile,
    inside: Classes | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Experiment | None:
    """The experiment that weights belong to: by the manifest, their settings, or their regions.

    Of regions that no experiment looks for, and of those of a `custom` training, it is made. None
    if nothing says which they are; `inside` as of `stored_regions`, `settings` are those inside an
    exported file.
    """
    names, _ = stored_regions(found, inside)
    settings = stored_settings(found) if settings is None else settings
    name = found.entry.get("experiment") or settings.get("NAME")
    stated, fitting = EXPERIMENTS.get(name), _experiments_for(names)
    if stated is not None and (names is None or stated in fitting):
        return stated
    if names is None:
        return None
    own = name == custom.NAME or not fitting
    return custom.experiment_of_settings(names, settings) if own else fitting[0]


def _assume(found: WeightsFile, whose: str, names: Sequence[str]) -> None:
    warn_once(
        f"{found.path}: does not say which regions it finds; taken to be those of {whose}: "
        f"{in_words(names)}."
    )


@functools.cache  # a command looks at its weights more than once
def warn_once(text: str) -> None:
    """Log a warning, once a process."""
    logger.warning(text)


def _experiments_for(names: Sequence[str] | None) -> list[Experiment]:
    """Those that look for the regions of these names, in whatever order."""
    every = EXPERIMENTS.values() if names else ()
    return [e for e in every if order_of(names, e.regions.names) is not None]
