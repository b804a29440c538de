"""`sebre evaluate custom` on sections that number the regions of the weights otherwise."""

import json
import shutil

import pytest
from paths import ROOT

from sebre.cli import main

DATASET = ROOT / "datasets/slicemap"


@pytest.fixture
def renumbered(tmp_path):
    """Two sections of the embedded data set, and the same with all class ids turned around."""
    roots = tmp_path / "as_it_is", tmp_path / "turned_around"
    facts = json.loads((DATASET / "dataset.json").read_text(encoding="utf-8"))
    count = len(facts["regions"])
    for root in roots:
        for part in ("train", "val"):
            for number in (0, 1):
                image = f"mrcnn_{part}_dataset_images/section_img_{number}.png"
                masks = f"mrcnn_{part}_dataset_masks/section_masks_{number}"
                (root / image).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(DATASET / image, root / image)
                shutil.copytree(DATASET / masks, root / masks)
        (root / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")
    for path in sorted(roots[1].rglob("*_m?.png")):
        stem, number = path.stem[:-1], int(path.stem[-1])
        path.rename(path.with_name(f"new_{stem}{count + 1 - number}.png"))
    for path in sorted(roots[1].rglob("new_*.png")):
        path.rename(path.with_name(path.name.removeprefix("new_")))
    for region in facts["regions"]:
        region["id"] = count + 1 - region["id"]
    facts["regions"].reverse()
    facts["region_set"] = "mine"
    (roots[1] / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")
    return roots


def test_scores_are_the_same_by_name(renumbered, tmp_path):
    scores = []
    for root in renumbered:
        out = tmp_path / f"{root.name}.json"
        asked = ["--dataset", str(root), "--weights", "slicemap_unet", "--draws", "0"]
        assert main(["evaluate", "custom", *asked, "--out", str(out)]) == 0
        scores.append(json.loads(out.read_text(encoding="utf-8"))["dice_per_region"])
    assert list(scores[1]) == list(reversed(scores[0]))
    assert scores[1] == pytest.approx(scores[0]) and min(scores[0].values()) > 0.5
