"""Raw folders that do not fit: one line that says what is wrong, and nothing written."""

import contextlib
import inspect
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel
import pytest
import volume_faults  # noqa: F401  adds its cases
from raw_faults import CASES
from raw_samples import drawn_labels, write
from whole_folders import WHOLE, labels

from sebre.cli import commands as cli
from sebre.prepare.allen.image_download import Wanted
from sebre.prepare.sources import SOURCES, import_source, source_name


def prepare(source: str, raw: Path, out: Path, *options: str) -> int:
    options = [option.replace("RAW", str(raw)) for option in options]
    return cli.main(["prepare", source, "--raw", raw, "--out", out, *options])


@contextlib.contextmanager
def logging_as_in_a_shell() -> Iterator[None]:
    """What is logged goes to standard error, as it does outside of tests."""
    root, of_nibabel = logging.getLogger(), nibabel.imageglobals.logger.handlers[0]
    handlers, level, stream = root.handlers, root.level, of_nibabel.stream
    root.handlers = []
    of_nibabel.stream = sys.stderr
    try:
        yield
    finally:
        root.handlers, of_nibabel.stream = handlers, stream
        root.setLevel(level)


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_nothing_written(tmp_path, capsys, name):
    bad, raw, out = CASES[name], tmp_path / "raw", tmp_path / "out"
    if bad.source in WHOLE:
        WHOLE[bad.source](raw)
    bad.damage(raw)
    with logging_as_in_a_shell():
        assert prepare(bad.source, raw, out, *bad.options) == cli.USER_ERROR
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.endswith("\n")
    assert len(printed.err.splitlines()) == 1, printed.err
    assert printed.err.startswith("sebre prepare: ")
    for part in (*bad.says, *([] if bad.at is None else [str(raw / bad.at)])):
        assert part in printed.err
    assert {path.name for path in tmp_path.iterdir()} <= {"raw"}


def test_a_folder_in_use_stays_as_it_is(tmp_path, capsys):
    raw, out = tmp_path / "raw", tmp_path / "out"
    labels(raw)
    write(out / "mine.png", drawn_labels())
    write(tmp_path / "set.part" / "mine.png", drawn_labels())  # of the user's too
    assert prepare("labels", raw, tmp_path / "set") == cli.DONE
    capsys.readouterr()
    assert prepare("labels", raw, out) == cli.USER_ERROR
    printed = capsys.readouterr().err
    assert printed.splitlines() == [
        f"sebre prepare: {out}: exists and is not an empty folder. Remove it, or choose another "
        "--out."
    ]
    assert [path.name for path in out.iterdir()] == ["mine.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw", "set", "set.part"]
    assert [path.name for path in (tmp_path / "set.part").iterdir()] == ["mine.png"]


@pytest.mark.parametrize("source", WHOLE)
def test_without_the_faults_the_folders_are_prepared(tmp_path, source):
    # So that it is the fault alone that is refused.
    WHOLE[source](tmp_path / "raw")
    assert prepare(source, tmp_path / "raw", tmp_path / "out") == cli.DONE
    assert (tmp_path / "out" / "dataset.json").is_file()


@pytest.mark.parametrize("name", SOURCES)
def test_the_options_of_a_source_are_those_of_its_functions(name):
    module = import_source(name)
    # What a source gives itself, another one of the same module has by default.
    given = {key for one in SOURCES.values() if one.module == "annotations" for key in one.given}
    keywords = set(inspect.signature(module.read_source).parameters) - {"raw", *given}
    assert set(SOURCES[name].options) == keywords
    assert bool(SOURCES[name].download_options) == hasattr(module, "download")
    assert set(SOURCES[name].download_options) <= set(inspect.signature(Wanted).parameters)


def test_a_source_has_its_american_name_too(tmp_path):
    assert source_name("color-code") == "colour-code" and source_name("mouse_mri") == "mouse-mri"
    WHOLE["colour-code"](tmp_path / "raw")
    assert prepare("color-code", tmp_path / "raw", tmp_path / "out") == cli.DONE
