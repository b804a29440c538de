"""What a way of computing changes in the scores of a shipped network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sebre.bench.enlarged_sections import DATASETS
from sebre.bench.measurements import FAILED, NOT_AVAILABLE
from sebre.bench.ways import computed, configuration, kind_of, of_keras
from sebre.bench.worker import NotAvailable, Prepared

# Of `sebre.evaluation.evaluate`: the mean over sections of the AP of a section, and the mean
# over regions of Dice.
SCORES = {"map": "map_paper", "dice": "dice_mean"}


def prepare(settings: Mapping[str, Any], seed: int) -> Prepared:
    """Evaluate a network (weights) in float32, then in each way (settings by name in ways).

    The ratio of a way is the larger change of the two scores. Sections are those of a prepared
    data set (dataset, a folder in datasets), so many (limit) spread evenly, or all.
    """
    from sebre.data.dataset import SectionDataset
    from sebre.networks.exports import calibration_images
    from sebre.networks.segmenter import find_network

    _, experiment, _ = find_network(settings["weights"])
    places = [Path(place) / settings["dataset"] for place in (settings["datasets"], DATASETS)]
    root = next((place for place in places if place.is_dir()), None)
    if root is None:
        raise NotAvailable(
            f"the data set {settings['dataset']} is not there: make it with `sebre prepare`, and "
            "give the folder that it lies in with --datasets DIR."
        )
    regions = experiment.regions
    numbers = [i["number"] for i in SectionDataset(regions).load(root, "val").image_info]
    numbers = numbers[:: -(-len(numbers) // settings.get("limit", len(numbers)))]
    dataset = SectionDataset(regions).load(root, "val", numbers)
    dataset.prepare()
    typical = calibration_images(experiment, root)  # as `sebre export` takes them

    before, kind = _scores(settings["weights"], dataset, {}, typical)
    entries = []
    for name, changes in settings["ways"].items():
        entry = {"name": name, "sections": len(numbers), "network": kind}
        try:
            configuration(changes)
            after, _ = _scores(settings["weights"], dataset, changes, typical)
        except NotAvailable as error:
            entry |= {"status": NOT_AVAILABLE, "reason": str(error)}
        except Exception as error:
            entry |= {"status": FAILED, "reason": f"{type(error).__name__}: {error}"}
        else:
            change = max(abs(after[key] - before[key]) for key in SCORES)
            entry |= {"ratio": change, "q1": change, "q3": change, "n": 1, **after}
            entry |= {f"{key}_before": value for key, value in before.items()}
        entries.append(entry)
    return Prepared(entries=entries)


def _scores(
    weights: str, dataset: Any, changes: Mapping[str, Any], typical: Sequence[np.ndarray]
) -> tuple[dict[str, float], str]:
    """The scores of a network, computed in a way, and its kind."""
    from sebre.evaluation.evaluate import iterate_sections
    from sebre.evaluation.summary import summarize
    from sebre.networks.segmenter import load_segmenter

    # A run keeps the precision that it was trained in.
    segmenter = load_segmenter(weights, **{"PRECISION": "float32", **of_keras(changes)})
    kind = kind_of(segmenter.model.config)
    segmenter.model = computed(segmenter.model, changes, typical)
    summary = summarize(iterate_sections(segmenter, dataset), segmenter.regions)
    return {key: getattr(summary, name) for key, name in SCORES.items()}, kind
