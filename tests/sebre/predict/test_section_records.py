"""The table has every section that was ever finished: with other calls, and after a kill."""

import csv
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nrrd
import numpy as np
import pytest
from fixed_segmenter import RESULT, SIDE, Fixed, result_of
from paths import ROOT
from PIL import Image
from section_folders import save_picture, tree

from mrcnn.errors import UnavailableError, UserError
from mrcnn.structures.mask_formats import contours_to_mask, rle_from_text, rle_to_mask
from sebre.experiments import EXPERIMENTS
from sebre.predict import name_claims
from sebre.predict.folders import detect_files, detect_folders
from sebre.predict.job import Job, plan_job, segment_file
from sebre.predict.name_claims import claim, stamp
from sebre.predict.pictures import SectionFile, find_sections
from sebre.predict.section_records import write_record, write_table_of_all


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "regions.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["found"] == "yes"]


def images(out: Path) -> list[str]:
    return list(dict.fromkeys(row["image"] for row in rows_of(out)))


def detect(out: Path, *inputs: Path, network=None) -> None:
    detect_files(network or Fixed(RESULT), inputs, out)


def test_a_call_with_other_inputs_keeps_the_rows(tmp_path):
    out = tmp_path / "out"
    a, b, c = (save_picture(tmp_path / f"{name}.png") for name in "abc")
    for given, wanted in (([b], "b"), ([a], "ab"), ([c, a], "abc"), ([b], "abc")):
        detect(out, *given)
        assert "".join(images(out)) == wanted
        assert len(rows_of(out)) == 2 * len(wanted)
    # What is segmented again has its new rows alone.
    detect(out, b, network=Fixed(result_of((1, 0.5, (0, 0, 4, 4)))))
    assert [row["image"] for row in rows_of(out)] == ["a", "a", "b", "c", "c"]


def test_sections_without_outputs_have_no_rows(tmp_path, caplog):
    out = tmp_path / "out"
    pictures = [save_picture(tmp_path / f"{name}.png") for name in "abcd"]
    detect(out, *pictures)
    (out / "a_labels.png").unlink()
    (out / "b_overlay.png").unlink()
    (out / ".records" / "c.json").write_text("{")
    detect(out, pictures[3])
    assert images(out) == ["b", "d"]
    assert "1 section(s) not in it: their label maps were removed (a)" in caplog.text
    assert (
        "1 section(s) not in it: their records are damaged; segment them again (c)" in caplog.text
    )
    caplog.clear()
    detect(out, save_picture(tmp_path / "other" / "a.png"))  # whose name is free again
    assert images(out) == ["a", "b", "d"] and "removed" not in caplog.text
    detect(out, *pictures)
    assert images(out) == ["a", "a-2", "b", "c", "d"]


def test_a_picture_that_fails_has_no_rows_any_more(tmp_path):
    out, path = tmp_path / "out", save_picture(tmp_path / "a.png")
    detect(out, path, save_picture(tmp_path / "b.png"))
    path.write_bytes(b"damaged")
    detect(out, path)
    assert images(out) == ["b"]


def test_a_call_that_fails_keeps_what_was_made_of_the_same_picture(tmp_path):
    class Broken(Fixed):
        def detect(self, images, masks="full"):
            raise UserError("no memory")

    out, path = tmp_path / "out", save_picture(tmp_path / "a.png")
    detect(out, path)
    detect(out, path, save_picture(tmp_path / "b.png"), network=Broken(RESULT))
    assert images(out) == ["a"] and (out / "a_labels.png").is_file()


def test_files_of_an_earlier_network_do_not_stay_beside_another_ones_labels(tmp_path, caplog):
    out, path = tmp_path / "out", save_picture(tmp_path / "a.png")
    section, made = SectionFile(path, "a"), ["geojson", "flat", "svg"]
    (out / ".records").mkdir(parents=True)
    outcome = segment_file(Fixed(RESULT), section, out, shapes="rle", formats=made)
    assert not outcome.error
    assert {"a.geojson", "a.flat", "a.svg", "a_regions.json"} <= {p.name for p in out.iterdir()}
    (out / "a.geojson").write_text("corrected by hand")
    segment_file(Fixed(result_of((1, 0.5, (0, 0, 4, 4)))), section, out, formats=["svg"])
    left = {path.name for path in out.iterdir() if path.is_file() and path.name[0] == "a"}
    assert left == {"a.geojson", "a.svg", "a_labels.png", "a_overlay.png"}
    assert "a.geojson: of an earlier call, and changed since; left as they are." in caplog.text
    assert "of an earlier call, and removed: ask for them again." in caplog.text


