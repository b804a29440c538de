"""Synthetic sections by the command."""

import csv

import numpy as np
from PIL import Image

from sebre.cli import main


def test_synthetic_sections_of_one_collection(data_dir, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ccf").symlink_to(data_dir / "ccf")
    (tmp_path / "data" / "demba_200um").symlink_to(data_dir / "demba_200um")
    command = [
        "synthesize",
        "--data",
        str(tmp_path / "data"),
        "--count",
        "4",
        "--size",
        "64",
        "--graded",
    ]
    command += ["--without", "civm", "mouse_mri", "princeton"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "sections.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    for number in range(4):
        picture, labels = (
            np.asarray(Image.open(tmp_path / "out" / kind / f"section_{number:04d}.png"))
            for kind in ("images", "labels")
        )
        assert picture.shape == labels.shape == (64, 64)
        assert set(np.unique(labels)) <= {*range(10), 255} and labels.any()
    prepare = ["prepare", "labels", "--raw", str(tmp_path / "out"), "--map", "unscored=none"]
    assert main([*prepare, "--split", "section:1/3", "--out", str(tmp_path / "set")]) == 0
    subjects = [row["subject"] for row in rows]
    with (tmp_path / "set" / "sections.csv").open(newline="") as file:
        assert [row["subject"] for row in csv.DictReader(file)] == subjects
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "out" in capsys.readouterr().err
    assert main(["synthesize", "--data", str(tmp_path), "--out", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()
