"""Made-up raw folders of sections with drawings."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

RED, BLUE, GREEN = (200, 30, 40), (20, 60, 220), (10, 160, 20)
REGIONS_CSV = "id,region,R,G,B\n1,outer,200,30,40\n2,inner,20,60,220\n\n"  # a blank row is skipped
SIZE = (60, 80)


def drawn_labels(size: tuple[int, int] = SIZE) -> np.ndarray:
    """Region 1 around region 2, uint8 [H, W]."""
    labels = np.zeros(size, np.uint8)
    labels[8:52, 10:70] = 1
    labels[20:40, 30:50] = 2
    return labels


def painted(labels: np.ndarray, colors: Sequence = ((255, 255, 255), RED, BLUE)) -> np.ndarray:
    return np.array(colors, np.uint8)[labels]


def section(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Made-up tissue, uint8 [H, W, 3]."""
    noise = np.random.default_rng(number).integers(60, 200, (*size, 3), np.uint8)
    noise[:5] = noise[-5:] = 250
    return noise


def write(path: Path, array: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def raw_folder(folder: Path, drawings: str, drawing: np.ndarray, count: int = 3) -> Path:
    """Sections 1 .. count, each with the same drawing, and the table of regions."""
    for k in range(1, count + 1):
        write(folder / "images" / f"slide_{k}.png", section(k))
        write(folder / drawings / f"drawn_{k}.png", drawing)
    (folder / "regions.csv").write_text(REGIONS_CSV)
    return folder
