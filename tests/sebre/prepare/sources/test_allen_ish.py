"""Allen sections: found, fetched and placed, against a local server that speaks as documented."""

import csv
import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from allen_server import (
    ATLASES,
    CLASS_OF,
    DOWNSAMPLE,
    HEIGHT,
    PAINTED,
    TO_ATLAS,
    TREE,
    WIDTH,
    Allen,
    envelope,
    jpeg,
    node,
)
from local_server import LocalServer, Reply

from mrcnn.errors import UserError
from mrcnn.io.download import DownloadError
from sebre.data.regions import MOUSE
from sebre.prepare.allen.api import ADULT, AllenApi
from sebre.prepare.allen.image_download import MATRIX, Wanted, download, fit_affine
from sebre.prepare.allen.structure_tree import read_tree
from sebre.prepare.build import build
from sebre.prepare.raw_download import download_source
from sebre.prepare.sources import allen_ish


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as running:
        Allen(running)
        yield running


@pytest.fixture
def get(server, tmp_path):
    """Download into tmp_path/raw without waiting."""

    def run(gene="Gad1", age="P14", **options) -> Path:
        raw = tmp_path / "raw"
        api = AllenApi(server.address, wait=lambda s: None)
        how = {key: options.pop(key) for key in ("drawings", "atlases") if key in options}
        wanted = Wanted(gene, age, **{"downsample": DOWNSAMPLE} | options)
        download(raw, wanted, progress=False, api=api, **how)
        return raw

    return run


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def paths_asked(server: LocalServer, what: str) -> list[str]:
    return [path for path, _ in server.requests if f"/{what}" in path]


def test_downloads_sections_drawings_and_tree(get, server):
    raw = get("gad1, VGAT", plane="sagittal")
    rows = table(raw / "sections.csv")
    assert [row["section_image_id"] for row in rows] == [
        *("1010", "1011", "1012", "2010", "2011", "2012", "2020", "2021", "2022")
    ]
    assert rows[3] == {
        "number": "3",
        "file": "images/Slc32a1_P14_201_3.jpg",
        "section_image_id": "2010",
        "section_number": "50",
        "data_set_id": "201",
        "subject": "7",
        "product": "DevMouse",
        "marker": "Slc32a1",
        "age": "P14",
        "plane": "sagittal",
        "width": "640",
        "height": "480",
        "resolution_um": "1.047",
        "downsample": "2",
    }
    for row in rows:
        assert (raw / row["file"]).read_bytes() == jpeg(int(row["section_image_id"]))
    assert all("downsample=2" in path for path in paths_asked(server, "section_image_download"))
    assert paths_asked(server, "svg_download")[0].endswith("svg_download/9000?groups=31")

    sums = (raw / "SHA256SUMS").read_text().splitlines()
    assert len(sums) == 9 + 3 + 1
    for line in sums:
        checksum, name = line.split("  ")
        assert hashlib.sha256((raw / name).read_bytes()).hexdigest() == checksum
    assert not list(raw.rglob("*.part"))


def test_places_sections(get):
    raw = get()
    straight, aslant, lost = table(raw / "atlas" / "atlas.csv")
    wanted = TO_ATLAS @ np.diag([2**DOWNSAMPLE, 2**DOWNSAMPLE, 1])
    for row, points in ((straight, "9"), (aslant, "6")):
        matrix = np.array([float(row[key]) for key in MATRIX]).reshape(2, 3)
        np.testing.assert_allclose(matrix, wanted, rtol=1e-6, atol=1e-4)
        assert row["points"] == points
        assert float(row["residual_px"]) < 1e-3
    assert [straight["svg"], aslant["svg"], lost["svg"]] == ["atlas/9000.svg", "atlas/9001.svg", ""]
    assert straight["structures"] == "atlas/structures_17.json"


def test_fit_affine():
    points = np.array([[0, 0], [10, 0], [0, 10], [10, 10]], float)
    matrix, residual = fit_affine(points, points * [2, 3] + [5, 6])
    np.testing.assert_allclose(matrix, [[2, 0, 5], [0, 3, 6]], atol=1e-9)
    assert residual < 1e-9
    bent = points + [[1, 0], [-1, 0], [-1, 0], [1, 0]]
    assert fit_affine(points, bent)[1] == pytest.approx(1.0)
    assert fit_affine(points[:, :1] * [1, 1], points)[0] is None


