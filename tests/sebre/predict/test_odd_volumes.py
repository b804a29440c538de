"""Volumes as people have them: a label volume, or one clear line; never half a file."""

import gzip

import nibabel
import numpy as np
import pytest
from test_scans import ByGray

from sebre.cli import main
from sebre.predict.job import Job

PHANTOM = np.zeros((24, 30, 20), np.float32)
PHANTOM[3:20, 4:26, 2:18] = 255
PHANTOM[3, 4:26, 2:18] = 1
PHANTOM[12:18, 15:24, 6:15] = 120


UNIT = np.eye(4)


def nifti(path, data, affine=UNIT):
    nibabel.save(nibabel.Nifti1Image(data, affine), path)


def cut(path, keep):
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])


def unpacked(path):
    packed = path.read_bytes()
    path.write_bytes(packed[:200] + bytes(40) + packed[240:])


# What is written as scan.nii.gz, and what the line says; "" where it is segmented.
ODD = {
    "integers": (lambda p: nifti(p, PHANTOM.astype(np.int16)), ""),
    "bytes": (lambda p: nifti(p, PHANTOM.astype(np.uint8)), ""),
    "a fourth axis of length 1": (lambda p: nifti(p, PHANTOM[..., None]), ""),
    "some NaN": (lambda p: nifti(p, np.where(PHANTOM > 0, PHANTOM, np.nan)), ""),
    "values below 0": (lambda p: nifti(p, PHANTOM - 0.5), ""),
    "huge values": (lambda p: nifti(p, PHANTOM * 1e6), ""),
    "slices of other thickness": (lambda p: nifti(p, PHANTOM, np.diag([1, 1, 2.5, 1])), ""),
    "time series": (lambda p: nifti(p, np.stack([PHANTOM] * 3, -1)), "wanted one volume"),
    "one slice": (lambda p: nifti(p, PHANTOM[:, :, 8]), "wanted one volume"),
    "complex numbers": (lambda p: nifti(p, PHANTOM.astype(np.complex64)), "one real number"),
    "nothing in it": (lambda p: nifti(p, np.zeros_like(PHANTOM)), "no voxel is above 0"),
    "meters for millimeters": (
        lambda p: nifti(p, PHANTOM, np.diag([9e2, 9e2, 9e2, 1])),
        "no brain",
    ),
    "no orientation": (lambda p: nifti(p, PHANTOM, None), "--orientation"),
    "text": (lambda p: p.write_bytes(gzip.compress(b"not a scan" * 50)), "scan.nii.gz"),
    "no gzip": (lambda p: p.write_bytes(b"plain" * 100), "scan.nii.gz"),
    "empty": (lambda p: p.write_bytes(b""), "scan.nii.gz"),
    "cut": (lambda p: (nifti(p, PHANTOM), cut(p, 0.6)), "scan.nii.gz"),
    "damaged": (lambda p: (nifti(p, PHANTOM), unpacked(p)), "scan.nii.gz"),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_label_volume_or_one_clear_line(kind, tmp_path, monkeypatch, capsys, caplog):
    write, said = ODD[kind]
    monkeypatch.setattr(Job, "load", lambda job: ByGray())
    path, out = tmp_path / "scan.nii.gz", tmp_path / "out"
    write(path)
    command = ["predict", str(path), "--weights", "ibsr", "--out", str(out), "--retries", "0"]
    code = main(command)
    assert ("are not finite numbers" in caplog.text) == ("NaN" in kind)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sebre")]
    if said:
        assert code == 3 and len(lines) == 1 and said in lines[0] and str(path) in lines[0]
        assert not list(out.glob("scan*")) and not list(out.glob("*.part"))
        return
    assert code == 0 and not lines
    labels, scan = nibabel.load(out / "scan_labels.nii.gz"), nibabel.load(path)
    assert labels.shape == scan.shape[:3]
    np.testing.assert_allclose(labels.affine, scan.affine)
    assert (np.asarray(labels.dataobj) == 2).any()
