"""Drawings of atlases as masks, against a second rasteriser (Skia)."""

import csv
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from sebre.prepare.allen.svg_atlas import paint, read_drawing, svg_labels
from sebre.prepare.sources.ara_nissl import LAYERS

skia = pytest.importorskip("skia")

PLATES = ("64", "70", "78", "81", "85", "89")
SUBFIELDS = ("CA1_px", "CA2_px", "CA3_px", "DG_px")
FINER = 5
PLACEMENT = ("a11", "a12", "b1", "a21", "a22", "b2")


def svg(body: str, head: str = 'width="40" height="40"') -> str:
    return f'<svg {head} xmlns="http://www.w3.org/2000/svg">{body}</svg>'


def shape(data: str, structure: int = 1, more: str = "") -> str:
    return f'<path structure_id="{structure}" d="{data}" {more}/>'


@pytest.fixture
def draw(tmp_path):
    """Write a drawing and give its labels on 40 x 40 pixels."""

    def labels(text: str, classes: dict[int, int] | None = None, matrix=None) -> np.ndarray:
        path = tmp_path / "drawing.svg"
        path.write_text(text)
        return paint(read_drawing(path), classes or {1: 1, 2: 2}, (40, 40), matrix)

    return labels


def skia_masks(
    text: str, classes: dict[int, int], size: tuple[int, int], matrix: np.ndarray | None = None
) -> dict[int, np.ndarray]:
    """Masks by class id: what Skia draws on top at the centers of the pixels.

    Skia smooths edges; the middle ones of FINER x FINER small pixels show the center.
    """
    ET.register_namespace("", "http://www.w3.org/2000/svg")
    tree = ET.fromstring(text)
    masks = {}
    for class_id in set(classes.values()):
        for element in tree.iter("{http://www.w3.org/2000/svg}path"):
            element.attrib.pop("style", None)
            here = classes.get(int(element.get("structure_id", 0))) == class_id
            element.set("fill", "#ffffff" if here else "#000000")
        dom = skia.SVGDOM.MakeFromStream(skia.MemoryStream(ET.tostring(tree)))
        surface = skia.Surface(FINER * size[1], FINER * size[0])
        with surface as canvas:
            canvas.clear(skia.ColorBLACK)
            canvas.scale(FINER, FINER)
            if matrix is not None:
                back = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))
                canvas.concat(skia.Matrix.MakeAll(*back.ravel().tolist()))
            dom.render(canvas)
        masks[class_id] = surface.toarray()[FINER // 2 :: FINER, FINER // 2 :: FINER, 0] >= 128
    return {class_id: mask for class_id, mask in masks.items() if mask.any()}


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


@pytest.mark.parametrize("plate", PLATES)
def test_real_plates_equal_those_of_skia(data_dir, plate):
    folder = data_dir / "ara_nissl_hippocampus"
    with (folder / "alignment.csv").open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["plate"] == plate)
    matrix = np.array([float(row[name]) for name in PLACEMENT]).reshape(2, 3)
    size = int(row["jpg_height"]), int(row["jpg_width"])
    masks = svg_labels(folder / row["svg"], LAYERS, size, matrix)
    others = skia_masks((folder / row["svg"]).read_text(), LAYERS, size, matrix)
    stated = {i: int(row[name]) for i, name in enumerate(SUBFIELDS, 1) if int(row[name])}
    assert set(masks) == set(stated) == set(others)
    for class_id, mask in masks.items():
        assert iou(mask, others[class_id]) >= 0.99
        assert mask.sum() == pytest.approx(stated[class_id], rel=0.02)


