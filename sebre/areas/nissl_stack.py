"""The stack of the Allen Reference Atlas's Nissl plates: one frame, one pixel size.

The midline is the left border and the top of the tissue near the upper one. Pixel sizes of the
plates differ; the drawings are in micrometers (not stated, but their numbers fit).
"""

from pathlib import Path

import cv2
import numpy as np
import scipy.ndimage

from sebre.areas.stacks import Stack
from sebre.prepare.allen.placement import Placement
from sebre.prepare.allen.plate_table import plate_table, read_plates
from sebre.prepare.allen.svg_atlas import paint
from sebre.prepare.sources.ara_areas import cortex_classes

WIDTH_MM, HEIGHT_MM = 4.624, 7.616  # multiples of 0.272 mm, which networks want
SPACING_MM = 0.1
_TISSUE = 9  # gray value above which blurred brightness is tissue
_BLUR_PX = 6.0
_ABOVE_MM = 0.1


def nissl_stack(raw: str | Path, pixel_um: float = 17.0, side: str = "right") -> Stack:
    """The plates of a raw folder as a stack.

    Args:
        raw: folder of the plates (`sebre.prepare.allen.plate_table`).
        pixel_um: side of a pixel.
        side: "right", the drawn side, or "left", mirrored and without labels: pictures to learn
            from without labels.
    """
    plates = read_plates(plate_table(Path(raw)))
    names, areas = cortex_classes("areas")
    _, layers = cortex_classes("layers")
    images, drawn_areas, drawn_layers = [], [], []
    shape = (round(HEIGHT_MM * 1000 / pixel_um), round(WIDTH_MM * 1000 / pixel_um))
    for plate in plates:
        picture, drawing, placement = plate.read()
        to_drawing = _frame(picture, placement, pixel_um, side)
        image, inside = _warped(picture, placement, to_drawing, shape)
        images.append(image)
        if side == "right":
            for classes, found in ((areas, drawn_areas), (layers, drawn_layers)):
                labels = paint(drawing, classes, shape, to_drawing)
                found.append(np.where(inside, labels, 0).astype(np.uint8))
    z_mm = np.array([plate.number * SPACING_MM for plate in plates])
    numbers = tuple(str(plate.number) for plate in plates)
    if side == "left":
        return Stack(numbers, np.stack(images), z_mm, pixel_um)
    drawn = np.stack(drawn_areas)
    return Stack(numbers, np.stack(images), z_mm, pixel_um, drawn, names, np.stack(drawn_layers))


def _frame(picture: np.ndarray, placement: Placement, pixel_um: float, side: str) -> np.ndarray:
    """Matrix [2, 3] from the frame to the drawing."""
    m, c = placement.midline
    tissue = scipy.ndimage.gaussian_filter(picture.astype(np.float32), _BLUR_PX) > _TISSUE
    parts, _ = scipy.ndimage.label(tissue)
    largest = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    v, u = np.nonzero(largest)
    y = placement.matrix[1, 0] * u + placement.matrix[1, 1] * v + placement.matrix[1, 2]
    top = np.percentile(y, 0.05) - _ABOVE_MM * 1000
    outward = pixel_um if side == "right" else -pixel_um
    return np.array([[outward, m * pixel_um, m * top + c], [0.0, pixel_um, top]])


def _warped(
    picture: np.ndarray,
    placement: Placement,
    to_drawing: np.ndarray,
    shape: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """The picture in the frame, uint8, and where the frame lies inside it, bool, both [h, w]."""
    back = np.linalg.inv(np.vstack([placement.matrix, [0, 0, 1]]))
    to_picture = (back @ np.vstack([to_drawing, [0, 0, 1]]))[:2]
    # Corners are at whole numbers there, middles of pixels here.
    half = np.array([0.5, 0.5])
    to_picture[:, 2] += to_picture[:, :2] @ half - half
    scale = np.sqrt(abs(np.linalg.det(to_picture[:, :2])))
    if scale > 1:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 * scale)
    how = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderValue": 0}
    size = shape[::-1]
    image = cv2.warpAffine(picture, to_picture, size, **how)
    inside = cv2.warpAffine(np.full_like(picture, 255), to_picture, size, **how)
    return image, inside > 127
