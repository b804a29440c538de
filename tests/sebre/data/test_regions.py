"""Region tables and their CSV reader."""

import itertools

import numpy as np
import pytest
from colorspacious import cspace_convert
from skimage.color import deltaE_ciede2000, rgb2lab

from sebre.data.regions import (
    HIPPOCAMPUS,
    MOUSE,
    SLICEMAP,
    SUBCORTICAL,
    Region,
    RegionSet,
    read_regions,
)


def test_mouse_ids_are_those_of_the_released_code():
    assert MOUSE.names == [
        "cortex",
        "hippocampus",
        "basal_ganglia",
        "thalamus",
        "prethalamus",
        "midbrain",
        "hindbrain",
        "telencephalic_vesicle",
    ]
    assert MOUSE[7].code == (238, 93, 255)
    assert SLICEMAP[1].code == SLICEMAP[1].color
    assert MOUSE.num_classes == 9


def test_slicemap_ids():
    assert {region.name: region.id for region in SLICEMAP} == {
        "cortex": 1,
        "hippocampus": 2,
        "thalamus": 3,
        "midbrain": 4,
        "brainstem": 5,
        "cerebellum": 6,
    }


def test_other_sets_have_the_sizes_of_the_paper():
    assert HIPPOCAMPUS.names == ["CA1", "CA2", "CA3", "DG"]
    assert len(SUBCORTICAL) == 8


def seen_with(rgb, kind):
    """CIE L*a*b* of sRGB colors as eyes without one kind of cone see them; None for all three."""
    values = np.array(rgb) / 255
    if kind is not None:
        eyes = {"name": "sRGB1+CVD", "cvd_type": kind, "severity": 100}
        values = np.clip(cspace_convert(values, eyes, "sRGB1"), 0, 1)
    return rgb2lab(values)


def least_difference(rgb, kind):
    lab = seen_with(rgb, kind)
    return min(deltaE_ciede2000(a, b) for a, b in itertools.combinations(lab, 2))


@pytest.mark.parametrize("kind", [None, "protanomaly", "deuteranomaly", "tritanomaly"])
@pytest.mark.parametrize(
    "regions", [MOUSE, SUBCORTICAL, HIPPOCAMPUS, SLICEMAP], ids=lambda r: r.name
)
def test_colors_are_told_apart_with_any_color_vision(regions, kind):
    # CIEDE2000: 2 is just noticeable side by side, 10 is another color at a glance.
    assert least_difference([region.color for region in regions], kind) > 10


def test_the_paints_of_the_released_code_are_not_told_apart():
    # Why pictures have other colors.
    assert least_difference([region.code for region in MOUSE], "deuteranomaly") < 5


def test_unknown_id_names_the_set():
    with pytest.raises(KeyError, match=r"9 is not in region set 'mouse' \(1-8\)"):
        MOUSE[9]
    with pytest.raises(KeyError):
        MOUSE[0]


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ((Region(1, "a", "a", (0, 0, 0)), Region(3, "b", "b", (1, 0, 0))), "without a gap"),
        ((), "without a gap"),
        ((Region(1, "a", "a", (0, 0, 0)), Region(2, "a", "b", (1, 0, 0))), "'a' is used twice"),
        ((Region(1, "a", "a", (0, 0, 0)), Region(2, "b", "b", (0, 0, 0))), "color .* is used"),
        ((Region(1, "a", "a", (0, 300, 0)),), "from 0 to 255"),
        ((Region(1, "layer 2/3", "a", (0, 0, 0)),), "'layer 2/3' of region 1 .* 'layer_2-3'"),
        ((Region(1, "", "a", (0, 0, 0)),), "'' of region 1 cannot be a part of file names"),
    ],
)
def test_tables_that_cannot_work_are_refused(regions, message):
    with pytest.raises(ValueError, match=message):
        RegionSet("set", regions)


def test_csv_with_ids(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("id,name,acronym,r,g,b\n1,Dorsal raphe,DR,1,2,3\n2,nucleus,,4,5,6\n")
    regions = read_regions(path)
    assert regions.name == "mine"
    assert regions[1] == Region(1, "Dorsal_raphe", "DR", (1, 2, 3))
    assert regions[2].acronym == "nucleus"


def test_csv_of_many_rows_without_ids_is_numbered_by_row_and_blank_rows_are_skipped(tmp_path):
    path = tmp_path / "brainstem.csv"
    rows = "".join(f"r{i},L{i},{i},0,0\n,,,,\n" for i in range(1, 65))
    path.write_text("\ufeffSub-region,Label,R,G,B\n" + rows, encoding="utf-8")
    regions = read_regions(path)
    assert len(regions) == 64
    assert regions[64] == Region(64, "r64", "L64", (64, 0, 0))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Primary motor area Layer 2/3", "Primary_motor_area_Layer_2-3"),
        (r"a\b:c*d?e<f>g|h", "a-b-c-d-e-f-g-h"),
        ("Area, lateral part  (x)", "Area,_lateral_part_(x)"),
        ("Ammonshorn, Größe", "Ammonshorn,_Größe"),
    ],
)
def test_names_become_parts_of_file_names(tmp_path, caplog, given, name):
    path = tmp_path / "mine.csv"
    path.write_text(f'name,r,g,b\nother,9,9,9\n"{given}",1,2,3\n', encoding="utf-8")
    assert read_regions(path)[2].name == name
    (tmp_path / f"section_0_{name}_m1.png").touch()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == ("-" in name)
    assert all(f"{path}, line 3: files cannot be named for {given!r}" in text for text in said)


def test_names_that_become_the_same_are_refused(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("name,r,g,b\nlayer 2/3,1,2,3\nlayer 2-3,4,5,6\n")
    with pytest.raises(ValueError, match=r"mine.csv: .*name 'layer_2-3' is used twice"):
        read_regions(path)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_of_other_countries(tmp_path, separator):
    path = tmp_path / "mine.csv"
    rows = [["id", "name", "r", "g", "b"], ["1", '"long; name, x"', "1", "2", "3"]]
    text = "\r\n".join(separator.join(row) for row in rows)
    path.write_text("\ufeff" + text, encoding="utf-8", newline="")
    assert read_regions(path)[1] == Region(1, "long;_name,_x", "long;_name,_x", (1, 2, 3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,r,g\na,1,2\n", "column b is missing"),
        ("", "no rows"),
        ("name,r,g,b\na,1,2,x\n", "line 2 .a.: invalid literal"),
        ("id,name,r,g,b\n2,a,1,2,3\n", "bad.csv: Region set 'bad' has the ids"),
    ],
)
def test_csv_errors_name_file_and_cure(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_regions(path)
    assert str(path) in str(error.value)


def test_binary_file_is_no_csv(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(ValueError, match="UTF-8"):
        read_regions(path)


def test_missing_csv(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_regions(tmp_path / "none.csv")