CURVES = {
    "absolute": "M5,5 L35,5 L35,30 H10 V20 Z",
    "relative": "m5,5 l30,0 0,25 h-25 v-10 z",
    "cubic": "M5,20 C5,0 35,0 35,20 S 20,50 5,20z",
    "smooth relative": "m5,20 c0,-20 30,-20 30,0 s -15,30 -30,0z",
    "quadratic": "M5,20 Q20,-10 35,20 T 20,35 Z",
    "smooth quadratic relative": "m5,20 q8,-20 15,0 t 15,0 l0,15 -30,0z",
    "arcs": "M8,20 A12,8 30 1 1 30,25 a5,9 0 0 1 -20,5 Z",
    "circle": "M20,20 m-15,0 a15,15 0 1,0 30,0 a15,15 0 1,0 -30,0",
    "open": "M5,5 L35,5 L35,35",
    "hole": "M5,5h30v30h-30z M12,12v16h16v-16z",
    "same winding": "M5,5h30v30h-30z M12,12h16v16h-16z",
    "crossing itself": "M20,2 L31,36 L3,14 L37,14 L9,36Z",
    "after z without M": "M5,5h10v10h-10z l20,20 0,10 -15,0z",
    "beyond the picture": "M-30,-20 L90,10 L20,75Z",
}


@pytest.mark.parametrize("rule", ["nonzero", "evenodd"])
@pytest.mark.parametrize("name", CURVES)
def test_path_data(draw, name, rule):
    path = shape(CURVES[name], 1, f'fill-rule="{rule}"')
    # Whole numbers would put edges on the centers that are looked at.
    text = svg(f'<g transform="translate(.13 .27)">{path}</g>')
    ours = draw(text)
    assert 100 < np.count_nonzero(ours) < 1600
    assert iou(ours > 0, skia_masks(text, {1: 1}, (40, 40))[1]) >= 0.98


def test_holes_follow_the_fill_rule(draw):
    for name, rule, middle in (
        ("hole", "nonzero", 0),
        ("hole", "evenodd", 0),
        ("same winding", "nonzero", 1),
        ("same winding", "evenodd", 0),
        ("crossing itself", "nonzero", 1),
        ("crossing itself", "evenodd", 0),
    ):
        for more in (f'fill-rule="{rule}"', f'style="fill:#aaa;fill-rule:{rule}"'):
            labels = draw(svg(shape(CURVES[name], 1, more)))
            assert labels[20, 20] == middle, (name, more)
            assert labels.any()


def test_a_pixel_belongs_to_what_covers_its_center(draw):
    labels = draw(svg(shape("M2.4,3.6 H6.4 V8.6 H2.4Z")))
    rows, columns = np.nonzero(labels)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 8, 2, 5)
    assert len(rows) == 5 * 4


def test_neighbors_share_no_pixel_and_leave_none(draw):
    left, right = "M1,1 H20.5 V30 H1Z", "M20.5,1 H39 V30 H20.5Z"
    alone = [draw(svg(shape(data))) > 0 for data in (left, right)]
    assert not (alone[0] & alone[1]).any()
    assert (alone[0] | alone[1])[1:30, 1:39].all()


@pytest.mark.parametrize(
    "transform",
    [
        "translate(5,-3)",
        "rotate(30 20 20)",
        "scale(.5 1.5)",
        "matrix(.8 .3 -.2 .9 4 1)",
        "translate(4) rotate(10) scale(.7)",
    ],
)
def test_nested_transforms(draw, transform):
    inner = f'<g transform="{transform}">{shape(CURVES["cubic"])}</g>'
    text = svg(f'<g transform="translate(1,2)"><g transform="scale(.9)">{inner}</g></g>')
    ours = draw(text)
    assert np.count_nonzero(ours) > 100
    assert iou(ours > 0, skia_masks(text, {1: 1}, (40, 40))[1]) >= 0.97


def test_coordinates_are_the_numbers_of_the_file_unless_it_has_a_viewbox(draw):
    square = shape("M4,4H12V16H4Z")
    plain = draw(svg(square, ""))
    assert plain.sum() == 8 * 12
    for head in ('width="11040" height="8096"', 'width="900px" height="30px"', 'width="50%"'):
        assert (draw(svg(square, head)) == plain).all(), head
    # A window of 20 x 20 units, from (2, 2) on, on 40 x 40 pixels.
    zoomed = draw(svg(square, 'width="40" height="40" viewBox="2 2 20 20"'))
    assert (np.argwhere(zoomed).min(axis=0) == (4, 4)).all()
    assert (np.argwhere(zoomed).max(axis=0) == (27, 19)).all()


def test_a_placement_goes_from_picture_to_drawing(draw):
    matrix = np.array([[2.0, 0, 10], [0, 4.0, 20]])
    labels = draw(svg(shape("M20,40H40V80H20Z")), matrix=matrix)
    expected = np.zeros((40, 40), int)
    expected[5:15, 5:15] = 1
    assert (labels == expected).all()


