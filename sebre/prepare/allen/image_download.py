"""Experimental: section pictures and atlas drawings of the Allen Brain Atlas, into a raw folder.

sections.csv                  one row per section (`SECTION_COLUMNS`)
images/<gene>_<age>_<data set>_<k>.jpg
atlas/atlas.csv               its place in the atlas (`PLACE_COLUMNS`)
atlas/<atlas image>.svg       drawings
atlas/structures_<graph>.json structure tree
SHA256SUMS                    of the files that were fetched

The source `allen-ish` calls `download`. It has never been run against the live service.
"""

import json
import logging
import re
import xml.etree.ElementTree
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mrcnn.errors import UserError
from mrcnn.io.download import fetch, writing
from mrcnn.io.files import file_sha256
from mrcnn.io.own_files import is_own, replace_own_text
from sebre.data.csv_tables import read_if_there, write_table
from sebre.prepare.allen.api import ADULT, DEVELOPING, AllenApi, Experiment

# The paper's P14 set. Its extended set: Gad1, Slc32a1 (VGAT) and Nissl at P4, P14 and P56.
GENES = ("Gad1", "Slc32a1")
AGES = ("P14",)
PLANE = "sagittal"
DOWNSAMPLE = 4  # 1/16 of the scanner's resolution, as for the paper's extended set

# Names in use for a gene -> acronym in the atlas.
ALIASES = {"GAD67": "Gad1", "VGAT": "Slc32a1"}

SECTION_COLUMNS = tuple(
    "number file section_image_id section_number data_set_id subject product marker age plane "
    "width height resolution_um downsample".split()
)
# The matrix takes a point (u, v) of the picture, in pixels from its upper left corner, to the
# point (X, Y) = (a11 u + a12 v + b1, a21 u + a22 v + b2) of the drawing.
MATRIX = ("a11", "a12", "b1", "a21", "a22", "b2")
PLACE_COLUMNS = (
    *("section_image_id", "atlas_id", "atlas_image_id", "svg", "structures"),
    *MATRIX,
    *("points", "residual_px"),
)

_GRID = (0.2, 0.5, 0.8)  # where, along each side of a section, its place is asked for
_MIN_POINTS = 4  # on one atlas image; 3 would always fit
_MAX_DOWNSAMPLE = 8

NEVER_RUN = "it was tested against a local server only, never run against the live service."
ADVICE = "Download it again."  # about a table that does not fit
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """Which sections are fetched."""

    gene: str | Sequence[str] = GENES  # acronyms, or "Nissl"; a text is divided at commas
    age: str | Sequence[str] = AGES
    plane: str = PLANE
    downsample: int = DOWNSAMPLE  # how often both sides of a picture are halved, 0 .. 8
    product: str = DEVELOPING  # of the mouse atlas: `DEVELOPING` or `ADULT`
    experiments: int | None = None  # most data sets per gene and age; None: all

    def __post_init__(self):
        if not 0 <= self.downsample <= _MAX_DOWNSAMPLE:
            raise UserError(
                f"downsample is {self.downsample}; it must be from 0 to {_MAX_DOWNSAMPLE}."
            )
        if self.experiments is not None and self.experiments < 1:
            raise UserError(
                f"experiments is {self.experiments}; it must be at least 1, or None for all."
            )
        if self.product not in (DEVELOPING, ADULT):
            raise UserError(f"product is {self.product!r}; it must be {DEVELOPING!r} or {ADULT!r}.")


def download(
    raw: str | Path,
    wanted: Wanted | None = None,
    drawings: bool = True,
    atlases: Mapping[str, int] | None = None,
    progress: bool = True,
    api: AllenApi | None = None,
) -> None:
    """Fetch sections and, for each, the drawing of the nearest atlas image.

    A second call fetches only what is missing or damaged; other genes and ages are added to
    what is there.

    Args:
        raw: folder; made if it is not there.
        wanted: which sections; None for the paper's P14 set.
        drawings: fetch atlas drawings too.
        atlases: number of the reference atlas by age, where the name of the atlas does not show it.
        progress: draw progress bars (on a terminal).
        api: the service; None for the public one.
    """
    raw, wanted, api = Path(raw), wanted or Wanted(), api or AllenApi()
    _log.warning("The download from the Allen Institute is experimental: %s", NEVER_RUN)
    found = _experiments(api, wanted)
    rows = read_if_there(raw / "sections.csv", SECTION_COLUMNS, ADVICE)
    for row in rows:
        if row["downsample"] != str(wanted.downsample):
            raise UserError(
                f"{raw}: its pictures have downsample {row['downsample']}, wanted "
                f"{wanted.downsample}. Choose another folder, or the same downsample."
            )
    known = {row["section_image_id"] for row in rows}
    for one in found:
        for image in api.section_images(one.id):
            if str(image["id"]) not in known:
                rows.append(_section_row(len(rows), one, image, wanted))
    if not rows:
        raise UserError(f"{raw}: the data sets found have no section that did not fail.")
    files = _Files(raw, api)
    write_table(raw / "sections.csv", SECTION_COLUMNS, rows)
    for row in tqdm(rows, "sections", disable=None if progress else True):
        url = api.image_url(int(row["section_image_id"]), wanted.downsample)
        files.get(url, row["file"], _check_jpeg)
    if drawings:
        _fetch_drawings(api, files, rows, atlases or {}, progress)


