"""Files of raw folders that are no part of a set: some are left by systems, others are named."""

from pathlib import Path

import numpy as np
import pytest
from raw_samples import drawn_labels, write
from volumes import save_nifti
from whole_folders import WHOLE, drawn_scan

from sebre.cli import commands as cli
from sebre.prepare.raw import unused
from sebre.prepare.sources import read_source


def litter(raw: Path) -> None:
    """What macOS, Windows and Synology leave beside every file."""
    for path in [path for path in raw.rglob("*") if path.is_file()]:
        for name in (f"._{path.name}", f"__MACOSX/._{path.name}", f"@eaDir/{path.name}"):
            other = path.parent / name
            other.parent.mkdir(exist_ok=True)
            other.write_bytes(b"\x00\x05\x16\x07" + bytes(100))
    for folder in [raw, *(path for path in raw.rglob("*") if path.is_dir())]:
        for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
            (folder / name).write_bytes(b"x")


@pytest.mark.parametrize("source", WHOLE)
def test_what_systems_leave_is_no_part_of_a_set(tmp_path, source):
    raw = tmp_path / "raw"
    WHOLE[source](raw)
    before = read_source(source, raw, {})
    not_used = unused(before, raw)
    # Of the atlas, plates that show none of the regions.
    assert ("4 file(s)" in not_used) if source == "ara-nissl" else not not_used
    litter(raw)
    raw_set = read_source(source, raw, {})
    assert raw_set.files == before.files and unused(raw_set, raw) == not_used
    assert [s.facts for s in raw_set.sections] == [s.facts for s in before.sections]
    for (image, masks), (other, drawn) in (
        (section.read(), same.read())
        for section, same in zip(raw_set.sections[:1], before.sections[:1], strict=True)
    ):
        np.testing.assert_array_equal(image, other)
        assert sorted(masks) == sorted(drawn)


def test_files_that_are_not_used_are_named(tmp_path, capsys):
    raw = tmp_path / "raw"
    WHOLE["malc2012"](raw)
    (raw / "subjects.csv").write_text("scan_id,subject_id,split\n1000,a,train\n1001,b,train\n")
    raw_set = read_source("malc2012", raw, {})
    assert unused(raw_set, raw) == ""
    save_nifti(raw / "1003_SS.nii", drawn_scan())  # not packed, as the source wants it
    (raw / "README").write_text("about")
    for n in range(4):
        write(raw / "pictures" / "of" / f"{n}.png", drawn_labels())
    save_nifti(raw / "old" / "1000_SS.nii.gz", drawn_scan())
    assert unused(raw_set, raw) == (
        f"Not used of {raw}: 7 file(s): 1003_SS.nii, README, old/ and 1 more"
    )
    assert cli.main(["prepare", "malc2012", "--raw", raw, "--out", tmp_path / "set"]) == cli.DONE
    assert capsys.readouterr().out.splitlines() == [
        f"Prepared data set: {tmp_path / 'set'}",
        unused(raw_set, raw),
    ]


def test_nothing_is_read_or_fetched_for_a_place_that_is_taken(tmp_path, capsys, monkeypatch):
    def fail(*_):
        pytest.fail("the raw data were asked for")

    for name in ("raw_download.download_source", "sources.read_source"):
        monkeypatch.setattr(f"sebre.prepare.{name}", fail)
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (tmp_path / "file").touch()
    for place, problem in (
        (out, "exists and is not an empty folder"),
        (tmp_path / "file", "exists and is not an empty folder"),
        (tmp_path / "file" / "set", "file: is not a folder"),
    ):
        command = ["prepare", "malc2012", "--download", "--raw", tmp_path, "--out", place]
        assert cli.main(command) == cli.USER_ERROR
        assert problem in capsys.readouterr().err
    assert (out / "notes.txt").read_text() == "mine"
