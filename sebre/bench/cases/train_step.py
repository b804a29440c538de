"""How long one optimizer step takes, with one batch repeated."""

import math
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from sebre.bench.enlarged_sections import slicemap
from sebre.bench.peer import work_of
from sebre.bench.ways import configuration
from sebre.bench.worker import Prepared, Task


def prepare(settings: Mapping[str, Any], seed: int) -> Prepared:
    """Build a network (config) in training mode, all layers trainable, and take a step. The peer
    does the same work but for changes (peer), if there are any, empty or not."""
    config = configuration(settings.get("config", {}), seed)
    from mrcnn.data.batches import Batches
    from mrcnn.model import MaskRCNN

    (batch,) = Batches(slicemap(), config)[0]
    with tempfile.TemporaryDirectory() as folder:
        model = MaskRCNN("training", config, folder)
        model.set_trainable(".*", verbose=0)
        # No learning: what a step costs does not depend on it, and random weights stay finite.
        model.compile(0.0, config.LEARNING_MOMENTUM)
        start = time.perf_counter()
        loss = float(model.keras_model.train_on_batch(batch, return_dict=True)["loss"])
        facts = {
            "batch": config.BATCH_SIZE,
            "image_px": config.IMAGE_SHAPE[:2].tolist(),
            "rois": config.TRAIN_ROIS_PER_IMAGE,
            "trainable_parameters": sum(
                math.prod(v.shape) for v in model.keras_model.trainable_variables
            ),
            "loss": loss,
            "first_call_s": time.perf_counter() - start,
        }
    task = Task("", lambda: model.keras_model.train_on_batch(batch), 1, facts)
    if "peer" in settings:
        side = facts["image_px"]
        task.peer = work_of(config, side, side, training=True, **settings["peer"])
    return Prepared([task])