def test_masks_follow_the_drawing(get, caplog):
    with caplog.at_level(logging.WARNING):
        raw_set = allen_ish.read_source(get())
    assert "1 sections have no place" in caplog.text
    assert "experimental" in caplog.text and "never run against the live service" in caplog.text
    assert len(raw_set.sections) == 2
    assert raw_set.regions is MOUSE
    assert raw_set.plane == "sagittal"
    assert raw_set.pixel_size_um == pytest.approx(1.047 * 4)
    assert raw_set.split == "section:1/3"
    assert "against the live service" in " ".join(raw_set.card.split())
    assert raw_set.sections[0].facts == {
        "subject": "7",
        "marker": "Gad1",
        "age": "P14",
        "data_set_id": "101",
        "section_image_id": "1010",
        "plate": "50",
        "atlas_image_id": "9000",
    }

    for section in raw_set.sections:
        image, masks = section.read()
        assert image.shape == (HEIGHT >> DOWNSAMPLE, WIDTH >> DOWNSAMPLE, 3)
        assert image.dtype == np.uint8
        assert sorted(masks) == list(range(1, 9))
        # Where the center of each pixel lies in the drawing, and what is on top there.
        v, u = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
        x, y = np.einsum("ij,jhw->ihw", TO_ATLAS[:, :2], np.stack([u, v]) * 2**DOWNSAMPLE)
        x, y = x + TO_ATLAS[0, 2], y + TO_ATLAS[1, 2]
        wanted = np.zeros(image.shape[:2], int)
        for number, (x0, y0, x1, y1) in PAINTED.items():
            wanted[(x > x0) & (x < x1) & (y > y0) & (y < y1)] = CLASS_OF.get(number, 0)
        found = sum(class_id * mask.astype(int) for class_id, mask in masks.items())
        assert np.mean(found != wanted) < 0.002
        for class_id, mask in masks.items():
            assert mask.sum() == pytest.approx((wanted == class_id).sum(), rel=0.05)


def test_builds_a_data_set(get, tmp_path):
    raw_set = allen_ish.read_source(get("Gad1,Slc32a1,Nissl", ["P14"]))
    assert raw_set.split == "marker=Gad1"
    build(raw_set, tmp_path / "out")
    rows = table(tmp_path / "out" / "sections.csv")
    assert {row["marker"] for row in rows if row["subset"] == "val"} == {"Gad1"}
    assert {row["marker"] for row in rows if row["subset"] == "train"} == {"Slc32a1", "Nissl"}
    assert "11 sections of 3 mouse brain(s)" in (tmp_path / "out" / "README.md").read_text()
    facts = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert facts["processing"]["structures"]["structures_17.json"]["cortex"] == ["DPall"]


def test_a_second_call_fetches_what_is_missing_or_damaged(get, server):
    raw = get()
    before = {p: p.read_bytes() for p in raw.rglob("[!.]*") if p.is_file()}
    server.requests.clear()
    get()
    # The section without a place is asked for again.
    known = ("query.json", "image_to_atlas/1012")
    assert all(any(k in path for k in known) for path, _ in server.requests)

    edited = raw / "images/Gad1_P14_101_0.jpg"
    edited.write_bytes(jpeg(0))
    with pytest.raises(UserError, match="Gad1_P14_101_0.jpg: not as it was fetched"):
        get()
    assert edited.read_bytes() == jpeg(0)
    edited.unlink()
    (raw / "images/Gad1_P14_101_1.jpg").unlink()
    (raw / "atlas/9001.svg").unlink()
    server.requests.clear()
    get()
    fetched = [path.rpartition("/")[2] for path in paths_asked(server, "") if "download" in path]
    assert fetched == ["1010?downsample=2", "1011?downsample=2", "9001?groups=31"]
    assert {p: p.read_bytes() for p in raw.rglob("[!.]*") if p.is_file()} == before


