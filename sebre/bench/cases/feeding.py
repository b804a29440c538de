"""Whether the input keeps up: steps with real data against steps with one batch repeated."""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from sebre.bench.enlarged_sections import large_sections
from sebre.bench.ways import configuration
from sebre.bench.worker import Prepared, Task


def prepare(settings: Mapping[str, Any], seed: int) -> Prepared:
    """Train a network (config) on files (side in px, count, format) and on one batch of them.

    The reference is training on the one batch. With R in between, threads would get ahead while
    it runs, and hide that they are too slow.
    """
    config = configuration(settings.get("config", {}), seed)
    from mrcnn.data.batches import Batches
    from mrcnn.model import MaskRCNN
    from mrcnn.training.fitting import fit

    side, count, name = settings["side"], settings["count"], settings["format"]
    with ExitStack() as stack:
        dataset = stack.enter_context(large_sections(side, count, [name], seed))(name)
        cached = Batches(dataset, config)
        with tempfile.TemporaryDirectory() as folder:
            model = MaskRCNN("training", config, folder)
        model.set_trainable(".*", verbose=0)
        # No learning: what a step costs does not depend on it, and random weights stay finite.
        model.compile(0.0, config.LEARNING_MOMENTUM)
        batch = cached[0]

        class Repeated(Batches):
            def read(self, epoch: int, index: int) -> Any:
                return batch

        repeated = Repeated(dataset, config)

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
        return Prepared(tasks, lambda: epoch(repeated), close=stack.pop_all().close)
