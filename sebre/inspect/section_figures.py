"""Figures of how the network of any section sees a picture, and what it answers.

For notebooks: each makes a new pyplot figure. (`sebre.inspect.stage_figures` does so for Mask
R-CNN.)
"""

from collections.abc import Sequence

import cv2
import numpy as np

from sebre.data.dataset import SectionDataset
from sebre.data.region_masks import RegionMasks
from sebre.data.rotation import rotated_versions
from sebre.drawing.overlay import overlay, reduced_labels
from sebre.evaluation.section import score_section, sheet_row
from sebre.inspect.figure_grid import grid, legend
from sebre.networks.any_section import AnySectionSegmenter, Frame, prepared
from sebre.networks.segmenter import Segmenter
from sebre.networks.tissue import tissue_mask
from sebre.predict.prediction import Prediction

_TISSUE = (0.9, 0.62, 0.0)
_SQUARE = (0.34, 0.71, 0.91)


def show_framing(network: AnySectionSegmenter, images: Sequence[np.ndarray]) -> None:
    """Draw pictures uint8 [H, W, 3] with the outline of their tissue and the square around it,
    above what the network sees of them."""
    _, axes = grid(2, len(images))
    for (above, below), image in zip(axes.T, images, strict=True):
        gray = _gray(image)
        frame = network.frame(gray)
        above.imshow(image)
        above.contour(tissue_mask(image), [0.5], colors=[_TISSUE], linewidths=1)
        corners = _corners(frame)
        above.plot(*np.vstack([corners, corners[:1]]).T, color=_SQUARE, linewidth=1.5)
        square = prepared(gray, network.config.IMAGE_MAX_DIM, frame)
        below.imshow(square, cmap="gray", interpolation="nearest")
        below.set_title(f"{' x '.join(map(str, square.shape))} px", fontsize=9)


def show_views(network: AnySectionSegmenter, image: np.ndarray) -> np.ndarray:
    """Draw the most probable class for each turned and mirrored view of a picture, turned back.

    Returns:
        float [views]: the share of pixels with tissue on which a view agrees with the mean of all.
    """
    gray = _gray(image)
    square = prepared(gray, network.config.IMAGE_MAX_DIM, network.frame(gray))
    answers = network.answers(square)
    small = _at_scale(square, answers.shape[1])
    agreed = answers.mean(axis=0).argmax(axis=-1)
    figure, axes = grid(2, (len(answers) + 1) // 2)
    shares = []
    for ax, answer in zip(axes.flat, answers, strict=False):
        labels = answer.argmax(axis=-1)
        shares.append(float((labels == agreed)[agreed > 0].mean()))
        ax.imshow(overlay(small, labels.astype(np.uint8), network.regions))
        ax.set_title(f"agrees on {shares[-1]:.2f}", fontsize=9)
    legend(figure, network.regions, {})
    return np.array(shares)


def show_probabilities(network: AnySectionSegmenter, image: np.ndarray) -> None:
    """Draw how probable each region is in the square that the network sees, 0 to 1."""
    gray = _gray(image)
    found = network.probabilities(gray, network.frame(gray))
    columns = (len(network.regions) + 1) // 2
    _, axes = grid(2, columns)
    for ax, region in zip(axes.flat, network.regions, strict=False):
        ax.imshow(found[..., region.id], cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
        ax.set_title(region.name.replace("_", " "), fontsize=9)


def show_changed(
    network: AnySectionSegmenter, image: np.ndarray, angles: Sequence[float] = (30, 45, 180)
) -> dict[str, float]:
    """Draw what is found in a picture turned by degrees, mirrored and inverted.

    Returns:
        Share of the tissue that gets the label that it gets in the picture as it is, by change.
    """
    first = network.labels(_gray(image))
    masks = {region.id: first == region.id for region in network.regions}
    versions = {"as it is": (image, first)}
    for angle, _, turned, moved in rotated_versions(image, masks, enlarge=True, angles=angles):
        wanted = np.zeros(turned.shape[:2], np.uint8)
        for class_id, mask in moved.items():
            wanted[mask] = class_id
        versions[f"turned by {angle:g}\u00b0"] = turned, wanted
    versions["mirrored"] = image[:, ::-1], first[:, ::-1]
    versions["inverted"] = 255 - image, first
    figure, axes = grid(1, len(versions))
    shares = {}
    for ax, (name, (picture, wanted)) in zip(axes[0], versions.items(), strict=True):
        found = network.labels(_gray(picture))
        shares[name] = float((found == wanted)[wanted > 0].mean())
        ax.imshow(overlay(picture, found, network.regions))
        ax.set_title(name, fontsize=9)
    legend(figure, network.regions, {})
    return shares


def show_found(network: AnySectionSegmenter, images: Sequence[np.ndarray]) -> None:
    """Draw pictures uint8 [H, W, 3] above the regions found in them."""
    figure, axes = grid(2, len(images))
    for (above, below), image in zip(axes.T, images, strict=True):
        above.imshow(image)
        below.imshow(overlay(image, network.labels(_gray(image)), network.regions))
    legend(figure, network.regions, {})


def show_drawn(network: Segmenter, sections: SectionDataset) -> dict[str, float]:
    """Draw sections, what is drawn on them and what a network of any kind finds, side by side.

    Returns:
        Dice of each region drawn, by name, the mean over the sections that show it; 0 where it was
        missed.
    """
    figure, axes = grid(3, sections.num_images)
    dices: dict[str, list[float]] = {}
    sections.contrast = network.config.CONTRAST
    for column, image_id in zip(axes.T, sections.image_ids, strict=True):
        image, drawn = sections.load_image(image_id), RegionMasks(*sections.load_mask(image_id))
        name, result = sections.image_reference(image_id), network.detect([image])[0]
        section = score_section(name, image, drawn.shown(), result, contours=False)
        for ax, picture in zip(column, sheet_row(section, sections.regions)[1], strict=True):
            ax.imshow(picture)
        column[0].set_title(name, fontsize=9)
        for class_id, dice in section.dices.items():
            dices.setdefault(sections.regions[class_id].name, []).append(dice)
    for ax, title in zip(axes[:, 0], ("section", "drawn", "found"), strict=True):
        ax.set_ylabel(title, fontsize=9)
    legend(figure, sections.regions, {})
    return {name: round(float(np.mean(values)), 3) for name, values in dices.items()}


def show_predicted(predictions: Sequence[Prediction]) -> None:
    """Draw the pictures of predictions of one network above the regions found in them."""
    figure, axes = grid(2, len(predictions))
    for (above, below), found in zip(axes.T, predictions, strict=True):
        above.imshow(found.pixels)
        above.set_title(found.name, fontsize=9)
        labels = reduced_labels(found.label_map, found.pixels.shape)
        below.imshow(overlay(found.pixels, labels, found.region_set))
    legend(figure, predictions[0].region_set, {})


def _gray(image: np.ndarray) -> np.ndarray:
    return image.mean(axis=-1, dtype=np.float32)


def _at_scale(square: np.ndarray, size: int) -> np.ndarray:
    """What the network sees, at the size of its answer: uint8 [size, size, 3]."""
    small = cv2.resize(255 * square, (size, size), interpolation=cv2.INTER_AREA)
    return np.repeat(small.astype(np.uint8)[..., None], 3, axis=-1)


def _corners(frame: Frame) -> np.ndarray:
    """Corners of a square, x and y, px of the picture: float64 [4, 2]."""
    cos, sin = np.cos(frame.turn), np.sin(frame.turn)
    units = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * frame.side
    return units @ np.array([[cos, sin], [-sin, cos]]) + frame.middle[::-1]