def test_a_broken_line_is_not_taken_for_a_section_without_a_place(get, server, tmp_path):
    answers = server.routes["/api/v2/image_to_atlas/1010.json"]
    server.routes["/api/v2/image_to_atlas/1010.json"] = Reply(drop=True)
    with pytest.raises(DownloadError, match="image_to_atlas/1010"):
        get()
    assert not (tmp_path / "raw" / "atlas" / "atlas.csv").exists()
    server.routes["/api/v2/image_to_atlas/1010.json"] = answers
    assert table(get() / "atlas" / "atlas.csv")[0]["points"] == "9"


def test_goes_on_after_a_break(get, server):
    complete = server.routes["/api/v2/section_image_download/1011"]
    server.routes["/api/v2/section_image_download/1011"] = Reply(status=404)
    with pytest.raises(DownloadError, match="1011.*404"):
        get()
    server.routes["/api/v2/section_image_download/1011"] = complete
    svg_there = server.routes["/api/v2/svg_download/9001"]
    server.routes["/api/v2/svg_download/9001"] = Reply(status=404)
    with pytest.raises(DownloadError, match="9001.*404"):
        get()
    server.routes["/api/v2/svg_download/9001"] = svg_there
    raw = get()
    assert len(paths_asked(server, "section_image_download/1010")) == 1
    assert len(paths_asked(server, "image_to_atlas/1010")) == 9
    assert len(allen_ish.read_source(raw).sections) == 2


def test_other_genes_and_ages_are_added(get):
    get()
    raw = get("Slc32a1", "P14", experiments=1)
    get("Gad1", "P4")
    rows = table(raw / "sections.csv")
    assert [row["number"] for row in rows] == [str(k) for k in range(9)]
    assert [row["data_set_id"] for row in rows] == ["101"] * 3 + ["201"] * 3 + ["102"] * 3
    # Neighbors on one animal.
    assert [row["subject"] for row in rows] == ["7"] * 6 + ["8"] * 3
    assert {row["atlas_id"] for row in table(raw / "atlas" / "atlas.csv")} == {"3001", "3002"}
    assert len(allen_ish.read_source(raw).sections) == 8
    assert len(allen_ish.read_source(raw, gene="vgat", age="P14").sections) == 3
    assert len(allen_ish.read_source(raw, age=["P4"], plane="sagittal").sections) == 3


def test_the_adult_atlas(get, server, tmp_path):
    paths = (
        *(node(262, "RT"), node(549, "TH"), node(315, "Isocortex"), node(1089, "HPF")),
        *(node(477, "STR"), node(313, "MB"), node(512, "CB"), node(698, "OLF")),
    )
    adult = node(997, "root", "FFFFFF", *paths, node(1014, "GENv"))
    server.routes["/api/v2/structure_graph_download/1.json"] = envelope([adult])
    raw = get("Gad1", "P56", plane="coronal", product=ADULT)
    assert {row["atlas_id"] for row in table(raw / "atlas" / "atlas.csv")} == {"1"}
    raw_set = allen_ish.read_source(raw)
    assert raw_set.plane == "coronal"
    (structures,) = raw_set.processing["structures"].values()
    assert structures["prethalamus"] == ["RT", "GENv", "ZI"]


def test_the_command_line_downloads_with_its_options(server, tmp_path, monkeypatch):
    monkeypatch.setattr(AllenApi.__init__, "__defaults__", (server.address, 0, None, 500))
    options = {"gene": "VGAT", "age": "P14", "downsample": 2, "regions": "own.csv"}
    download_source("allen-ish", tmp_path / "raw", options)
    assert {row["marker"] for row in table(tmp_path / "raw" / "sections.csv")} == {"Slc32a1"}
    assert len(allen_ish.read_source(tmp_path / "raw", downsample=2).sections) == 6
    with pytest.raises(ValueError, match="no section with downsample 4. There are: 2"):
        allen_ish.read_source(tmp_path / "raw", downsample=4)


