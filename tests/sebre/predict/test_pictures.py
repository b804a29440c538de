"""Which files of which folders are segmented, and what is said of the others."""

import os
import re

import numpy as np
import pytest
from fixed_segmenter import RESULT, Fixed
from PIL import Image
from section_folders import names, save_picture

from mrcnn.errors import MissingFileError, UserError
from sebre.data.listing import PICTURE_TYPES
from sebre.data.regions import SLICEMAP
from sebre.networks.segmenter import read_image
from sebre.predict.folders import detect_files
from sebre.predict.pictures import find_inputs, find_sections


def test_files_in_natural_order(tmp_path):
    for name in ("s_10.png", "s_2.png", "s_1.JPG", "notes.txt", "s_\u00b2.png"):
        (tmp_path / name).write_bytes(b"x")
    found = find_inputs([tmp_path])
    assert [section.path.name for section in found.sections] == [
        "s_1.JPG",
        "s_2.png",
        "s_10.png",
        "s_\u00b2.png",
    ]
    assert names(found.sections) == ["s_1", "s_2", "s_10", "s_\u00b2"]
    assert found.closing_line() == "Left out: 1: no picture by the ending (notes.txt)"
    with pytest.raises(FileNotFoundError, match="none.png: no such file"):
        find_sections([tmp_path / "none.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no image in it"):
        find_sections([tmp_path / "empty"])


def test_which_pictures_got_a_number(tmp_path):
    for name in ("m1/s.png", "m2/s.png", "m2/t-2.png", "a/b/u.png", "c/b/u.png"):
        save_picture(tmp_path / name)
    found = find_inputs([tmp_path / "m1", tmp_path / "m2", tmp_path / "a", tmp_path / "c"])
    assert names(found.sections) == ["s", "s-2", "t-2", "b/u", "b-2/u"]
    said = "Numbered, as others have their names: s-2 is of m2/s.png, b-2/u is of b/u.png"
    assert found.numbered() == said
    assert find_inputs([tmp_path / "m2"]).numbered() == ""


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        *((f"s{ending}", "Export it as OME-TIFF") for ending in (".czi", ".nd2", ".LIF")),
        *((f"s{ending}", r"Convert it to NIfTI") for ending in (".dcm", ".mnc", ".mha")),
        ("s.img", r"Put its header \(\.hdr\) beside it, or convert it to NIfTI"),
        ("s.xyz", r"damaged\)\. Wanted one of \.png"),
    ],
)
def test_what_to_do_with_kinds_that_are_not_read(tmp_path, name, cure):
    (tmp_path / name).write_bytes(b"ObjectType = Image\n" + bytes(500))
    _, (error,) = detect_files(Fixed(RESULT), [tmp_path / name], tmp_path / "out")
    assert re.search(rf"{name}: cannot read this picture.*{cure}", error)
    assert error.endswith("Or a volume: .nii, .nii.gz, .nrrd, .nhdr, .mgz, .mgh, .hdr.")
    with pytest.raises(UserError, match=cure):
        read_image(tmp_path / name)
    with pytest.raises(MissingFileError) as caught:
        find_inputs([tmp_path])
    if name != "s.xyz":
        assert re.search(f"no picture by the ending: .*{cure[1:]}", str(caught.value))


