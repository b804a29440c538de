"""Labels of the most similar training section, copied as they are."""

import json

import numpy as np
import pytest
from PIL import Image
from section_cases import box_mask

from sebre.data.section_files import part_folder
from sebre.evaluation.scores import COPIED_LABELS, Evaluation
from sebre.trials import copied_labels
from sebre.trials.copied_labels import score_copied, spread


def add(root, part, number, shift, extra=None):
    """A section whose brain and region lie `shift` px to the right."""
    images, masks = (part_folder(root, part, kind) for kind in ("images", "masks"))
    folder = masks / f"section_masks_{number}"
    images.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    region = box_mask(8, 6 + shift, 20, 16 + shift)
    picture = np.zeros(region.shape, np.uint8)
    picture[box_mask(4, 2 + shift, 28, 22 + shift)] = 90
    picture[region] = 200
    if extra is not None:
        picture[extra] = 150
    Image.fromarray(picture).save(images / f"section_img_{number}.png")
    Image.fromarray(region).save(folder / f"section_masks_{number}_cortex_m1.png")


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "set"
    add(root, "train", 0, 0)
    add(root, "train", 1, 4, extra=box_mask(22, 8, 27, 20))
    add(root, "val", 0, 0)
    add(root, "val", 1, 4, extra=box_mask(22, 8, 27, 20))
    return root


def test_the_labels_are_those_of_the_most_similar_section(root):
    record = score_copied("slicemap", root)
    assert record.network == COPIED_LABELS and record.weights == "set, train"
    assert [s.section for s in record.sections] == ["val/0", "val/1"]
    # Each test section has its twin in training.
    assert record.scores.dice_mean == pytest.approx(1)
    assert record.scores.map_paper == pytest.approx(1)
    assert record.turned is None and record.subset == "val"


def test_of_another_data_set_and_of_some_sections_only(root, tmp_path):
    other = tmp_path / "other"
    add(other, "train", 0, 8)
    record = score_copied("slicemap", root, other, most=1)
    assert record.weights == "other, train" and record.scores.n_sections == 1
    assert 0 <= record.scores.dice_mean < 1


def test_the_command_writes_a_record_of_evaluate(root, tmp_path):
    out = tmp_path / "copied.json"
    copied_labels.main(["slicemap", "--dataset", str(root), "--most", "2", "--out", str(out)])
    record = Evaluation.from_json(json.loads(out.read_text()))
    assert record.command.endswith(f"--most 2 --out {out}") and record.experiment == "slicemap"


def test_spread():
    assert spread([3, 4, 5], None) == spread([3, 4, 5], 9) == [3, 4, 5]
    assert spread(range(11), 3) == [0, 5, 10]