def test_own_regions(get, tmp_path):
    raw = get()
    path = tmp_path / "own.csv"
    path.write_text(
        "name,r,g,b,structures\nlayer,1,2,3,DPall-m\npallium,4,5,6,DPall MPall\n\nrest,7,8,9,TelA\n"
    )
    raw_set = allen_ish.read_source(raw, regions=path)
    assert raw_set.regions.names == ["layer", "pallium", "rest"]
    _, masks = raw_set.sections[0].read()
    assert sorted(masks) == [1, 2, 3]
    path.write_text("name,r,g,b,structures\nlayer,1,2,3,DPal MPall\n")
    with pytest.raises(ValueError, match="no structure DPal for the region layer.*TelA"):
        allen_ish.read_source(raw, regions=path)
    path.write_text("name,r,g,b\nlayer,1,2,3\n")
    with pytest.raises(ValueError, match="own.csv: wanted a column `structures`"):
        allen_ish.read_source(raw, regions=path)


def test_structures_are_found_by_color_where_acronyms_differ(get, server):
    text = json.dumps(TREE).replace("DPall", "DorsalPallium").replace("FF4865", "FF4866")
    renamed = json.loads(text.replace('"MPall"', '"MedialPallium"'))
    server.routes["/api/v2/structure_graph_download/17.json"] = envelope([renamed])
    raw = get()
    assert sorted(allen_ish.read_source(raw).sections[0].read()[1]) == list(range(1, 9))
    other = json.loads(text.replace("F2193C", "000000").replace("F3193C", "000000"))
    (raw / "atlas/structures_17.json").write_text(json.dumps({"success": True, "msg": [other]}))
    with pytest.raises(ValueError, match="no structure DPall for the region cortex.*--regions"):
        allen_ish.read_source(raw)


def test_reads_page_after_page(server):
    api = AllenApi(server.address, page=2)
    assert [row["id"] for row in api.query("Atlas", include=ATLAS_INCLUDE)] == list(ATLASES)
    assert len(server.requests) == 3


ATLAS_INCLUDE = "structure_graph(ontology),graphic_group_labels"


def test_errors_that_pass_do_not_matter(get, server):
    for path, route in list(server.routes.items()):
        if isinstance(route, Reply):
            troubles = [Reply(status=500), Reply(drop=True), Reply(route.body, cut=9)]
            server.routes[path] = [*troubles, route]
    assert len(allen_ish.read_source(get()).sections) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gene": "Gad9"}, "'Gad9': nothing of it in DevMouse.*Gad1, Gad2"),
        ({"gene": "Xyz"}, "'Xyz': nothing of it in DevMouse"),
        ({"gene": "x'],[id$gt0"}, "wanted an acronym"),
        ({"gene": " , "}, "no gene is given"),
        ({"age": "P13"}, "no sagittal sections at P13. There are: P14 coronal, P14 sagittal, P4"),
        ({"age": ["P14", "P4"], "plane": "coronal"}, "no coronal sections at P4"),
        ({"downsample": 99}, "downsample is 99"),
        ({"experiments": 0}, "experiments is 0"),
        ({"product": "Rat"}, "'Rat'.*DevMouse"),
    ],
)
def test_what_is_not_there(get, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        get(**arguments)
    assert not (tmp_path / "raw").exists()


def test_no_atlas_of_an_age(get, server, monkeypatch):
    monkeypatch.delitem(ATLASES, 3001)
    with pytest.raises(
        ValueError, match="P14 sagittal .DevMouse.: 0 fit.*3002 Developing Mouse, P4"
    ):
        get()
    raw = get(atlases={"P14": 3002})
    get()  # what has its place keeps it
    assert {row["atlas_id"] for row in table(raw / "atlas" / "atlas.csv")} == {"3002"}
    monkeypatch.setitem(ATLASES, 3004, ATLASES[3002])
    with pytest.raises(ValueError, match="2 fit.*3002.*3004"):
        get("Gad1", "P4")


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(b'{"success": true, "msg": ['), "not JSON"),
        (Reply(b"<html>Service busy</html>"), "not JSON.*Service busy"),
        (Reply(b"[]"), "no 'msg'"),
        (envelope("RMA error: bad criteria", success=False), "refused.*bad criteria"),
        (envelope("text"), "no list of rows"),
        (envelope([{"id": 3}]), "SectionDataSet 3: the service gave no specimen"),
        (Reply(status=404), "HTTP 404"),
        (Reply(status=503), "HTTP 503.*5 tries"),
    ],
)
def test_answers_that_are_not_as_documented(get, server, reply, message):
    server.routes["/api/v2/data/query.json"] = reply
    with pytest.raises(DownloadError, match=message) as caught:
        get()
    assert server.address in str(caught.value) or "SectionDataSet" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "reply", "message"),
    [
        ("section_image_download/1010", Reply(b"<html>busy</html>"), "not a JPEG.*<html>busy"),
        ("section_image_download/1010", Reply(jpeg(1)[:300]), "cut short"),
        ("svg_download/9000", Reply(b"<html>busy</html>"), "not an SVG drawing"),
        ("svg_download/9000", Reply(b"busy"), "not an SVG drawing"),
        (
            "structure_graph_download/17.json",
            Reply(b'{"success": false, "msg": "no"}'),
            "not a str",
        ),
        ("structure_graph_download/17.json", Reply(b"<html>"), "not a structure graph"),
    ],
)
def test_other_content_than_asked_for(get, server, tmp_path, path, reply, message):
    server.routes[f"/api/v2/{path}"] = reply
    with pytest.raises(DownloadError, match=f"{path}.*{message}.*save it as"):
        get()
    assert not list((tmp_path / "raw").rglob("*.part"))
    assert path.split("/")[1] not in {p.stem for p in (tmp_path / "raw" / "atlas").glob("*")}


