"""What one Keras backend computes, to be compared with what the others do.

KERAS_BACKEND=... python backend_probe.py FOLDER

The TensorFlow run comes first: it writes FOLDER/weights.h5, which all load. Each writes
FOLDER/<backend>.npz and the stages FOLDER/<backend>_<ROI alignment>.npz.
"""

import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "helpers"))
if os.environ.get("KERAS_BACKEND") in ("jax", "torch"):
    sys.modules["tensorflow"] = None  # importing it fails: the others must do without

import keras  # noqa: E402
import numpy as np  # noqa: E402
from phantoms import PhantomConfig, Phantoms  # noqa: E402

from mrcnn.model import MaskRCNN  # noqa: E402
from mrcnn.modeling import kernels as ops  # noqa: E402
from mrcnn.modeling.network import LOSS_NAMES  # noqa: E402

SIDE = 128
# Standard deviations of the output layers: scores lie far apart, and none is exactly 1.
SPREAD = {
    "rpn_class_raw": 0.01,
    "rpn_bbox_pred": 0.003,
    "mrcnn_class_logits": 0.01,
    "mrcnn_bbox_fc": 0.003,
    "mrcnn_mask": 0.01,
}
CROP_SIZES = ((7, 7), (14, 3), (1, 5))
NMS_CASES = [(limit, grouped) for limit in (20, 300, 700) for grouped in (False, True)]
NMS_THRESHOLD = 0.5


class ProbeConfig(PhantomConfig):
    """Training takes all of its few candidates, so that no chance is left."""

    IMAGES_PER_GPU = 1
    STEPS_PER_EPOCH = 3
    IMAGE_MIN_DIM = SIDE
    IMAGE_MAX_DIM = SIDE
    RPN_ANCHOR_SCALES = (16, 32, 48, 64, 96)
    PRE_NMS_LIMIT = 100
    RPN_NMS_THRESHOLD = 0.5
    POST_NMS_ROIS_TRAINING = 24
    POST_NMS_ROIS_INFERENCE = 24
    TRAIN_ROIS_PER_IMAGE = 60
    ROI_POSITIVE_RATIO = 0.5
    MIN_NEGATIVE_RATIO = 0.5
    DETECTION_MIN_CONFIDENCE = 0.3
    INITIALIZATION = "reference"  # replaced by the weight file; quicker to compile
    OPTIMIZER = "sgd"
    LEARNING_SCHEDULE = "constant"
    WARMUP_STEPS = 0
    WORKERS = 1


class StepLosses(keras.callbacks.Callback):
    """The running means of the losses after each step; the first are the first step's."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append([float(logs[name]) for name in (*LOSS_NAMES, "loss")])


def tensor(array):
    return keras.ops.convert_to_tensor(array)


def gradient(function, value, *others):
    """Gradient of a scalar function in its first argument."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return np.asarray(jax.jit(jax.grad(function))(value, *others))
    value, *others = map(tensor, (value, *others))
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(value)
            result = function(value, *others)
        return tf.convert_to_tensor(tape.gradient(result, value)).numpy()
    value.requires_grad_()
    function(value, *others).backward()
    return value.grad.numpy()


def crop_inputs():
    """Feature maps of four levels, normalised boxes [2, 150, 4] and their levels."""
    rng = np.random.default_rng(3)
    maps = [rng.normal(size=(2, s, s + 3, 3)).astype("float32") for s in (32, 16, 8, 4)]
    corner = rng.uniform(-0.3, 0.9, (2, 150, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.0, 0.7, (2, 150, 2))], -1)
    boxes[:, :60] = np.clip(boxes[:, :60], 0, 1)  # as proposals: many end on the border
    boxes[:, 60] = 0  # padding
    boxes[:, 61] = [0, 0, 1, 1]
    boxes[:, 62] = [0.8, 0.7, 0.2, 0.1]  # turned over
    levels = rng.integers(0, 4, (2, 150))
    return maps, boxes.astype("float32"), levels.astype("int32")


def pyramid(size):
    """Crops of boxes from all levels, as a function of (first map, boxes, levels)."""
    others = crop_inputs()[0][1:]
    return lambda features, boxes, levels: ops.pyramid_crop(
        [features, *map(tensor, others)], boxes, levels, size
    )


