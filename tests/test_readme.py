"""The README's own examples run."""

import re
import shutil
from pathlib import Path

import pytest
from paths import ROOT


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
    # Two steps move the normalization's averages little, so the validation loss may be large.
    assert 0 < values["loss"] < 20 and 0 < values["val_loss"] < float("inf")
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
