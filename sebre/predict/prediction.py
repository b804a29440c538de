"""Regions of one picture: found, measured, shown and written.

    network = sebre.load("slicemap")
    found = network.predict("section.tif")
    found.regions                       # a pandas table
    found.save("results", formats=["geojson"])

`sebre predict` does the same for every picture (`sebre.predict.job.segment_file`).
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mrcnn.config import Config
from mrcnn.data.resizing import read_for
from mrcnn.errors import UserError
from mrcnn.imageio.header import EVERYTHING, Choice
from mrcnn.imageio.reading import open_source, read_header, read_whole
from mrcnn.imageio.reduced import ReducedPicture, held_pixels, read_reduced
from mrcnn.imageio.tiles import detect_tiled
from mrcnn.io.own_files import demand_own
from mrcnn.structures.mask_formats import mask_to_rle
from sebre.data.region_masks import count_labels
from sebre.data.regions import RegionSet
from sebre.drawing.overlay import reduced_labels
from sebre.networks.any_section import HALF
from sebre.networks.halves.hemispheres import Half, Midline, find_midline, halves
from sebre.networks.segmenter import (
    MaskRCNNSegmenter,
    Segmenter,
    best_labels,
    read_image,
)
from sebre.networks.tissue import Tissue, find_tissue
from sebre.place.section_place import SectionPlace
from sebre.predict.arguments import (
    demand_count,
    demand_name,
    demand_outputs,
    demand_prediction,
)
from sebre.predict.exchange import found_section, write_formats
from sebre.predict.measures import TABLE_COLUMNS, is_found, place_cells, region_rows
from sebre.predict.name_claims import take_name
from sebre.predict.outputs import OVERLAY_PX, output_paths, save_section, save_shapes
from sebre.trust.place_doubts import doubts_at, find_place, with_place
from sebre.trust.trust_files import trust_of
from sebre.trust.trust_model import NO_TISSUE, SectionTrust, of_half
from sebre.trust.turned import detect_turned

if TYPE_CHECKING:  # heavy to import, and not needed to segment
    import pandas
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

_STACK_PX = 2048**2  # of larger sections, masks are kept as run lengths
_LARGE_PX = 2**27  # 134 million; larger pictures would need many GB as a whole
_SAME_UM = 0.01  # relative difference of pixel sizes that rounding leaves
_IN_TILES = (
    "segmented in tiles: a network sees a piece at a time, so the section is not cut at its "
    "midline, and how far to trust it, which is known of whole pictures, is not said"
)
_MIRRORED = (
    "taken for a half section, cut along a straight line: looked at with its mirror image beyond "
    "the line, as the network is surer of that"
)
_OF_DPI = "its pixels are {:.4g} x {:.4g} um by a resolution of {:.0f} dpi"
NOT_TOLD = "no even glass is to be seen around the tissue, so no region was cut to the tissue"


@dataclass(frozen=True)
class Prediction:
    """The regions of one section.

    Attributes:
        name: of its outputs.
        picture: uint8 [H, W, 3], as the network was shown it, or at reduced scale.
        label_map: class ids, uint8 (uint16 above 255) [H, W]; 0 is no region.
        rows: of the table, `sebre.predict.measures.TABLE_COLUMNS`.
        region_set: all regions that were looked for.
        file_name: of the picture, for files of other programs.
        pixel_um: (rows, columns) um from one pixel to the next; None if not known.
        warnings: why it should not be trusted as a whole; none where nothing was seen.
        notes: what else is to be known of how it was made.
        place: where in the brain of a mouse it lies; None if nobody looked, or nothing was seen.
        midline: where a whole section was cut, whose sides have rows of their own; None if not.
        path: of the picture; None of an array.
    """

    name: str
    picture: np.ndarray | ReducedPicture
    label_map: np.ndarray
    rows: list[dict[str, Any]]
    region_set: RegionSet
    file_name: str = ""
    pixel_um: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    place: SectionPlace | None = None
    midline: Midline | None = None
    path: Path | None = None

    @property
    def pixels(self) -> np.ndarray:
        """The picture as it is held, uint8 [h, w, 3]."""
        return held_pixels(self.picture)

    @property
    def regions(self) -> "pandas.DataFrame":
        """The rows as a table of pandas, one for each region that was looked for."""
        import pandas

        table = pandas.DataFrame(self.rows, columns=list(TABLE_COLUMNS))
        return table.set_index("region", drop=False)

    def mask(self, region: str) -> np.ndarray:
        """Pixels of a region by its name, bool [H, W].

        Raises:
            UserError: there is no such region.
        """
        for one in self.region_set:
            if one.name == region:
                return self.label_map == one.id
        known = ", ".join(self.region_set.names)
        raise UserError(f"No region {region!r}; the network looks for {known}.")

    def plot(self) -> "Figure":
        """Picture and regions side by side."""
        from matplotlib.figure import Figure

        from sebre.drawing.canvas import Panel

        pixels = self.pixels
        labels = reduced_labels(self.label_map, pixels.shape)
        height, width = pixels.shape[:2]
        figure = Figure(figsize=(10, 0.5 + 5 * min(height / width, 1.6)), layout="constrained")
        shown, found = figure.subplots(1, 2)
        Panel(shown, pixels, self.region_set)
        panel = Panel(found, pixels, self.region_set)
        ids = np.unique([row["region_id"] for row in self.rows if is_found(row)]).astype(int)
        masks = labels[..., None] == ids
        panel.masks(masks, ids, np.ones(len(ids)))
        figure.canvas.draw()
        for k, class_id in enumerate(ids):
            panel.name_inside(masks[..., k], class_id)
        return figure

    def save(
        self,
        out: str | Path,
        formats: Sequence[str] = (),
        overlay_px: int = OVERLAY_PX,
        shapes: str | None = None,
    ) -> list[Path]:
        """Write label map, overlay and files for other programs.

        Args:
            out: folder, made if it is not there. Files that are not ours are not replaced.
            formats: names of `sebre.predict.exchange.FORMATS`.
            overlay_px: longest side of the overlay.
            shapes: "rle" or "contours": also write `<name>_regions.json`.

        Returns:
            What was written.

        Raises:
            UserError: files of other origin are in the way, the name is another picture's or leads
                out of the folder, or formats or shapes are of no known kind.
        """
        demand_name(self.name)
        demand_outputs(formats, shapes)
        demand_count("overlay_px", overlay_px)
        out = Path(out)
        paths = output_paths(self.name, out, shapes, formats)
        demand_own(paths)
        take_name(out, self.name, self.pixels if self.path is None else self.path)
        size = self.pixel_um
        save_section(
            self.name, self.picture, self.label_map, self.region_set, out, overlay_px, size
        )
        if shapes is None and not formats:
            return paths
        rows = [row for row in self.rows if is_found(row)]
        scores: dict[int, float] = {}  # of two sides, that of the worse one
        for row in rows:
            scores[row["region_id"]] = min(row["score"], scores.get(row["region_id"], 1.0))
        of = "" if self.path is None else f"{self.path.parent.name}/{self.path.name}"
        found = found_section(self.name, self.label_map, scores, self.region_set, size, of)
        if shapes is not None:
            own = [mask_to_rle(self._pixels_of(row)) for row in rows]
            save_shapes(rows, own, shapes, output_paths(self.name, out, shapes)[-1])
        write_formats(found, out, formats, self.file_name or self.name)
        return paths

    def _pixels_of(self, row: Mapping[str, Any]) -> np.ndarray:
        """Pixels of a region of the table, on its own side where the section was cut."""
        own = self.label_map == row["region_id"]
        if self.midline is None:
            return own
        right = self.midline.right_of(own.shape)
        return own & (right if row["hemisphere"] == "right" else ~right)


class Network:
    """A segmenter that predicts: what `sebre.load` gives. All of the segmenter is its own, too."""

    def __init__(self, segmenter: Segmenter):
        self.segmenter = segmenter

    def __getattr__(self, name: str) -> Any:
        if name == "segmenter":  # while it is copied or unpickled
            raise AttributeError(name)
        return getattr(self.segmenter, name)

    def predict(self, picture: str | Path | np.ndarray, **options: Any) -> Prediction:
        """Find the regions of a picture.

        Args:
            picture: file, or array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]: gray or colors of
                8 or 16 bits or floating point, which is scaled as a file of it would be.
            **options: of `predict_picture`.

        Raises:
            FileNotFoundError: no such file.
            UserError: no picture that can be read.
        """
        return predict_picture(self.segmenter, picture, **options)


def predict_picture(
    segmenter: Segmenter,
    picture: str | Path | np.ndarray,
    name: str | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    channel: int | None = None,
    z: int | str | None = None,
    pixel_um: float | None = None,
    preview_px: int = OVERLAY_PX,
    tta: bool = False,
    place: bool | None = None,
) -> Prediction:
    """Find the regions of a picture.

    A file is read by the CONTRAST of the network; what is converted or passed over is logged.

    Args:
        segmenter: the network. With its setting REDUCED_DECODE, and of more than 134 million
            pixels, a picture is read at a reduced scale where the format allows.
        picture: file, or array as of `Network.predict`.
        name: of the outputs; None takes that of the file.
        tile: side of the tiles that are segmented one by one, px; None for the whole picture.
        overlap: of neighboring tiles, px; None takes a quarter of a tile.
        channel: of a file with channels, see `mrcnn.imageio.header.Choice`.
        z: of a file with pages.
        pixel_um: um from one pixel to the next; None takes what the file says.
        preview_px: longest side that the picture of a section in tiles is kept at.
        tta: look at the picture turned, too, for a better guess of how good the regions are; takes
            three times as long, and changes no region.
        place: look where in the brain of a mouse the section lies; None if the network is known to
            be of mice.

    Raises:
        FileNotFoundError: no such file.
        UserError: no picture that can be read, or an option that cannot be or would change nothing.
    """
    demand_prediction(picture, name, tile, overlap, pixel_um, preview_px)
    choice, config = Choice(channel, z), segmenter.config
    path, size, large, remarks = _described(picture, choice)
    picture = picture if isinstance(picture, np.ndarray) else path
    name, size = path.stem if name is None else name, chosen_size(path, size, pixel_um)
    midline = None
    if tile is not None:
        shown = _preview(picture, preview_px, choice, config.CONTRAST)
        parts = [_in_tiles(segmenter, picture, choice, tile, overlap, shown)]
    else:
        # What is to be cut in halves is read as it is.
        shown = _whole(picture, config, choice, large, not segmenter.regions.bilateral)
        midline = find_midline(shown) if segmenter.regions.bilateral else None
        parts = _detect(segmenter, shown, path, midline)
    labels = np.zeros(shown.shape[:2], np.min_scalar_type(segmenter.regions.num_classes - 1))
    where = find_place(segmenter, shown, place)
    doubts = doubts_at(where, segmenter)
    rows, warnings = [], [*doubts.warnings]
    notes = [*(remarks if pixel_um is None else ()), *([_IN_TILES] if tile is not None else [])]
    tissues = [find_tissue(part.pixels) for part in parts]
    tissue_px = _tissue_px(tissues[0] if midline is None else find_tissue(shown), labels.size)
    for part, tissue in zip(parts, tissues, strict=True):
        own, on_glass = part.labels(), set()
        told = part.trust(segmenter, own, tissue, tta, tile is None)
        if getattr(config, "ONLY_ON_TISSUE", True):
            on_glass = clip(own, tissue)
            notes += [] if tissue.told else [part.said(NOT_TOLD)]
        notes += [part.said(_MIRRORED)] if part.result.get(HALF) else []
        placed = part.place(own, labels)
        some = region_rows(
            name,
            part.result,
            segmenter.regions,
            placed,
            size,
            tissue_px,
            _least_score(segmenter),
            told.regions,
            on_glass,
            doubts.lacking,
        )
        rows += [{**row, "hemisphere": part.side or row["hemisphere"]} for row in some]
        warnings += part.warnings(told, tissue, with_place(told.warnings, where, segmenter))
    _say(path, notes)
    rows = [row | place_cells(where, row) for row in sorted(rows, key=lambda r: r["region_id"])]
    read = None if isinstance(picture, np.ndarray) else path.absolute()
    known = (path.name, size, tuple(warnings), tuple(notes), where, midline, read)
    return Prediction(name, shown, labels, rows, segmenter.regions, *known)


def _least_score(segmenter: Segmenter) -> float:
    """That a detection must have; 0 of networks that label pixels, which have none."""
    detects = segmenter.network == MaskRCNNSegmenter.network
    return segmenter.config.DETECTION_MIN_CONFIDENCE if detects else 0.0


def _tissue_px(tissue: Tissue, pixels: int) -> int | None:
    """Pixels of tissue of a picture; None where glass cannot be told, as then neither can it."""
    return round(tissue.share * pixels) if tissue.told else None


def _described(
    picture: str | Path | np.ndarray, choice: Choice
) -> tuple[Path, tuple[float, float] | None, bool, list[str]]:
    """Path (or a name for it) and pixel size of a picture, whether it is too large to be read
    whole, and a note where its size is that of a resolution; what its header says beside is
    logged."""
    if isinstance(picture, np.ndarray):
        if choice != EVERYTHING:
            raise UserError(
                f"channel={choice.channel}, z={choice.z}: these are of files; an array is one "
                "picture. Give that part of the array, and leave them out."
            )
        return Path("picture"), None, False, []
    path = Path(picture)
    header = read_header(path, choice)
    _say(path, header.notes)
    remarks = [_OF_DPI.format(*header.pixel_um, header.dpi)] if header.dpi else []
    return path, header.pixel_um, math.prod(header.shape) > _LARGE_PX, remarks


def _say(path: Path, notes: Sequence[str]) -> None:
    for note in notes:
        logger.info("%s: %s.", path, note)


def clip(labels: np.ndarray, tissue: Tissue) -> set[int]:
    """Leave out what lies on glass, and return the class ids that had pixels there alone.

    Args:
        labels: class ids [H, W], changed in place.
        tissue: of the picture.
    """
    classes = int(labels.max(initial=0)) + 1
    before = count_labels(labels, classes)
    tissue.clip(labels)
    after = count_labels(labels, classes)
    return set(np.flatnonzero((before > 0) & (after == 0)).tolist())


@dataclass(frozen=True)
class _Part:
    """What was found in a section, or in one side of it."""

    side: str  # of the picture: "left" or "right"; "" for all of it
    result: dict[str, Any]
    picture: np.ndarray | ReducedPicture  # that was looked at
    half: Half | None = None

    @property
    def pixels(self) -> np.ndarray:
        """The picture as it is held, uint8 [h, w, 3]."""
        return held_pixels(self.picture)

    def labels(self) -> np.ndarray:
        """Its label map."""
        return best_labels(self.result, self.picture.shape)

    def place(self, own: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """Add its label map to that of the section; returns it alone, at the size of that."""
        if self.half is None:
            whole[:] = own
            return own
        self.half.place(own, whole)
        alone = np.zeros_like(whole)
        self.half.place(own, alone)
        return alone

    def trust(
        self, segmenter: Segmenter, own: np.ndarray, tissue: Tissue, tta: bool, whole: bool
    ) -> SectionTrust:
        """How far to trust it; `own` is its label map, of all that was found. Nothing is known of
        what was not looked at as a `whole`."""
        model = trust_of(segmenter) if whole else None
        if model is None:
            return SectionTrust(False)
        turned = detect_turned(segmenter, self.pixels) if tta else None
        told = model.assess(segmenter, self.pixels, self.result, own, turned, tissue.mask)
        return told if self.half is None else of_half(told)

    def warnings(self, told: SectionTrust, tissue: Tissue, said: Sequence[object]) -> list[str]:
        """What is said of it, and whether no tissue is to be seen in it."""
        unseen = () if told.known or tissue.seen else (NO_TISSUE,)
        return [self.said(str(remark)) for remark in (*said, *unseen)]

    def said(self, text: str) -> str:
        """A remark on it, with the side."""
        return f"{self.side} side: {text}" if self.side else text


def _in_tiles(
    segmenter: Segmenter,
    picture: Path | np.ndarray,
    choice: Choice,
    tile: int,
    overlap: int | None,
    shown: np.ndarray | ReducedPicture,
) -> _Part:
    with open_source(picture, choice=choice, rule=segmenter.config.CONTRAST) as source:
        return _Part("", detect_tiled(segmenter, source, tile, overlap), shown)


def _detect(
    segmenter: Segmenter,
    shown: np.ndarray | ReducedPicture,
    path: Path,
    midline: Midline | None,
) -> list[_Part]:
    """The regions of a picture; of each side, where it is cut at a midline."""
    masks = "rle" if shown.shape[0] * shown.shape[1] > _STACK_PX else "full"
    if midline is None:
        return [_Part("", segmenter.detect([shown], masks=masks)[0], shown)]
    logger.info("%s: a whole section; its halves are segmented one by one.", path)
    sides = list(halves(shown, midline))
    results = segmenter.detect([half.pixels for half in sides], masks=masks)
    return [
        _Part(half.side, result, half.pixels, half)
        for half, result in zip(sides, results, strict=True)
    ]


def _whole(
    picture: Path | np.ndarray, config: Config, choice: Choice, large: bool, may_be_reduced: bool
) -> np.ndarray | ReducedPicture:
    if isinstance(picture, np.ndarray):
        return read_whole(open_source(picture, rule=config.CONTRAST))
    if may_be_reduced and (large or config.REDUCED_DECODE):
        if not config.REDUCED_DECODE:
            logger.info("%s: so large that it is read at a reduced scale.", picture)
        return read_for(picture, config, choice)
    return read_image(picture, config.CONTRAST, choice)


def _preview(
    picture: Path | np.ndarray, longest: int, choice: Choice, rule: str
) -> np.ndarray | ReducedPicture:
    if isinstance(picture, np.ndarray):
        return read_whole(open_source(picture, rule=rule))
    return read_reduced(picture, longest, choice, rule)


def chosen_size(
    path: Path, said: tuple[float, float] | None, given: float | None
) -> tuple[float, float] | None:
    """(Rows, columns) um of a pixel: what the user gave, or else what the file says."""
    if given is None:
        return said
    if said is not None and not np.allclose(said, given, rtol=_SAME_UM):
        logger.warning(
            "%s: pixels of %g x %g um by the file; %g um, as given, is used.", path, *said, given
        )
    return given, given
