"""Whether the input keeps up: steps with real data against steps with one batch repeated."""

import tempfile
from collections.abc import Mapping
from typing import Any

from sebre.bench.enlarged_sections import LargeSections
from sebre.bench.machine import peak_mib
from sebre.bench.ways import configuration
from sebre.bench.worker import Prepared, Task


def prepare(settings: Mapping[str, Any], seed: int) -> Prepared:
    """Build a network in training mode; train on files, and on one batch of them.

    The reference is training on the one batch. With R in between, threads would get ahead while
    it runs, and hide that they are too slow.

    Args:
        settings: side in px and format of the originals; count: of sections, which is steps
            too; config: settings over SeBRe's.
        seed: of weights, and which sections.
    """
    config = configuration(settings.get("config", {}), seed)
    from mrcnn.data.batches import Batches
    from mrcnn.model import MaskRCNN
    from mrcnn.training.fitting import fit

    side, count, name = settings["side"], settings["count"], settings["format"]
    files = LargeSections(side, count, [name], seed)
    try:
        dataset = files.dataset(name)
        cached = Batches(dataset, config)
        with tempfile.TemporaryDirectory() as folder:
            model = MaskRCNN("training", config, folder)
        model.set_trainable(".*", verbose=0)
        # No learning: what a step costs does not depend on it, and random weights stay finite.
        model.compile(0.0, config.LEARNING_MOMENTUM)
        repeated = repeat(cached[0], dataset, config)

        def epoch(batches: Any) -> None:
            fit(model.keras_model, batches, epochs=1, verbose=0)

        epoch(repeated)
        epoch(cached)
        facts = {"original_px": [side, side], "steps": len(cached), "format": name}
        tasks = [
            Task("cached", lambda: epoch(cached), 1, {**facts, "epoch": "cached"}),
            Task(
                "decoding",
                lambda: epoch(Batches(dataset, config)),
                1,
                {**facts, "epoch": "first, decoding"},
            ),
        ]
        for task in tasks:
            task.run()
            task.facts["peak_mib"] = peak_mib()
    except BaseException:
        files.close()
        raise
    return Prepared(tasks, lambda: epoch(repeated), close=files.close)


def repeat(batch: Any, dataset: Any, config: Any) -> Any:
    """One batch in the place of every batch of a data set."""
    from mrcnn.data.batches import Batches

    class Repeated(Batches):
        def read(self, epoch: int, index: int) -> Any:
            return batch

    return Repeated(dataset, config)
