"""AP of data sets, on hand cases and against its definition."""

import json

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from section_cases import HALF, WHOLE, Box, section_of

from sebre.data.regions import SLICEMAP
from sebre.evaluation.average_precision import DatasetAP
from sebre.evaluation.section import Section
from sebre.evaluation.summary import summarize


def test_ap_of_a_hand_case(capsys):
    """A false detection before two right ones: precision 0, 1/2, 2/3, so 2/3 at every recall."""
    sections = [
        section_of({1: WHOLE, 2: WHOLE}, (1, 0.9, WHOLE), (1, 0.95, (20, 20, 30, 30))),
        section_of({1: WHOLE}, (1, 0.8, HALF)),  # IoU 0.5: right at 0.5 only
    ]
    summary = summarize(sections, SLICEMAP).to_json()
    assert summary["ap50_per_region"]["cortex"] == pytest.approx(2 / 3)
    assert summary["ap50_per_region"]["hippocampus"] == 0
    assert summary["coco_ap50"] == pytest.approx(1 / 3)
    # At higher IoU one of two is found, at precision 1/2: at 51 of the 101 recalls.
    higher = 51 / 101 / 2
    assert summary["coco_ap"] == pytest.approx((2 / 3 + 9 * higher) / 10 / 2)
    assert capsys.readouterr().out == ""


def test_ap_without_detections_and_without_drawn_regions():
    summary = summarize([section_of({1: WHOLE})], SLICEMAP).to_json()
    assert summary["ap50_per_region"]["cortex"] == summary["coco_ap"] == 0
    summary = summarize([section_of({}, (1, 0.9, WHOLE))], SLICEMAP).to_json()
    assert set(summary["ap50_per_region"].values()) == {None}
    assert summary["coco_ap"] is summary["map_paper"] is summary["dice_mean"] is None
    assert summarize([], SLICEMAP).mse is None


def ap_of(sections: list[Section]) -> tuple[dict, dict]:
    precision = DatasetAP(SLICEMAP)
    for section in sections:
        precision.add(section)
    return precision.result()


def ap_by_definition(sections: list[Section], class_id: int, threshold: float) -> float:
    """All detections of one region by score; each takes the best free drawn mask it fits."""
    n_drawn = sum((s.drawn.class_ids == class_id).sum() for s in sections)
    ranked = sorted(
        (-s.result["scores"][row], k, row)
        for k, s in enumerate(sections)
        for row in np.flatnonzero(s.result["class_ids"] == class_id)
    )
    taken, right = set(), []
    for _, k, row in ranked:
        found = sections[k].result["masks"][..., row]
        fits = {
            i: (found & drawn).sum() / (found | drawn).sum()
            for i in np.flatnonzero(sections[k].drawn.class_ids == class_id)
            if (k, i) not in taken and (drawn := sections[k].drawn.stack[..., i]) is not None
        }
        best = max(fits, key=fits.get, default=None)
        right.append(best is not None and fits[best] >= threshold)
        if right[-1]:
            taken.add((k, best))
    hits = np.cumsum(right)
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / n_drawn
    return np.mean([max(precision[recall >= r], default=0) for r in np.linspace(0, 1, 101)])


def random_sections() -> list[Section]:
    """Sections with right, inexact, doubled, missed and made-up detections."""
    rng = np.random.default_rng(1)

    def box() -> Box:
        y, x = rng.integers(1, 16, 2)
        return y, x, y + rng.integers(6, 12), x + rng.integers(6, 12)

    def near(box: Box) -> Box:
        return tuple(np.array(box) + rng.integers(-1, 2, 4))

    sections = []
    for _ in range(30):
        drawn = {i: box() for i in range(1, 5) if rng.random() < 0.7}
        found = [(i, rng.random(), near(at)) for i, at in drawn.items() if rng.random() < 0.8]
        found += [(int(rng.integers(1, 6)), rng.random(), box()) for _ in range(rng.integers(0, 9))]
        sections.append(section_of(drawn, *found))
    return sections


def test_ap_against_its_definition():
    sections = random_sections()
    at_50, mean = ap_of(sections)
    thresholds = np.linspace(0.5, 0.95, 10)
    for class_id in range(1, 5):
        expected = [ap_by_definition(sections, class_id, t) for t in thresholds]
        assert 0.05 < expected[0] < 0.95
        assert at_50[class_id] == pytest.approx(expected[0], abs=1e-9)
        assert mean[class_id] == pytest.approx(np.mean(expected), abs=1e-9)
    assert at_50[5] is mean[6] is None


def test_ap_against_the_api_of_coco(tmp_path, capsys):
    """The same masks as files in COCO's format, evaluated as its users do."""
    sections = random_sections()
    height, width = sections[0].image.shape[:2]
    images = [{"id": k, "height": height, "width": width} for k in range(1, 31)]
    drawn, found = [], []
    for k, section in enumerate(sections, start=1):
        for masks, class_ids, entries in (
            (section.drawn.stack, section.drawn.class_ids, drawn),
            (section.result["masks"], section.result["class_ids"], found),
        ):
            for i, class_id in enumerate(class_ids):
                code = rle.encode(np.asfortranarray(masks[..., i], np.uint8))
                code = {"size": code["size"], "counts": code["counts"].decode()}
                entry = {"image_id": k, "category_id": int(class_id), "segmentation": code}
                if entries is drawn:
                    area = float(masks[..., i].sum())
                    entry |= {"id": len(drawn) + 1, "area": area, "iscrowd": 0, "bbox": [0] * 4}
                else:
                    entry["score"] = float(section.result["scores"][i])
                entries.append(entry)
    categories = [{"id": region.id, "name": region.name} for region in SLICEMAP]
    truth, detections = tmp_path / "instances.json", tmp_path / "segm.json"
    truth.write_text(json.dumps({"images": images, "annotations": drawn, "categories": categories}))
    detections.write_text(json.dumps(found))
    coco = COCO(truth)
    run = COCOeval(coco, coco.loadRes(str(detections)), "segm")
    run.evaluate()
    run.accumulate()
    run.summarize()
    assert "Average Precision" in capsys.readouterr().out

    summary = summarize(sections, SLICEMAP).to_json()
    assert 0.05 < summary["coco_ap"] < summary["coco_ap50"] < 0.95
    assert summary["coco_ap"] == pytest.approx(run.stats[0], abs=1e-12)
    assert summary["coco_ap50"] == pytest.approx(run.stats[1], abs=1e-12)
    precision = run.eval["precision"][..., 0, -1]  # [IoUs, recalls, regions], all areas
    at_50, mean = ap_of(sections)
    for k, region in enumerate(SLICEMAP):
        if at_50[region.id] is None:
            assert (precision[..., k] == -1).all()
        else:
            assert at_50[region.id] == precision[0, :, k].mean()
            assert mean[region.id] == precision[..., k].mean()
