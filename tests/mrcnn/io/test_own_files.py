"""Files of others are neither replaced nor removed; what was written here is."""

import os
from pathlib import Path

import pytest

from mrcnn.errors import UserError
from mrcnn.io import own_files
from mrcnn.io.files import replace_text
from mrcnn.io.own_files import (
    RECORD,
    demand_own,
    demand_own_folder,
    is_own,
    replace_own,
    replace_own_folder,
    replace_own_text,
    written_in,
)


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != RECORD)


def test_own_files_are_replaced_and_those_of_others_are_not(tmp_path):
    path = tmp_path / "new" / "a.txt"
    for text in ("one", "two", "one"):
        replace_own_text(path, text)
        assert path.read_text() == text and is_own(path)
    for text in ("two, with notes", ""):  # of the user's, under the same name
        path.write_text(text)
        assert not is_own(path)
        for write in (lambda: demand_own([path]), lambda: replace_own_text(path, "three")):
            with pytest.raises(UserError, match="a.txt: there already, and not written by an earl"):
                write()
        assert path.read_text() == text
    path.unlink()
    replace_own_text(path, "three")
    assert visible(path.parent) == ["a.txt"]
    # A copy goes with its record, as a whole folder does.
    path.parent.rename(tmp_path / "moved")
    assert is_own(tmp_path / "moved" / "a.txt")
    (tmp_path / "moved" / RECORD).unlink()
    assert not is_own(tmp_path / "moved" / "a.txt")


def test_up_to_three_files_in_the_way_are_named(tmp_path):
    paths = [tmp_path / f"{n}.txt" for n in range(5)]
    for path in paths:
        path.write_text("mine")
    with pytest.raises(UserError, match="0.txt, .*1.txt, .*2.txt and 2 more: there already"):
        demand_own([*paths, tmp_path / "free.txt"])
    demand_own(paths, known=lambda path: True)
    replace_own_text(paths[0], "ours", known=lambda path: True)
    paths[0].write_text("changed")  # the record of a file comes before what is in it
    with pytest.raises(UserError, match="0.txt: there already"):
        demand_own(paths, known=lambda path: True)


def test_a_call_that_dies_leaves_a_file_that_is_known(tmp_path, monkeypatch):
    """The record comes first: neither the old file nor the new one is taken for another's."""
    path = tmp_path / "a.txt"
    replace_own_text(path, "old")
    with monkeypatch.context() as patch:
        patch.setattr(own_files, "replace_file", lambda path, write, suffix: write(path))
        replace_own_text(path, "new")
    assert is_own(path)
    replace_text(path, "old")
    assert is_own(path)
    with (tmp_path / RECORD).open("a") as file:
        file.write('["0000')  # the machine stopped
    assert is_own(path) and set(written_in(tmp_path)) == {"a.txt"}


def test_inputs_are_not_written_by_any_path(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    replace_own_text(path, "ours, and read")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.txt").symlink_to(path)
    os.link(path, tmp_path / "hard.txt")
    for given in ("a.txt", "link.txt", "hard.txt", tmp_path / "x" / ".." / "a.txt"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(UserError, match="a.txt: is read and would be written over"):
            demand_own([path], [given])
    demand_own([path], [tmp_path / "none.txt"])


def test_links_lead_nowhere_else(tmp_path):
    """A link is not followed to a file of the user's, nor replaced."""
    (tmp_path / "mine.txt").write_text("mine")
    for target in ("mine.txt", "nothing.txt"):
        link = tmp_path / "link.txt"
        link.symlink_to(tmp_path / target)
        with pytest.raises(UserError, match="link.txt: there already"):
            replace_own_text(link, "ours")
        link.unlink()
    # A second name of a file keeps what it had.
    replace_own_text(tmp_path / "a.txt", "one")
    os.link(tmp_path / "a.txt", tmp_path / "kept.txt")
    replace_own_text(tmp_path / "a.txt", "two")
    assert (tmp_path / "kept.txt").read_text() == "one"
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_folders_and_files_in_the_way(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    for path, message in (
        (tmp_path / "folder", "folder: is a folder; wanted the name of a file"),
        (tmp_path / "file" / "a" / "b.txt", "file: is not a folder, so"),
    ):
        with pytest.raises(UserError, match=message):
            demand_own([path])
    with pytest.raises(UserError, match="file: is a file; wanted the name of a folder"):
        demand_own_folder(tmp_path / "file")


def test_temporary_files_are_like_no_others(tmp_path):
    (tmp_path / "a.txt.part").write_text("mine")

    def fail(part: Path) -> None:
        part.write_text("half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="a.txt: could not be written .the disk is full"):
        replace_own(tmp_path / "a.txt", fail)
    replace_own_text(tmp_path / "a.txt", "ours")
    assert visible(tmp_path) == ["a.txt", "a.txt.part"]
    assert (tmp_path / "a.txt.part").read_text() == "mine"


def write_two(part: Path) -> None:
    (part / "inner").mkdir()
    (part / "inner" / "a.txt").write_text("ours")
    (part / "b.txt").write_text("ours")


def test_a_folder_is_replaced_if_all_of_it_is_own(tmp_path):
    folder = tmp_path / "new" / "set"
    for _ in range(2):
        replace_own_folder(folder, write_two)
        assert (folder / "inner" / "a.txt").read_text() == "ours"
    assert visible(folder.parent) == ["set"]
    for change in (
        lambda: (folder / "notes.txt").write_text("mine"),
        lambda: (folder / "mine").mkdir(),
        lambda: (folder / "b.txt").write_text("changed"),
        lambda: (folder / "inner" / "a.txt").rename(folder / "inner" / "c.txt"),
    ):
        change()
        with pytest.raises(UserError, match="there already, and not written by an earlier call"):
            replace_own_folder(folder, write_two)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        replace_own_folder(folder, write_two)  # an empty folder holds nothing that can be lost


def test_what_comes_into_a_folder_meanwhile_stays(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()

    def write(part: Path) -> None:
        write_two(part)
        (folder / "notes.txt").write_text("mine")

    with pytest.raises(UserError, match="notes.txt: there already"):
        replace_own_folder(folder, write)
    assert visible(tmp_path) == ["set"] and visible(folder) == ["notes.txt"]

    def fail(part: Path) -> None:
        write_two(part)
        raise KeyboardInterrupt

    (folder / "notes.txt").unlink()
    with pytest.raises(KeyboardInterrupt):
        replace_own_folder(folder, fail)
    assert visible(tmp_path) == ["set"] and visible(folder) == []


def test_a_link_to_a_folder_stays_one(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    replace_own_folder(tmp_path / "link", write_two)
    assert (tmp_path / "link").is_symlink()
    assert visible(tmp_path / "there") == ["b.txt", "inner"]
