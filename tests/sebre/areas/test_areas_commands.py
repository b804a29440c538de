"""`sebre areas`, from stack to volume."""

import json
from functools import partial

import numpy as np
import pytest

from sebre.areas.area_training import AreaSettings
from sebre.areas.pretraining.siamese import SiameseSettings
from sebre.areas.stacks import write_stack
from sebre.cli.commands import main


@pytest.fixture
def path(stack, tmp_path):
    write_stack(stack, tmp_path / "stack.npz")
    return str(tmp_path / "stack.npz")


def test_a_stack_is_filled_and_says_where_to_annotate(path, tmp_path, capsys):
    given = ["areas", "fill", path, "--annotated", "60", "66", "--out", str(tmp_path / "filled")]
    given += ["--method", "shapes", "--registration", "none"]
    assert main(given) == 0
    assert "Annotate section" in capsys.readouterr().out
    with np.load(tmp_path / "filled" / "labels.npz") as file:
        assert len(file["labels"]) == 7
    assert main([*given, "--layers"]) == 0


def test_what_others_wrote_is_not_replaced(path, tmp_path, capsys):
    (tmp_path / "filled").mkdir()
    (tmp_path / "filled" / "areas.obj").write_text("mine")
    given = ["areas", "fill", path, "--annotated", "60", "66", "--out", str(tmp_path / "filled")]
    assert main([*given, "--registration", "none"]) == 2
    assert "areas.obj" in capsys.readouterr().err
    assert (tmp_path / "filled" / "areas.obj").read_text() == "mine"


@pytest.mark.usefixtures("op_by_op")
def test_pretrain_train_and_evaluate(path, tmp_path, capsys, monkeypatch):
    small = partial(SiameseSettings, batch=4, side=64, detail_widths=(4, 4, 4, 4))
    monkeypatch.setattr("sebre.areas.pretraining.siamese.SiameseSettings", small)
    small = partial(AreaSettings, batch=2, detail_widths=(4, 4, 4, 4), context_widths=(4, 4))
    monkeypatch.setattr("sebre.areas.area_training.AreaSettings", small)
    split, one = ["--split", "every:4:2"], ["--steps", "1"]
    siamese, network = str(tmp_path / "siamese"), str(tmp_path / "network")
    assert main(["areas", "pretrain", path, "--out", siamese, *split, *one]) == 0
    start = ["--start", siamese, "--registration", "none", "--patch", "32"]
    assert main(["areas", "train", path, "--out", network, *split, *one, *start]) == 0
    given = ["areas", "evaluate", path, "--weights", network, *split, "--registration", "none"]
    assert main([*given, "--out", str(tmp_path / "scores.json")]) == 0
    record = json.loads((tmp_path / "scores.json").read_text())
    assert record["tested"] == ["62", "66"] and "copy of the nearest" in record["rows"]
    assert "network without prior" in capsys.readouterr().out
    assert record["learned"] == ["60", "61", "63", "64", "65"]
    # Two networks together: the mean of what each says.
    second = str(tmp_path / "second")
    assert main(["areas", "train", path, "--out", second, *split, *one, *start, "--seed", "1"]) == 0
    both = [*given[:5], second, *given[5:], "--out", str(tmp_path / "both.json")]
    assert main(both) == 0
    together = json.loads((tmp_path / "both.json").read_text())
    assert together["seeds"] == [0, 1] and len(together["networks"]) == 2
    bare = "network without prior"
    assert together["each"][0][bare]["dice"] == record["rows"][bare]["dice"]
    assert together["each"][1][bare] != together["each"][0][bare]
    # A section that was learned from, and sections of another size.
    other = str(tmp_path / "other.json")
    asked = [*given[:5], "--split", "names:63", *given[7:], "--out", other]
    assert main(asked) == 2
    assert "learned from 63, which --split leaves out" in capsys.readouterr().err
    assert main([*given, "--pixel-um", "20", "--out", other]) == 2
    assert "learned from pixels of 50 um, the stack has 20 um" in capsys.readouterr().err
    filled = ["areas", "fill", path, "--annotated", "60", "66", "--weights", network]
    assert main([*filled, "--out", str(tmp_path / "filled")]) == 2
    assert "--method carried asks no network" in capsys.readouterr().err
    # The folder of another kind of network.
    assert main([*given[:4], siamese, *given[5:], "--out", str(tmp_path / "other.json")]) == 2
    assert "another kind" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["fill", "none.npz", "--annotated", "0", "2", "--out", "o"], "no such file"),
        (["prepare", ".", "--out", "stack.tif"], "ends with .npz"),
    ],
)
def test_mistakes_are_one_line(given, said, capsys):
    assert main(["areas", *given]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()) == 1