def single(size):
    """Crops of the same boxes from the first map, with the same arguments."""

    def crop(features, boxes, levels):
        flat = keras.ops.reshape(boxes, (-1, 4))
        images = keras.ops.repeat(keras.ops.arange(2, dtype="int32"), boxes.shape[1])
        return ops.crop_and_resize(features, flat, images, size)

    return crop


def crops():
    """Crops and their gradients in the first map, by name."""
    maps, *where = crop_inputs()
    rng = np.random.default_rng(5)
    found = {}
    for name, kind in (("pyramid", pyramid), ("single", single)):
        for size in CROP_SIZES:
            crop = kind(size)
            result = crop(*map(tensor, (maps[0], *where)))
            found[f"{name}_{size}"] = keras.ops.convert_to_numpy(result)
        weights = rng.normal(size=result.shape).astype("float32")

        def total(features, boxes, levels, crop=crop, weights=weights):
            return keras.ops.sum(crop(features, boxes, levels) * tensor(weights))

        found[f"{name}_gradient"] = gradient(total, maps[0], *where)
    return found


def nms_inputs():
    """Boxes [2, 700, 4], best first, their validity and groups."""
    rng = np.random.default_rng(4)
    corner = rng.uniform(0, 0.8, (2, 700, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.02, 0.3, (2, 700, 2))], -1)
    boxes[:, 10:14] = boxes[:, 5:6]  # the same box again
    valid = rng.random((2, 700)) > 0.1
    return boxes.astype("float32"), valid, rng.integers(0, 3, (2, 700)).astype("int32")


def suppressions():
    """Results of `nms`: few, many and all that can be kept, with and without groups."""
    boxes, valid, groups = map(tensor, nms_inputs())
    found = {}
    for limit, grouped in NMS_CASES:
        result = ops.nms(boxes, valid, limit, NMS_THRESHOLD, groups if grouped else None)
        for part, value in zip(("indices", "kept"), result, strict=True):
            found[f"nms_{limit}_{grouped}_{part}"] = keras.ops.convert_to_numpy(value)
    return found


def image():
    """A fixed picture with structure at several scales."""
    rng = np.random.default_rng(6)
    parts = [
        np.kron(rng.normal(size=(n, n, 3)), np.ones((SIDE // n, SIDE // n, 1)))
        for n in (4, 16, SIDE)
    ]
    return np.clip(128 + 30 * sum(parts), 0, 255).astype("uint8")


def write_weights(folder):
    """The file that all backends load."""
    model = MaskRCNN("inference", ProbeConfig(INITIALIZATION="he"), folder)
    rng = np.random.default_rng(7)
    for layer in model.get_trainable_layers():
        if layer.name in SPREAD:
            layer.kernel.assign(rng.normal(0, SPREAD[layer.name], layer.kernel.shape))
        elif layer.name == "conv1":
            layer.kernel.assign(layer.kernel * 0.003)
    model.save_weights(folder / "weights.h5")


def inference(folder):
    """Stages of both ROI alignments to files; detections by name."""
    for mode in ("aligned", "legacy"):
        model = MaskRCNN("inference", ProbeConfig(ROI_ALIGN=mode), folder)
        model.load_weights(folder / "weights.h5")
        stages = model.inspect(image(), features=True)
        stages.save(folder / f"{keras.backend.backend()}_{mode}.npz")
    (result,) = model.detect([image()])
    return {f"detect_{name}": value for name, value in result.items()}


def training(folder):
    """Three steps of `train`: the losses, and all weights before and after."""
    model = MaskRCNN("training", ProbeConfig(), folder / keras.backend.backend())
    model.load_weights(folder / "weights.h5")
    variables = model.keras_model.trainable_variables

    def flat():
        return np.concatenate([keras.ops.convert_to_numpy(v).ravel() for v in variables])

    before = flat()
    losses = StepLosses()
    model.train(Phantoms(3, SIDE), None, 1e-3, 1, "all", custom_callbacks=[losses], verbose=0)
    return {"losses": np.array(losses.values), "before": before, "after": flat()}


def main(folder: Path) -> None:
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning, "keras")
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        # For three steps and three pictures, compiling takes longer than to do without it.
        tf.config.run_functions_eagerly(True)
        warnings.filterwarnings("ignore", "Even though the `tf.config", UserWarning)
        write_weights(folder)
    elif backend == "torch":
        import torch

        torch.set_num_threads(1)
    found = crops() | suppressions() | inference(folder) | training(folder)
    np.savez(folder / f"{backend}.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