def test_rows_of_other_settings_are_told(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(Job, "load", lambda job: Fixed(RESULT))
    out = tmp_path / "out"
    for name, settings in (("a", {}), ("b", {"DETECTION_MIN_CONFIDENCE": 0.5})):
        save_picture(tmp_path / name / f"{name}.png")
        job = plan_job("slicemap", EXPERIMENTS["slicemap"], out, settings)
        assert "other weights or settings" not in caplog.text
        detect_folders(job, find_sections([tmp_path / name], out))
    assert images(out) == ["a", "b"]
    assert "1 section(s) in it, of calls with other weights or settings (a)" in caplog.text


def finished(out: Path, folder: Path) -> int:
    """How many pictures of a folder have rows in their records."""
    records = [json.loads(path.read_text()) for path in (out / ".records").rglob("*.json")]
    return sum("rows" in r and Path(r["picture"]["path"]).parent == folder for r in records)


def test_two_calls_at_once_one_of_which_is_killed_lose_no_row(tmp_path, monkeypatch):
    """Both have pictures of the same names. The second one is killed in the middle."""
    out, folders = tmp_path / "out", [tmp_path / "a", tmp_path / "b"]
    for folder, count in zip(folders, (12, 9), strict=True):
        for n in range(count):
            save_picture(folder / f"s_{n}.png", gray=n)
    helpers = ROOT / "tests" / "helpers"
    process = subprocess.Popen(
        [sys.executable, "-W", "error::UserWarning", helpers / "two_calls.py", out, *folders],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{helpers}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        _, second = map(int, process.stdout.readline().split())
        while finished(out, folders[1]) < 3:
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(second, signal.SIGKILL)
    done = finished(out, folders[1])
    assert 3 <= done < 9 and finished(out, folders[0]) == 12
    assert len(images(out)) == len(rows_of(out)) / 2 == 12 + done

    # A third call does the rest, and nothing else.
    network = Fixed(RESULT)
    monkeypatch.setattr(Job, "load", lambda job: network)
    job = plan_job("slicemap", EXPERIMENTS["slicemap"], out)
    for folder in folders:
        detect_folders(job, find_sections([folder], out))
    assert len(network.shown) == 9 - done
    assert len(images(out)) == len(rows_of(out)) / 2 == 12 + 9
    assert len(list(out.glob("*_labels.png"))) == 12 + 9
    assert not list(out.rglob("*.part"))


def test_a_name_is_claimed_once(tmp_path):
    out = tmp_path / "out"
    pictures = [save_picture(tmp_path / name / "s.png", 7) for name in "abc"]
    os.utime(pictures[1], ns=(0, pictures[0].stat().st_mtime_ns))  # alike, and not the same
    out.mkdir()
    assert [claim(out, "s", path) for path in pictures] == ["s", "s-2", "s-3"]
    assert [claim(out, "s", path) for path in pictures] == ["s", "s-2", "s-3"]
    assert claim(out, "s-2", pictures[0]) == "s-2-2"
    pictures[1].unlink()
    assert claim(out, "s-2", save_picture(tmp_path / "d" / "s.png", 3)) == "s-2-3"


def test_voxels_beside_a_header_are_part_of_a_picture(tmp_path):
    voxels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    nrrd.write(str(tmp_path / "x.nrrd"), voxels, detached_header=False)
    assert "data" not in name_claims.stamp(tmp_path / "x.nrrd")
    text = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\nencoding: raw\n"
    (tmp_path / "y.nrrd").write_text(f"{text}data file: x.raw\n\n")
    (tmp_path / "x.raw").write_bytes(voxels.tobytes())
    before = name_claims.stamp(tmp_path / "y.nrrd")
    (tmp_path / "x.raw").write_bytes(voxels.tobytes() + b"1")
    assert name_claims.stamp(tmp_path / "y.nrrd") != before


def test_a_folder_that_cannot_be_locked_is_told(tmp_path):
    (tmp_path / ".records" / ".lock").mkdir(parents=True)
    with pytest.raises(UnavailableError, match="cannot be locked against other calls"):
        claim(tmp_path, "s", save_picture(tmp_path / "s.png"))


def test_a_lock_that_is_held_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(name_claims, "_PATIENCE", 0.1)
    path = save_picture(tmp_path / "s.png")
    (tmp_path / "out").mkdir()
    claim(tmp_path / "out", "s", path)
    with name_claims.locked_records(tmp_path / "out"):
        with pytest.raises(OSError, match="out: cannot be locked against other calls .*locked"):
            claim(tmp_path / "out", "s", path)
    assert claim(tmp_path / "out", "s", path) == "s"


def test_files_of_the_user_are_in_the_way_before_anything_is_done(tmp_path, monkeypatch):
    folder = tmp_path / "in"
    save_picture(folder / "s.png")
    monkeypatch.setattr(Job, "load", lambda job: pytest.fail("the network was loaded"))
    job = plan_job("slicemap", EXPERIMENTS["slicemap"], folder)
    for name in ("s_labels.png", "s_overlay.png", "regions.csv", "run.json"):
        (folder / name).write_bytes(b"the user's own")
        before = tree(tmp_path)
        with pytest.raises(UserError, match=f"{name}: there already, and not written by an earl"):
            detect_folders(job, find_sections([folder / "s.png"], folder))
        assert tree(tmp_path) == before
        (folder / name).unlink()


def test_files_of_the_user_that_come_meanwhile_stay(tmp_path):
    path, out = save_picture(tmp_path / "s.png"), tmp_path / "out"

    class Meanwhile(Fixed):
        def detect(self, images, masks="full"):
            (out / "s_overlay.png").write_bytes(b"the user's own")
            return super().detect(images)

    _, (failed,) = detect_files(Meanwhile(RESULT), [path], out)
    assert "s_overlay.png: there already" in failed
    assert (out / "s_overlay.png").read_bytes() == b"the user's own"
    assert not rows_of(out)


OVERLAPPING = result_of(
    (1, 0.9, (0, 0, 10, 10)),
    (2, 0.8, (5, 5, 15, 15)),  # loses 25 px to the first
    (3, 0.7, (6, 6, 9, 9)),  # loses all
    (4, 0.6, (0, 15, 0, 20)),  # has none
)


@pytest.mark.parametrize("shapes", ["rle", "contours"])
def test_table_label_map_and_shapes_give_a_region_the_same_pixels(tmp_path, shapes):
    path = save_picture(tmp_path / "s.png")
    outcome = segment_file(Fixed(OVERLAPPING), SectionFile(path, "s"), tmp_path, shapes=shapes)
    rows = outcome.found
    assert [(row["region_id"], row["area_px"]) for row in rows] == [(1, 100), (2, 75)]
    assert [row["reason"].split(":")[0] for row in outcome.rows[2:4]] == ["suppressed"] * 2
    assert {row["reason"].split(":")[0] for row in outcome.rows[4:]} == {"not found"}
    labels = np.asarray(Image.open(tmp_path / "s_labels.png"))
    written = json.loads((tmp_path / "s_regions.json").read_text())
    assert [{k: v for k, v in entry.items() if k != shapes} for entry in written] == rows
    for entry in written:
        mask = contours_to_mask(entry[shapes]) if shapes == "contours" else None
        mask = rle_to_mask(rle_from_text(entry[shapes])) if mask is None else mask
        np.testing.assert_array_equal(mask, labels == entry["region_id"])
        assert mask.sum() == entry["area_px"]
    assert np.asarray(Image.open(tmp_path / "s_overlay.png")).shape[1] % SIDE == 0


def test_the_table_follows_the_natural_order_of_names(tmp_path):
    picture = save_picture(tmp_path / "s.png")
    for name in ("b/s_10", "b/s_9", "s", "s-2", "a b", "dot.v1.2"):
        assert claim(tmp_path, name, picture) == name
        write_record(
            tmp_path, name, stamp(picture), [{"image": name, "region": "cortex", "found": "yes"}]
        )
        (tmp_path / f"{name}_labels.png").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}_labels.png").touch()
    write_table_of_all(tmp_path)
    assert images(tmp_path) == ["a b", "b/s_9", "b/s_10", "dot.v1.2", "s", "s-2"]


def test_the_run_says_what_was_segmented(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    save_picture(tmp_path / "in" / "s.png")
    (tmp_path / "in" / "notes.txt").touch()
    detect(tmp_path / "out", tmp_path / "in")
    assert "Left out: 1: no picture by the ending (notes.txt)" in caplog.text
