"""How long `MaskRCNN.detect` takes, from the picture to masks at its size."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sebre.bench.enlarged_sections import sections
from sebre.bench.peer import work_of
from sebre.bench.ways import computed, configuration, of_keras
from sebre.bench.worker import Prepared, Task

SIZE = (240, 384)  # px, of a section
CALIBRATION = 16  # pictures that int8 takes its ranges from
_FEWER = ("PRE_NMS_LIMIT", "POST_NMS_ROIS_INFERENCE")  # what makes work of ours less


def prepare(settings: Mapping[str, Any], seed: int) -> Prepared:
    """Build a network with random weights (config) and detect once in sections of each shape in
    px (images), of which one call takes so many (batch). The peer does the same work but for
    changes (peer), if there are any, empty or not."""
    way = settings.get("config", {})
    config = configuration(way, seed)
    from mrcnn.model import MaskRCNN

    shapes = [tuple(shape) for shape in settings.get("images", [SIZE])]
    batch = settings.get("batch", 1)
    tasks = []
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        model = MaskRCNN("inference", config, folder)
        build = time.perf_counter() - start
        typical = sections([SIZE] * CALIBRATION, seed + 1) if way.get("PRECISION") == "int8" else []
        network = computed(model, way, typical)
        for shape in shapes:
            images = sections([shape] * batch, seed)
            start = time.perf_counter()
            results = network.detect(images)
            first = time.perf_counter() - start
            found = [len(result["class_ids"]) for result in results]
            facts = {
                "image_px": list(shape),
                "proposals": config.POST_NMS_ROIS_INFERENCE,
                "batch": batch,
                "detections": found,
                "parameters": model.keras_model.count_params(),
                "build_s": build,
                "first_call_s": first,
            }
            name = "" if shape == shapes[0] else f"{shape[0]}x{shape[1]}"
            task = Task(name, lambda images=images: network.detect(images), batch, facts)
            if "peer" in settings:
                canvas = model.mold_inputs(images[:1])[0].shape[1:3]
                task.peer = _of_peer(way, seed, shape, canvas, settings["peer"])
            tasks.append(task)
    return Prepared(tasks)


def _of_peer(
    way: Mapping[str, Any],
    seed: int,
    image_px: Sequence[int],
    canvas_px: Sequence[int],
    changes: Mapping[str, Any],
) -> dict[str, Any]:
    """The peer's work beside a way to detect: all of it, also where the way leaves some out."""
    whole = {name: value for name, value in of_keras(way).items() if name not in _FEWER}
    precision = "bfloat16" if way.get("PRECISION") == "bfloat16" else "float32"
    changes = {"precision": precision, **changes}
    return work_of(configuration(whole, seed), image_px, canvas_px, **changes)
