"""Helpers of the golden tests: configurations, weight files, matching of boxes."""

import json

import numpy as np
from lacking import without_data

from mrcnn.config import Config
from mrcnn.structures.boxes import pairwise_iou

_DERIVED = ("BATCH_SIZE", "IMAGE_SHAPE", "IMAGE_META_SIZE")
_ARRAYS = ("MEAN_PIXEL", "BBOX_STD_DEV", "RPN_BBOX_STD_DEV")


def case(golden, name):
    """The manifest's record of a case; a test whose case is not in the small set is skipped."""
    record = json.loads((golden / "manifest.json").read_text())["cases"][name]
    for key in ("file", "inputs", "forward"):
        if key in record and not (golden / record[key]).is_file():
            without_data(f"{golden / record[key]} of {name}; set SEBRE_GOLDEN to the whole set.")
    return record


def config(record, **changes):
    """A Config with the settings of a manifest record."""
    settings = {k: v for k, v in record["config"].items() if k not in _DERIVED}
    settings = {k: np.array(v) if k in _ARRAYS else v for k, v in settings.items()}
    return Config(**{"NAME": "golden", **settings, **changes})


def unpack(archive, name):
    """A boolean array stored with np.packbits."""
    shape = archive[f"{name}_shape"]
    return np.unpackbits(archive[f"{name}_packed"])[: np.prod(shape)].reshape(shape).astype(bool)


def within(name, found, wanted, limit):
    """Demand that no value is off by more than the limit; `pytest -rA` shows how far they are."""
    assert np.shape(found) == np.shape(wanted), name
    error = np.abs(np.asarray(found, float) - wanted).max(initial=0)
    print(f"{name}: off by {error:.1e}, allowed {limit:.1e}")
    assert error <= limit, f"{name} is off by {error:.2e}, allowed {limit:.2e}"


def share_matched(wanted, found, iou=0.99):
    """Share of the boxes `wanted` that have a counterpart in `found`; a box without area is
    compared by its coordinates."""
    wanted, found = (b[np.abs(b).sum(1) > 0] for b in (wanted, found))
    overlap = pairwise_iou(wanted, found).max(axis=1) > iou
    distance = np.abs(wanted[:, None] - found[None]).max(-1).min(axis=1)
    return np.mean(overlap | (distance < 1e-4))


# --- Training targets -----------------------------------------------------------------


def canonical(*arrays):
    """Positives, negatives, padding, each sorted by (y1, x1, y2, x2)."""
    rois, class_ids = arrays[:2]
    kind = np.where(class_ids > 0, 0, np.where(np.abs(rois).sum(1) > 0, 1, 2))
    order = np.lexsort((rois[:, 3], rois[:, 2], rois[:, 1], rois[:, 0], kind))
    return [a[order] for a in arrays]