def test_no_service(tmp_path):
    with pytest.raises(DownloadError, match="http://127.0.0.1:9/api/v2/data/query.json.*refused"):
        download(tmp_path / "raw", api=AllenApi("http://127.0.0.1:9", 1, lambda s: None))


def test_a_folder_that_cannot_be_used(get, tmp_path):
    (tmp_path / "raw").write_text("a file")
    with pytest.raises(OSError, match="sections.csv: cannot be written.*another folder"):
        get()
    (tmp_path / "raw").unlink()
    (tmp_path / "raw" / "images" / "Gad1_P14_101_0.jpg").mkdir(parents=True)
    with pytest.raises(UserError, match="101_0.jpg: is a folder"):
        get()


def test_another_downsample_in_the_same_folder(get):
    get()
    with pytest.raises(ValueError, match="have downsample 2, wanted 3"):
        get(downsample=3)


def test_what_reading_a_folder_refuses(get, tmp_path):
    with pytest.raises(FileNotFoundError, match="sections.csv: no such file.*--download"):
        allen_ish.read_source(tmp_path)
    raw = get(drawings=False)
    with pytest.raises(FileNotFoundError, match="atlas.csv.*--download.*overlays.*colour-code"):
        allen_ish.read_source(raw)
    (raw / "overlays").mkdir()
    with pytest.raises(FileNotFoundError, match="overlays is there.*colour-code --raw"):
        allen_ish.read_source(raw)
    get()
    with pytest.raises(ValueError, match="no section with marker Gad2. There are: Gad1"):
        allen_ish.read_source(raw, gene="Gad2")
    places = raw / "atlas" / "atlas.csv"
    text = places.read_text()
    places.write_text(text.replace("4.4,-0.2,30,", "0,0,30,").replace("0.16,3.8,", "0,0,"))
    with pytest.raises(ValueError, match="matrix of section 0 cannot be inverted"):
        allen_ish.read_source(raw)
    places.write_text(text.replace("a11,", "b11,"))
    with pytest.raises(ValueError, match="atlas.csv: column a11 is missing"):
        allen_ish.read_source(raw)
    places.write_text(text[: text.index("1011")] + "1011,3\n")
    with pytest.raises(ValueError, match="line 3: the row is not whole"):
        allen_ish.read_source(raw)
    places.write_text(text)
    (raw / "images/Gad1_P14_101_0.jpg").write_bytes(b"no picture")
    section = allen_ish.read_source(raw).sections[0]
    with pytest.raises(ValueError, match="101_0.jpg: cannot read this picture"):
        section.read()
    (raw / "images/Gad1_P14_101_0.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="101_0.jpg: no such file.*--download"):
        allen_ish.read_source(raw)


@pytest.mark.parametrize("text", ["", "{}", '{"msg": []}', '{"msg": [{"id": 1}]}', '"a"'])
def test_a_damaged_tree(tmp_path, text):
    path = tmp_path / "structures_17.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="structures_17.json.*download it again"):
        read_tree(path)
