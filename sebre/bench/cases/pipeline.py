"""Sections per second that the input of the training reads, decoded first and then cached."""

from collections.abc import Mapping
from typing import Any

from sebre.bench.enlarged_sections import LargeSections
from sebre.bench.machine import peak_mib
from sebre.bench.ways import configuration
from sebre.bench.worker import Prepared, Task

# Sections read from the cache in a round: many more than threads have ready beforehand.
_CACHED = 96


def prepare(settings: Mapping[str, Any], seed: int) -> Prepared:
    """Write sections, and read them once.

    Args:
        settings: side in px, count, formats; config: settings over SeBRe's.
        seed: which sections.
    """
    config = configuration(settings.get("config", {}), seed)
    side, count, formats = settings["side"], settings["count"], settings["formats"]
    files = LargeSections(side, count, formats, seed)
    facts = {"original_px": [side, side], "sections": count, "workers": config.WORKERS}
    try:
        tasks = [
            Task(
                name,
                lambda name=name: read(_batches(files.dataset(name), config)),
                count,
                {**facts, "format": name, "epoch": "first, decoding"},
            )
            for name in formats
        ]
        for task in tasks:
            task.run()
            task.facts["peak_mib"] = peak_mib()
        cached = _batches(files.dataset(formats[0]), config)
        read(cached)
        epochs = -(-_CACHED // count)
        facts = {**facts, "epoch": "cached"}
        tasks.append(
            Task("cached", lambda: [read(cached) for _ in range(epochs)], epochs * count, facts)
        )
    except BaseException:
        files.close()
        raise
    return Prepared(tasks, close=files.close)


def _batches(dataset: Any, config: Any) -> Any:
    from mrcnn.data.batches import Batches

    return Batches(dataset, config)


def read(batches: Any) -> int:
    """One epoch as Keras reads it; the number of bytes that came."""
    batches.on_epoch_begin()
    size = 0
    for index in range(len(batches)):
        size += sum(array.nbytes for array in batches[index][0])
    batches.on_epoch_end()
    return size