# Saved in these formats by Pillow; slides are TIFF files.
FORMATS = {
    **dict.fromkeys((".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), "JPEG2000"),
    **dict.fromkeys((".btf", ".tf8", ".svs", ".ndpi", ".qptiff", ".scn", ".bif"), "TIFF"),
}


@pytest.mark.parametrize("ending", PICTURE_TYPES)
def test_pictures_of_every_ending_are_taken_and_read(tmp_path, ending):
    gray = np.kron(np.array([[10, 200], [90, 150]], np.uint8), np.ones((16, 16), np.uint8))
    kind = "1" if ending == ".pbm" else "L"
    for name in (f"s{ending}", f"t{ending.upper()}"):
        Image.fromarray(gray).convert(kind).save(tmp_path / name, FORMATS.get(ending))
    found = find_inputs([tmp_path])
    assert names(found.sections) == ["s", "t"] and not found.left_out
    for section in found.sections:
        read = read_image(section.path)[..., 0].astype(int)
        assert read.shape == gray.shape
        if kind == "L":
            assert np.abs(read - gray).max() <= 20  # JPEG


def test_what_systems_leave_is_passed_over(tmp_path):
    save_picture(tmp_path / "in" / "s.png")
    for name in ("._s.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden/t.png"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"x")
    for name in ("__MACOSX", "@eaDir", "$RECYCLE.BIN"):
        save_picture(tmp_path / "in" / name / "s.png")
    found = find_inputs([tmp_path / "in"])
    assert names(found.sections) == ["s"] and not found.left_out
    # Where a shell names them one by one, that is said.
    found = find_inputs(str(path) for path in sorted((tmp_path / "in").glob("[!.]*")))
    assert names(found.sections) == ["s"]
    assert found.closing_line().startswith("Left out: 5: left behind by a system (")
    # A folder of brains, unpacked by a Mac.
    save_picture(tmp_path / "brains" / "b" / "s.png")
    save_picture(tmp_path / "brains" / "__MACOSX" / "b" / "._s.png")
    assert names(find_sections([tmp_path / "brains"])) == ["b/s"]


def test_a_folder_of_brains_gives_sections_by_brain(tmp_path):
    brains = tmp_path / "brains"
    for name in ("b10/s_2.png", "b10/s_10.png", "b2/s_2.tif", "found/b2/s_2_labels.png"):
        save_picture(brains / name)
    save_picture(brains / "b2" / "more" / "s_3.png")
    save_picture(brains / "found" / "s_2_overlay.png")
    (brains / "empty").mkdir()
    (brains / "b2" / "notes.txt").write_text("x")
    found = find_inputs([brains], brains / "found")
    assert names(found.sections) == ["b2/s_2", "b10/s_2", "b10/s_10"]
    assert found.sections[0].path == (brains / "b2" / "s_2.tif").absolute()
    assert found.left_out == {
        "no picture by the ending": ["b2/notes.txt"],
        "folder beside pictures: give it by itself": ["b2/more/"],
        "folder without a picture": ["empty/"],
        "folder of the outputs": ["found/"],
    }
    assert find_inputs([brains], brains / "x" / ".." / "found").left_out == found.left_out
    deeper = find_inputs([brains], brains / "b2" / "more").left_out
    assert deeper["folder of the outputs"] == ["b2/more/"]
    # A folder that holds pictures itself gives these alone, as does a single brain.
    assert names(find_sections([brains / "b10"])) == ["s_2", "s_10"]
    save_picture(brains / "s_0.png")
    found = find_inputs([brains])
    assert names(found.sections) == ["s_0"]
    assert found.closing_line() == (
        "Left out: 4: folder beside pictures: give it by itself (b2/, b10/, empty/ and 1 more)"
    )


def test_equal_names_are_told_apart(tmp_path):
    for name in ("x/b/s.png", "y/b/s.png", "y/B/t.png", "z/s.png", "z/s.tif", "z/s-2.png"):
        save_picture(tmp_path / name)
    for name in ("S.png", "e\u0301.png", "\u00e9.png"):  # on some disks, the same names
        save_picture(tmp_path / "z" / name)
    found = find_sections([tmp_path / "x", tmp_path / "y", tmp_path / "z"])
    assert names(found) == [
        *("b/s", "B-2/t", "b-3/s"),
        *("S", "e\u0301", "s-2", "s-3", "s-4", "\u00e9-2"),
    ]


def test_names_that_are_no_utf_8_are_written_with_signs_for_what_does_not_fit(tmp_path, caplog):
    for logger in ("", "sebre", "mrcnn"):  # such names do not pass from process to process
        caplog.set_level("CRITICAL", logger)
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)
    for name in (b"a\xff.png", b"a\xfe.png"):
        save_picture(tmp_path / "s.png").rename(os.fsdecode(folder + b"/" + name))
    (tmp_path / "in" / os.fsdecode(b"\xfd.txt")).touch()
    for _ in range(2):
        found = find_inputs([tmp_path / "in"], tmp_path / "out")
        assert names(found.sections) == ["a\ufffd", "a\ufffd-2"]
        assert found.closing_line().endswith("(\ufffd.txt)")
        detect_files(Fixed(RESULT), [tmp_path / "in"], tmp_path / "out")
    table = (tmp_path / "out" / "regions.csv").read_text("utf-8")
    assert table.count("a\ufffd,") == table.count("a\ufffd-2,") == len(SLICEMAP)


def test_a_file_given_twice_is_segmented_once(tmp_path, monkeypatch):
    path = save_picture(tmp_path / "in" / "s.png")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.png").symlink_to(path)
    found = find_inputs([path, "in", "in/../in/s.png", "link.png"])
    assert names(found.sections) == ["s"]
    assert found.closing_line() == ("Left out: 3: given twice (in/s.png, in/../in/s.png, link.png)")


def test_own_outputs_are_no_inputs(tmp_path):
    path = save_picture(tmp_path / "s.png")
    detect_files(Fixed(RESULT), [path], tmp_path)
    save_picture(tmp_path / "t_labels.png")  # the user's, by whatever name
    for given in ([tmp_path], sorted(tmp_path.glob("[!.]*"))):
        found = find_inputs(given, tmp_path / "elsewhere")
        assert names(found.sections) == ["s", "t_labels"]
        (reason,) = found.left_out
        assert reason == "written by an earlier call"
        assert [os.path.basename(name) for name in found.left_out[reason]] == [
            *("regions.csv", "report.html", "s_labels.png", "s_overlay.png", "summary.json"),
        ]
    # A label map that was corrected is still none.
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "s_labels.png")
    assert names(find_sections([tmp_path, tmp_path / "s_labels.png"])) == ["s", "t_labels"]
    # What the user made of another output is the user's.
    save_picture(tmp_path / "s_overlay.png", gray=9)
    assert names(find_sections([tmp_path])) == ["s", "s_overlay", "t_labels"]
    for name in ("s.png", "t_labels.png", "s_overlay.png"):
        (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match="no image in it.* written by an earlier call"):
        find_sections([tmp_path])
    with pytest.raises(FileNotFoundError, match="Nothing to segment. Left out: 1: written by"):
        find_sections([tmp_path / "s_labels.png"])