def test_later_paths_hide_earlier_ones(draw, tmp_path):
    whole, part = "M0,0H20V20H0Z", "M5,5H10V10H5Z"
    assert (draw(svg(shape(whole, 1) + shape(part, 2)))[5:10, 5:10] == 2).all()
    assert (draw(svg(shape(part, 2) + shape(whole, 1))) != 2).all()
    # Structures without a class hide too, and paths without a structure.
    for other in (shape(part, 99), f'<path d="{part}"/>', shape(part, 1).replace('"1"', '"x"')):
        labels = draw(svg(shape(whole, 1) + other))
        assert not labels[5:10, 5:10].any()
        assert np.count_nonzero(labels) == 400 - 25
    masks = svg_labels(tmp_path / "drawing.svg", {1: 300, 7: 4}, (40, 40))
    assert {i: (m.dtype, m.sum()) for i, m in masks.items()} == {300: (np.dtype(bool), 375)}


@pytest.mark.parametrize(
    "more",
    ['fill="none"', 'style="fill:none;stroke:black"', 'display="none"', 'visibility="hidden"'],
)
def test_what_is_not_painted_hides_nothing(draw, more):
    whole, part = shape("M0,0H20V20H0Z"), "M5,5H10V10H5Z"
    for text in (shape(part, 2, more), f"<g {more}>{shape(part, 2)}</g>"):
        assert (draw(svg(whole + text))[:20, :20] == 1).all()


def test_other_shapes_count(draw):
    body = '<rect structure_id="1" x="2" y="3" width="10" height="6"/>'
    body += '<polygon structure_id="2" points="20,20 30,20 30,30 20,30"/>'
    labels = draw(svg(body))
    assert (labels == 1).sum() == 60
    assert (labels == 2).sum() == 100


def test_a_class_beside_the_picture_is_not_there(tmp_path):
    path = tmp_path / "drawing.svg"
    path.write_text(svg(shape("M50,50H60V60H50Z") + shape("M5,5 L10,10") + shape("M3,3")))
    assert svg_labels(path, {1: 1}, (40, 40)) == {}


ENTITY = '<!DOCTYPE svg [<!ENTITY a "M0,0H9V9Z">]>'
BAD = {
    "entities": (ENTITY + svg(shape("&a;")), "<!ENTITY, which is not read"),
    "reuse": (svg(f'<g id="a">{shape("M0,0H9V9Z")}<use href="#a"/></g>'), "<use, which is not"),
    "cut": (svg(shape("M0,0H9V9Z"))[:-20], "not an SVG drawing"),
    "empty": ("", "not an SVG drawing"),
    "no XML": ("GIF89a" * 100, "not an SVG drawing"),
    "other XML": ("<html><body/></html>", "not an SVG drawing|none of its"),
    "bad path data": (svg(shape("M0,0 L9,x 9,9Z")), "not an SVG drawing"),
    "endless": (svg(shape("M0,0 L1e400,9 9,9Z")), "not finite"),
    "no ids": (svg('<path d="M0,0H9V9Z"/>'), "none of its 1 filled shapes has a structure_id"),
    "nothing": (svg(""), "none of its 0 filled shapes"),
}


@pytest.mark.parametrize("name", BAD)
def test_faults_are_named(tmp_path, name):
    text, message = BAD[name]
    path = tmp_path / "drawing.svg"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_drawing(path)
    assert str(error.value).startswith(f"{path}: ")


def test_entities_are_found_in_any_encoding(tmp_path):
    path = tmp_path / "drawing.svg"
    path.write_bytes((ENTITY + svg(shape("&a;"))).encode("utf-16"))
    with pytest.raises(ValueError, match="<!ENTITY"):
        read_drawing(path)


def test_missing_and_huge_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_drawing(tmp_path / "none.svg")
    path = Path(tmp_path / "huge.svg")
    with path.open("wb") as file:
        file.truncate(60_000_000)  # a hole, which takes no place on the disk
    with pytest.raises(ValueError, match="60 MB"):
        read_drawing(path)
