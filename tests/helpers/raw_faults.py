"""Faults of raw folders: of pictures, atlas plates, rules and options."""

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from plates import write_table
from raw_samples import GREEN, drawn_labels, painted, section, write
from whole_folders import colour_code


@dataclass(frozen=True)
class Case:
    """A fault of a raw folder.

    Attributes:
        source: whose folder it is.
        damage: brings the fault into a folder without faults.
        at: what the message must name, in the raw folder; None if the fault is in no file.
        says: further parts of the message.
        options: further arguments of the command; RAW stands for the raw folder.
    """

    source: str
    damage: Callable[[Path], None]
    at: str | None
    says: tuple[str, ...]
    options: tuple[str, ...]


CASES: dict[str, Case] = {}


def case(source: str, at: str | None, *says: str, options: tuple[str, ...] = ()) -> Callable:
    def add(damage: Callable[[Path], None]) -> Callable[[Path], None]:
        assert damage.__name__ not in CASES
        CASES[damage.__name__] = Case(source, damage, at, says, options)
        return damage

    return add


def cut(path: Path, share: float = 0.5) -> None:
    """Cut a file short, as a broken download does."""
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])


def flip_bytes(path: Path, first: int | None = None, count: int = 8) -> None:
    """Change bytes of a file; those in its middle, if not told which."""
    content = bytearray(path.read_bytes())
    first = len(content) // 2 if first is None else first
    for i in range(first, first + count):
        content[i] ^= 0xFF
    path.write_bytes(bytes(content))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def change_plate(raw: Path, **cells: str) -> None:
    """Change cells of plate 76 in alignment.csv."""
    with (raw / "alignment.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    next(row for row in rows if row["plate"] == "76").update(cells)
    write_table(raw, rows)


# Folders of pictures.


@case("colour-code", "images/slide_3.jpg", "cannot read this picture", "Replace the file")
def truncated_jpeg(raw):
    path = write(raw / "images" / "slide_3.jpg", section(3))
    (raw / "images" / "slide_3.png").unlink()
    cut(path)


@case("colour-code", "overlays/drawn_3.png", "cannot read this picture")
def damaged_png(raw):
    flip_bytes(raw / "overlays" / "drawn_3.png")


@case("colour-code", "images/slide_3.tif", "cannot read this picture")
def truncated_tiff(raw):
    path = raw / "images" / "slide_3.tif"
    tifffile.imwrite(path, section(3), photometric="rgb", compression="zlib", rowsperstrip=8)
    (raw / "images" / "slide_3.png").unlink()
    cut(path, 0.8)


@case("colour-code", "images/slide_2.png", "cannot read this picture")
def empty_file(raw):
    (raw / "images" / "slide_2.png").write_bytes(b"")


@case("colour-code", "images/slide_2.tif", "holds 4 pages", "--z max")
def stack_of_pages(raw):
    (raw / "images" / "slide_2.png").unlink()
    stack = np.stack([section(2)[..., 0]] * 4)
    tifffile.imwrite(raw / "images" / "slide_2.tif", stack, photometric="minisblack")


@case("colour-code", "overlays/drawn_2.png", "30 x 40 px", "has 60 x 80", "the same size")
def overlay_of_another_size(raw):
    write(raw / "overlays" / "drawn_2.png", painted(drawn_labels())[::2, ::2])


@case("colour-code", "images/slide_2.png", "again_2.png has the number 2 too", "Keep one")
def two_sections_with_one_number(raw):
    write(raw / "images" / "again_2.png", section(2))


@case("colour-code", "images/slide_2.png", "nothing in", "overlays has its number 2")
def section_without_overlay(raw):
    (raw / "overlays" / "drawn_2.png").unlink()


@case("colour-code", "overlays/drawn_2.png", "nothing in", "images has its number 2")
def overlay_without_section(raw):
    (raw / "images" / "slide_2.png").unlink()


@case(
    "colour-code", "images/notes.txt", "only images named <anything>_<number>", "(.png, .apng, .jpg"
)
def no_image(raw):
    (raw / "images" / "notes.txt").write_text("brain 7: torn")


@case("colour-code", "images", "no such folder", "images/ and overlays/")
def empty_folder(raw):
    shutil.rmtree(raw)
    raw.mkdir()


@case("colour-code", "images", "holds no pictures <anything>_<number>")
def empty_folders(raw):
    for name in ("images", "overlays"):
        shutil.rmtree(raw / name)
        (raw / name).mkdir()


@case("colour-code", "", "no such folder of raw data")
def no_folder(raw):
    shutil.rmtree(raw)


@case("colour-code", "overlays/drawn_3.png", "no pixel has the color of a region", "(10, 160, 20)")
def colors_that_match_nothing(raw):
    other = painted(drawn_labels(), ((255, 255, 255), GREEN, GREEN))
    write(raw / "overlays" / "drawn_3.png", other)


@case("colour-code", "regions.csv", "column g, b is missing", "id,name,acronym,r,g,b")
def regions_without_columns(raw):
    (raw / "regions.csv").write_text("region,R\nouter,200\n")


@case("colour-code", "regions.csv", "color (200, 30, 40) is used twice")
def a_color_twice(raw):
    (raw / "regions.csv").write_text("id,region,R,G,B\n1,outer,200,30,40\n2,inner,200,30,40\n")


@case("colour-code", "regions.csv", "line 3 (inner)", "'blue'", "must be whole numbers")
def a_color_in_words(raw):
    (raw / "regions.csv").write_text("id,region,R,G,B\n1,outer,200,30,40\n2,inner,0,0,blue\n")


@case("colour-code", "regions.csv", "not a UTF-8 text file", "Save it as CSV")
def regions_not_utf_8(raw):
    (raw / "regions.csv").write_bytes("region,R,G,B\nHirnhälfte,1,2,3\n".encode("latin-1"))


@case("colour-code", "sections.csv", "not a UTF-8 CSV file", "Save it as CSV")
def sections_not_utf_8(raw):
    (raw / "sections.csv").write_bytes(b"section,marker\n1,Nissl \xb5m\n")


@case("colour-code", "sections.csv", "no row for section 3")
def sections_without_a_row(raw):
    (raw / "sections.csv").write_text("section,marker\n1,Nissl\n2,Nissl\n")


@case("labels", "labels/drawn_2.png", "the id 7 is not in", "regions.csv, which has 1, 2")
def label_without_a_region(raw):
    drawn = drawn_labels()
    drawn[0, 0] = 7
    write(raw / "labels" / "drawn_2.png", drawn)


@case("labels", "labels/drawn_2.png", "has colors; wanted a label map", "colour-code")
def label_map_in_colors(raw):
    write(raw / "labels" / "drawn_2.png", painted(drawn_labels()))


@case("labels", "labels/drawn_2.jpg", "JPEG does not keep exact values", "as PNG")
def label_map_as_jpeg(raw):
    write(raw / "labels" / "drawn_2.jpg", drawn_labels())
    (raw / "labels" / "drawn_2.png").unlink()


@case("labels", "regions.csv", "found the columns region, r, g, b", "wanted one more, id")
def regions_without_ids(raw):
    (raw / "regions.csv").write_text("region,R,G,B\nouter,200,30,40\ninner,20,60,220\n")


@case("labels", "regions.csv", "3 rows with values, but 2 with names")
def a_value_without_a_name(raw):
    (raw / "regions.csv").write_text(
        "region,R,G,B,value\nouter,200,30,40,1\ninner,20,60,220,2\n,9,9,9,3\n"
    )


@case("sebre-figures", "section_1/cortex.png", "30 x 40 px", "section_1.png has 60 x 80")
def mask_of_another_size(raw):
    write(raw / "section_1" / "cortex.png", drawn_labels()[::2, ::2])


@case("sebre-figures", "section_1/tissue.png", "is not a mask of this source", "cortex")
def mask_of_no_region(raw):
    write(raw / "section_1" / "tissue.png", drawn_labels())


@case("labels", "", "no section of 3 shows a region", "or of other regions than outer, inner")
def label_maps_of_background(raw):
    for path in (raw / "labels").iterdir():
        write(path, drawn_labels() * 0)


# Atlas plates and their drawings.


@case("ara-nissl", "svg/7600.svg", "<!ENTITY, which is not read", "plain SVG")
def svg_with_entities(raw):
    entity = '<!DOCTYPE svg [<!ENTITY a "aaaaaaaa">]>'
    path = raw / "svg" / "7600.svg"
    path.write_text(entity + path.read_text())


@case("ara-nissl", "svg/7600.svg", "not an SVG drawing", "Fetch it again")
def svg_cut_off(raw):
    cut(raw / "svg" / "7600.svg", 0.9)


@case("ara-nissl", "alignment.csv", "none of its plates shows CA1", "64-93")
def svg_without_structures(raw):
    for path in (raw / "svg").iterdir():
        path.write_text(path.read_text().replace("structure_id", "id"))


@case("ara-nissl", "alignment.csv", "column svg, a11", "is missing")
def alignment_without_columns(raw):
    (raw / "alignment.csv").write_text("plate,jpg\n71,nissl/71.jpg\n")


@case("ara-nissl", "alignment.csv", "plate 76: not a number", "'one'")
def alignment_without_a_number(raw):
    change_plate(raw, a11="one")


@case("ara-nissl", "svg/none.svg", "no such file; it belongs to plate 76 in alignment.csv")
def alignment_names_a_missing_file(raw):
    change_plate(raw, svg="svg/none.svg")


@case("ara-nissl", "alignment.csv", "plate 71 is listed twice", "Remove one")
def alignment_with_a_plate_twice(raw):
    change_plate(raw, plate="71")


@case("ara-nissl", "nissl/76.jpg", "32 x 64 pixels", "on 64 x 64")
def jpeg_of_another_size(raw):
    write(raw / "nissl" / "76.jpg", np.zeros((64, 32), np.uint8))


@case("ara-nissl", "nissl/76.jpg", "cannot read this picture", "Fetch it again")
def damaged_picture_under_another_name(raw):
    path = raw / "nissl" / "76.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    Image.fromarray(noise).save(path, format="PNG")
    flip_bytes(path)


@case("ara-nissl", "", "neither alignment.csv nor atlas_index.csv", "--download")
def no_table_of_plates(raw):
    (raw / "alignment.csv").unlink()


# Rules and options.


@case("colour-code", None, "'half' is not known", "section:1/3", options=("--split", "half"))
def no_split_rule(raw):
    pass


@case(
    "colour-code",
    None,
    "no section has the marker VGAT",
    "GAD1, Nissl",
    options=("--split", "marker=VGAT"),
)
def split_by_a_marker_that_is_not_there(raw):
    pass


@case("colour-code", None, "holds out 3 of 3 section(s)", options=("--split", "section:3"))
def split_that_leaves_none(raw):
    pass


@case(
    "labels",
    None,
    "labels does not take --gene",
    "--downsample, --plane",
    options=("--gene", "Gad1"),
)
def option_of_another_source(raw):
    pass


@case(
    "labels", "images/slide_1.png", "divided by 99 nothing is left", options=("--downsample", "99")
)
def downsampled_to_nothing(raw):
    pass


@case("labels", "none.csv", "no such file", options=("--regions", "RAW/none.csv"))
def no_table_of_regions(raw):
    pass


@case("allen-ish", "sections.csv", "no such file", "--download", "sebre prepare colour-code")
def nothing_downloaded(raw):
    colour_code(raw)
    (raw / "sections.csv").unlink()