def _experiments(api: AllenApi, wanted: Wanted) -> list[Experiment]:
    ages = names(wanted.age, "age")
    found = []
    for name in names(wanted.gene, "gene"):
        series = api.experiments(wanted.product, marker_of(name), ages, wanted.plane)
        for age in ages:
            found += [one for one in series if one.age == age][: wanted.experiments]
    return found


def _section_row(
    number: int, one: Experiment, image: Mapping[str, Any], wanted: Wanted
) -> dict[str, str]:
    name = re.sub(r"[^\w.\-]", "-", f"{one.gene}_{one.age}_{one.id}_{number}")
    values = (
        *(number, f"images/{name}.jpg", image["id"], image["section_number"], one.id),
        *(one.donor or one.id, wanted.product, one.gene, one.age, one.plane),
        *(image["width"], image["height"], image["resolution"], wanted.downsample),
    )
    return dict(zip(SECTION_COLUMNS, map(str, values), strict=True))


def _fetch_drawings(
    api: AllenApi,
    files: "_Files",
    rows: Sequence[Mapping[str, str]],
    numbers: Mapping[str, int],
    progress: bool,
) -> None:
    table = files.folder / "atlas" / "atlas.csv"
    placed = {row["section_image_id"]: row for row in read_if_there(table, PLACE_COLUMNS, ADVICE)}
    # Sections that have their place keep their atlas, unless another one is named.
    chosen = {
        _atlas_key(row): int(placed[row["section_image_id"]]["atlas_id"])
        for row in rows
        if row["section_image_id"] in placed
    }
    atlases = {
        key: api.atlas(*key, numbers.get(key[1], chosen.get(key)))
        for key in sorted({_atlas_key(row) for row in rows})
    }
    for row in tqdm(rows, "drawings", disable=None if progress else True):
        atlas = atlases[_atlas_key(row)]
        old = placed.get(row["section_image_id"])
        # A section without a place is asked for again; the service may have had a bad day.
        kept = old and old["svg"] and old["atlas_id"] == str(atlas["id"])
        place = old if kept else _place(api, row, atlas)
        if place["svg"]:
            graph = atlas["structure_graph"]["id"]
            groups = [g["id"] for g in atlas.get("graphic_group_labels") or [] if _drawn(g)]
            files.get(api.structures_url(graph), place["structures"], _check_graph)
            files.get(api.svg_url(int(place["atlas_image_id"]), groups), place["svg"], _check_svg)
        if place is not old:
            placed[row["section_image_id"]] = place
            write_table(table, PLACE_COLUMNS, placed.values())
    lost = sum(not place["svg"] for place in placed.values())
    if lost:
        _log.warning("%d of %d sections have no place in the atlas", lost, len(rows))


def _atlas_key(row: Mapping[str, str]) -> tuple[str, str, str]:
    return row["product"], row["age"], row["plane"]