def test_names_of_earlier_calls_stay_those_of_their_pictures(tmp_path):
    out = tmp_path / "out"
    for folder in "abcd":
        for name in ("s.png", "brain/t.png"):
            save_picture(tmp_path / folder / name)
    detect_files(Fixed(RESULT), [tmp_path / "a", tmp_path / "a" / "brain" / ".."], out)
    for folder, wanted in (("b", "s-2"), ("a", "s"), ("b", "s-2")):
        assert names(find_sections([tmp_path / folder], out)) == [wanted]
        detect_files(Fixed(RESULT), [tmp_path / folder], out)
    # One that was moved keeps its name; a new one in its old place does not.
    (tmp_path / "b").rename(tmp_path / "moved")
    assert names(find_sections([tmp_path / "moved"], out)) == ["s-2"]
    for folder in "acd":
        (tmp_path / folder / "s.png").unlink()
    for folder, wanted in (("a", "brain"), ("c", "brain-2"), ("a", "brain"), ("d", "brain-3")):
        assert names(find_sections([tmp_path / folder], out)) == [f"{wanted}/t"]
        detect_files(Fixed(RESULT), [tmp_path / folder], out)
    table = (out / "regions.csv").read_text().splitlines()
    assert list(dict.fromkeys(line.split(",")[0] for line in table[1:])) == [
        *("brain/t", "brain-2/t", "brain-3/t", "s", "s-2"),
    ]


def test_patterns_and_volumes(tmp_path):
    for name in ("s_10.png", "s_2.png", "t.tif", "scan.v1.nii.gz", "b.nrrd", "c.hdr", "c.img"):
        (tmp_path / name).write_bytes(b"x")
    found = find_inputs([tmp_path / "s_*.png", tmp_path / "*.nii.gz"])
    assert names(found.sections) == ["s_2", "s_10", "scan.v1"]
    assert [section.is_volume for section in found.sections] == [False, False, True]
    everything = find_inputs([tmp_path])
    assert names(everything.sections) == ["b", "c", "s_2", "s_10", "scan.v1", "t"]
    assert everything.closing_line() == "Left out: 1: read with its header (c.img)"
    pair = find_inputs([tmp_path / "c.img", tmp_path / "c.hdr"])  # one volume, by either file
    assert [section.path.name for section in pair.sections] == ["c.hdr"]
    with pytest.raises(MissingFileError, match=r"u_\*.png: no file or folder matches"):
        find_inputs([tmp_path / "u_*.png"])
    (tmp_path / "a[1].png").write_bytes(b"x")  # a name that looks like a pattern
    assert names(find_inputs([tmp_path / "a[1].png"]).sections) == ["a[1]"]
