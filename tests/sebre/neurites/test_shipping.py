"""A network of neurites is stored with what trained it."""

import json
from collections import defaultdict
from dataclasses import asdict

import pytest

from mrcnn.errors import UserError
from mrcnn.io.files import file_sha256
from sebre.cli.parser import build_parser
from sebre.neurites.affinity_unet import build_network
from sebre.neurites.learning.neurite_training import TrainSettings
from sebre.neurites.shipping import store_network


def _run(folder, **settings):
    """Folder of a run that has learned nothing."""
    folder.mkdir()
    how = TrainSettings((10.0,) * 3, widths=(4,), long_range=0, steps=9, **settings)
    (folder / "settings.json").write_text(json.dumps(asdict(how)))
    (folder / "state.json").write_text('{"step": 7}')
    (folder / "log.csv").write_text("step\n7\n")
    build_network(3, how.voxel_nm, how.widths).save(folder / "last.keras")
    return folder


def test_the_command_tells_both_trainings(tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    (store / "manifest.json").write_text("{}")
    old = [name for name in TrainSettings((10.0,) * 3).augmentations if name != "interpolate"]
    entry = store_network(_run(tmp_path / "a", augmentations=tuple(old)), store)
    assert "--defects mild --without interpolate" in entry["command"]
    assert "--steps 9 --stop-at 7" in entry["command"] and ";" not in entry["command"]
    more = _run(tmp_path / "b", severity="harsh", seed=3, begun_with=entry["sha256"])
    for _ in range(2):  # the second time over the first
        both = store_network(more, store)
        first, then = both["command"].split("; ")
        assert first == entry["command"].replace("--out RUN", "--out FIRST")
        assert then.endswith("--begin-with FIRST") and "--defects harsh" in then
        for command in (first, then):
            args = build_parser(None, defaultdict(object)).parse_args(command.split()[1:])
            assert args.steps == 9 and args.widths == [4]
    assert both["sha256"] == file_sha256(store / "neurites.h5")
    other = _run(tmp_path / "c", begun_with="0" * 64)
    with pytest.raises(UserError, match="what trained that one would not be told"):
        store_network(other, store)