def _place(api: AllenApi, row: Mapping[str, str], atlas: Mapping[str, Any]) -> dict[str, Any]:
    """Row of atlas.csv for a section; without a drawing if too few of its points are answered."""
    image, width, height = (int(row[key]) for key in ("section_image_id", "width", "height"))
    points = [(across * width, down * height) for down in _GRID for across in _GRID]
    asked = [(x, y, api.place(image, x, y, int(atlas["id"]))) for x, y in points]
    answers = [(x, y, place) for x, y, place in asked if place]
    # A section that is cut aslant meets several atlas images; the one it meets most is taken.
    counts = Counter(place.image_id for _, _, place in answers).most_common(1)
    record = dict.fromkeys(PLACE_COLUMNS, "")
    record |= {"section_image_id": row["section_image_id"], "atlas_id": str(atlas["id"])}
    if not counts or counts[0][1] < _MIN_POINTS:
        return record
    nearest = counts[0][0]
    kept = [(x, y, place) for x, y, place in answers if place.image_id == nearest]
    scale = 2.0 ** int(row["downsample"])
    matrix, residual = fit_affine(
        np.array([(x / scale, y / scale) for x, y, _ in kept]),
        np.array([(place.x, place.y) for _, _, place in kept]),
    )
    if matrix is None:
        return record
    graph = atlas["structure_graph"]["id"]
    return record | {
        "atlas_image_id": str(nearest),
        "svg": f"atlas/{nearest}.svg",
        "structures": f"atlas/structures_{graph}.json",
        **{key: f"{value:.9g}" for key, value in zip(MATRIX, matrix.ravel(), strict=True)},
        "points": str(len(kept)),
        "residual_px": f"{residual:.3f}",
    }


def marker_of(gene: str) -> str:
    """Acronym in the atlas of a gene that goes by another name, such as VGAT."""
    return ALIASES.get(gene.upper(), gene)


def names(given: str | Sequence[str], what: str) -> list[str]:
    """The names in a text divided at commas, or in a sequence, each once; at least one."""
    parts = given.split(",") if isinstance(given, str) else given
    names = list(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not names:
        raise UserError(f"no {what} is given; name one or more, divided by commas.")
    return names


def fit_affine(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray | None, float]:
    """The affine map [2, 3] that takes points [N, 2] to others, by least squares.

    With it comes the root mean square distance that remains, in units of the target; both are
    (None, nan) if the points lie on a line.
    """
    system = np.column_stack([source, np.ones(len(source))])
    solution, _, rank, _ = np.linalg.lstsq(system, target, rcond=1e-9)
    if rank < 3:
        return None, float("nan")
    distance = np.linalg.norm(system @ solution - target, axis=1)
    return solution.T, float(np.sqrt(np.mean(distance**2)))


class _Files:
    """The fetched files of a raw folder, with their checksums in SHA256SUMS."""

    def __init__(self, folder: Path, api: AllenApi):
        self.folder, self.api = folder, api
        self.sums_path = folder / "SHA256SUMS"
        with writing(folder / "sections.csv"):
            (folder / "atlas").mkdir(parents=True, exist_ok=True)
        self.sums: dict[str, str] = {}
        if self.sums_path.is_file():
            for line in self.sums_path.read_text(encoding="utf-8").splitlines():
                if match := re.fullmatch(r"([0-9a-f]{64})  (.+)", line):
                    self.sums[match[2]] = match[1]
        self.seen: set[str] = set()

    def get(self, url: str, name: str, check: Callable[[Path], None]) -> None:
        """Fetch a file, unless it is there as it was fetched."""
        if name in self.seen:
            return
        path = self.folder / name
        whole = path.is_file() and file_sha256(path)
        if whole and whole != self.sums.get(name) and not is_own(path):
            raise UserError(
                f"{path}: not as it was fetched, or not fetched at all. It is kept: move it away "
                "to fetch it again, or keep your own files in another folder."
            )
        again = {"retries": self.api.retries, "wait": self.api.wait}
        if fetch(url, path, progress=False, check=check, **again) or name not in self.sums:
            self.sums[name] = file_sha256(path)
            lines = [f"{checksum}  {name}\n" for name, checksum in sorted(self.sums.items())]
            replace_own_text(self.sums_path, "".join(lines))
        self.seen.add(name)


def _drawn(label: Mapping[str, Any]) -> bool:
    """Whether a group of drawings is an atlas (and not, for example, hot spots)."""
    return str(label.get("name", "")).lower().startswith("atlas")


def _check_jpeg(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(80)
        file.seek(max(0, path.stat().st_size - 64))
        tail = file.read()
    if not head.startswith(b"\xff\xd8\xff"):
        raise UserError(f"not a JPEG picture; it begins with {head!r}")
    if b"\xff\xd9" not in tail:
        raise UserError("a JPEG picture that is cut short")


def _check_svg(path: Path) -> None:
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except xml.etree.ElementTree.ParseError as error:
        raise UserError(f"not an SVG drawing ({error})") from error
    if not root.tag.endswith("svg"):
        raise UserError(f"not an SVG drawing; it is <{root.tag}>")


def _check_graph(path: Path) -> None:
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
        ok = answer["success"] is True and "acronym" in answer["msg"][0]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"not a structure graph ({error!r})") from error
    if not ok:
        raise UserError("not a structure graph")
