"""Average precision over a whole data set, as COCO defines it."""

import contextlib
import io
from collections import Counter
from typing import Any

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sebre.data.regions import RegionSet
from sebre.evaluation.section import Section


class DatasetAP:
    """Collects the masks of sections, run-length coded, and gives their AP.

    For each region the detections of all sections, not only the best of each, are ranked by score;
    precision is read at 101 recalls (COCO).
    """

    def __init__(self, regions: RegionSet):
        self.regions = regions
        self._images: list[dict[str, Any]] = []
        self._drawn: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []

    def add(self, section: Section) -> None:
        """Add what is drawn and found on a section; its arrays are not kept."""
        height, width = section.image.shape[:2]
        self._images.append({"id": len(self._images) + 1, "height": height, "width": width})
        # An id of 0 would stand for "no match" in the evaluation.
        for entry in self._entries(section.drawn.stack, section.drawn.class_ids):
            self._drawn.append({**entry, "id": len(self._drawn) + 1, "iscrowd": 0})
        found = self._entries(section.result["masks"], section.result["class_ids"])
        for entry, score in zip(found, section.result["scores"], strict=True):
            self._found.append({**entry, "id": len(self._found) + 1, "score": float(score)})

    def _entries(self, masks: np.ndarray, class_ids: np.ndarray) -> list[dict[str, Any]]:
        codes = rle.encode(np.asfortranarray(masks, np.uint8)) if len(class_ids) else []
        return [
            {
                "image_id": len(self._images),
                "category_id": int(class_id),
                "segmentation": code,
                "area": float(np.count_nonzero(masks[..., i])),
            }
            for i, (code, class_id) in enumerate(zip(codes, class_ids, strict=True))
        ]

    def result(self) -> tuple[dict[int, float | None], dict[int, float | None]]:
        """AP at mask IoU 0.5, and mean AP at 0.5, 0.55 ... 0.95, by class id.

        Regions that no section shows have None.
        """
        shown = {entry["category_id"] for entry in self._drawn}
        at_50: dict[int, float | None] = dict.fromkeys(r.id for r in self.regions)
        mean = dict(at_50)
        if shown:
            # IoUs [10], recalls [101], regions.
            precision = self._precision(sorted(shown))
            for k, class_id in enumerate(sorted(shown)):
                at_50[class_id] = float(precision[0, :, k].mean())
                mean[class_id] = float(precision[:, :, k].mean())
        return at_50, mean

    def _precision(self, class_ids: list[int]) -> np.ndarray:
        # pycocotools prints its progress.
        with contextlib.redirect_stdout(io.StringIO()):
            run = COCOeval(self._coco(self._drawn), self._coco(self._found), "segm")
            run.params.catIds = class_ids
            run.params.areaRng, run.params.areaRngLbl = [[0, float("inf")]], ["all"]
            counts = Counter((f["image_id"], f["category_id"]) for f in self._found)
            run.params.maxDets = [max(counts.values(), default=1)]
            run.evaluate()
            run.accumulate()
        return run.eval["precision"][..., 0, 0]

    def _coco(self, entries: list[dict[str, Any]]) -> COCO:
        coco = COCO()
        coco.dataset = {
            "images": self._images,
            "categories": [{"id": r.id, "name": r.name} for r in self.regions],
            # Copies, because the evaluation writes into them.
            "annotations": [dict(entry) for entry in entries],
        }
        coco.createIndex()
        return coco
