"""What systems leave in folders is no part of them."""

from pathlib import Path

import pytest

from sebre.data.listing import is_left_by_system, is_picture, natural, some, visible


@pytest.mark.parametrize(
    "name",
    [
        *("._s_1.png", ".DS_Store", ".Spotlight-V100", "Thumbs.db", "thumbs.db"),
        *("ehthumbs.db", "desktop.ini", "Desktop.ini", "Icon\r", "__MACOSX", "@eaDir"),
        *("$RECYCLE.BIN", "System Volume Information"),
    ],
)
def test_left_by_systems(tmp_path, name):
    assert is_left_by_system(Path("folder") / name)
    (tmp_path / name).mkdir()
    (tmp_path / name / "s_1.png").touch()
    (tmp_path / "s_1.png").touch()
    for pattern in ("*", "**/*", "**/*.png"):
        assert [path.name for path in visible(tmp_path, pattern)] == ["s_1.png"]


def test_what_is_hidden_is_looked_into_only_where_it_is_named(tmp_path):
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "s_1.png").touch()
    assert not is_left_by_system(tmp_path / ".cache") and not is_left_by_system(Path(".."))
    assert not list(visible(tmp_path, "**/*"))
    assert [path.name for path in visible(tmp_path / ".cache")] == ["s_1.png"]
    assert not list(visible(tmp_path / "none"))


def test_endings_order_and_words():
    assert is_picture(Path("S.OME.TIF")) and is_picture(Path("s.jp2"))
    assert not is_picture(Path("s.nii.gz")) and not is_picture(Path("tif"))
    paths = [Path(name) for name in ("b-2/s", "b/s_10", "b/s_9", "s_²", "s_1", "10", "9")]
    in_order = ["9", "10", "b/s_9", "b/s_10", "b-2/s", "s_1", "s_²"]
    assert [path.as_posix() for path in sorted(paths, key=natural)] == in_order
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
