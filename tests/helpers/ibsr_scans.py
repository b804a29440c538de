"""Made-up scans in the files of IBSR 18."""

from pathlib import Path

import numpy as np
from volumes import save_nifti

SIDE = 24
LEFT_CAUDATE, RIGHT_CAUDATE, LEFT_PUTAMEN = 11, 50, 12


def scan(seed: int = 0, labeled: int = 4, shape=(SIDE, SIDE, 8)) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels, canonical: a brain with two caudates in its lowest sections but one."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, np.int16)
    image[2:-2, 3:-3, 1:] = rng.integers(1, 500, shape, np.int16)[2:-2, 3:-3, 1:]
    labels = np.zeros(shape, np.int16)
    labels[2:-2, 3:-3, 1:] = 2  # white matter, which is no region
    labels[6:9, 12:16, 1 : labeled + 1] = LEFT_CAUDATE
    labels[15:18, 12:15, 1 : labeled + 1] = RIGHT_CAUDATE
    return image, labels


def save_subject(folder: Path, number: int, labeled: int = 4, codes: str = "RAS", **options):
    name = f"IBSR_{number:02d}"
    for data, kind in zip(scan(number, labeled), ("ana_strip", "seg_ana"), strict=True):
        save_nifti(folder / f"{name}_{kind}.nii.gz", data, codes, **options)
