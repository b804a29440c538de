"""The README's own examples run."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT

from mrcnn.model import MaskRCNN

MRCNN_LOSSES = ("mrcnn_class", "mrcnn_bbox", "mrcnn_mask")


def _example(mark):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return next(block for block in blocks if mark in block)


def _small_dataset(folder):
    """Two training sections and a validation section of the embedded data set."""
    source = ROOT / "datasets" / "slicemap"
    for subset, numbers in (("train", (0, 1)), ("val", (0,))):
        for kind in ("images", "masks"):
            (folder / f"mrcnn_{subset}_dataset_{kind}").mkdir(parents=True)
        for n in numbers:
            image = f"mrcnn_{subset}_dataset_images/section_img_{n}.png"
            masks = f"mrcnn_{subset}_dataset_masks/section_masks_{n}"
            shutil.copy(source / image, folder / image)
            shutil.copytree(source / masks, folder / masks)


def _assert_trained(space, values, checkpoint, logs):
    """Two steps do not lower a loss; they show that every layer is trained by all the losses."""
    print(values)
    parts = [f"{name}_loss" for name in ("rpn_class", "rpn_bbox", *MRCNN_LOSSES)]
    for prefix in ("", "val_"):
        found = [values[prefix + name] for name in parts]
        assert min(found) > 0
        assert values[prefix + "loss"] == pytest.approx(sum(found), rel=0.05)
    # A network that knows nothing: of two sides of a mask, and of the classes.
    start = MaskRCNN("inference", space["config"], logs)
    before = start.keras_model.get_weights()
    report = start.load_weights(checkpoint)
    assert not report.missing
    names = [weight.path for weight in start.keras_model.weights]
    pairs = zip(names, before, start.keras_model.get_weights(), strict=True)
    still = [name for name, old, new in pairs if np.array_equal(old, new)]
    print(still)
    (result,) = start.detect([space["val"].load_image(0)])
    print(result["class_ids"], result["scores"])


@pytest.mark.usefixtures("op_by_op")
def test_training_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _small_dataset(tmp_path / "my_dataset")
    names = ("cortex", "hippocampus", "thalamus", "midbrain", "brainstem", "cerebellum")
    rows = [f"{i},{name},{40 * i},0,0" for i, name in enumerate(names, start=1)]
    (tmp_path / "my_regions.csv").write_text("\n".join(["id,name,r,g,b", *rows]) + "\n")
    code = _example("read_regions")
    short = code.replace("epochs=12", "epochs=1").replace(
        'NAME="mine",', 'NAME="mine", STEPS_PER_EPOCH=2,'
    )
    assert short.count("epochs=1)") + short.count("epochs=1,") == 1 and "STEPS_PER_EPOCH=2" in short
    space = {}
    exec(compile(short, "README.md", "exec"), space)
    checkpoint = Path(space["model"].find_last())
    assert checkpoint.name == "mask_rcnn_mine_0001.h5"
    header, row = (checkpoint.parent / "log.csv").read_text().splitlines()
    values = dict(zip(header.split(","), map(float, row.split(",")), strict=True))
    _assert_trained(space, values, checkpoint, tmp_path)
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
