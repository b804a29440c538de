"""Sections per second that the input of the training reads, decoded first and then cached."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from sebre.bench.enlarged_sections import large_sections
from sebre.bench.ways import configuration
from sebre.bench.worker import Prepared, Task

# Sections read from the cache in a round: many more than threads have ready beforehand.
_CACHED = 96


def prepare(settings: Mapping[str, Any], seed: int) -> Prepared:
    """Write sections (side in px, count, formats), and read them once as config says."""
    from mrcnn.data.batches import Batches

    config = configuration(settings.get("config", {}), seed)
    side, count, formats = settings["side"], settings["count"], settings["formats"]
    facts = {"original_px": [side, side], "sections": count, "workers": config.WORKERS}
    with ExitStack() as stack:
        dataset = stack.enter_context(large_sections(side, count, formats, seed))
        tasks = [
            Task(
                name,
                lambda name=name: read(Batches(dataset(name), config)),
                count,
                {**facts, "format": name, "epoch": "first, decoding"},
            )
            for name in formats
        ]
        cached = Batches(dataset(formats[0]), config)
        read(cached)
        epochs = -(-_CACHED // count)
        facts = {**facts, "epoch": "cached"}
        tasks.append(
            Task("cached", lambda: [read(cached) for _ in range(epochs)], epochs * count, facts)
        )
        return Prepared(tasks, close=stack.pop_all().close)


def read(batches: Any) -> int:
    """One epoch as Keras reads it; the number of bytes that came."""
    batches.on_epoch_begin()
    size = sum(array.nbytes for index in range(len(batches)) for array in batches[index][0])
    batches.on_epoch_end()
    return size
