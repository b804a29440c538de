"""Small raw folders without a fault, one a source."""

from pathlib import Path

import nrrd
import numpy as np
import tifffile
from ibsr_scans import save_subject
from named_sets import named_set
from plates import make as make_plates
from raw_samples import drawn_labels, painted, raw_folder, section, write
from volumes import save_nifti

# Acronyms that the mouse regions are made of; ids count from 1 in this order.
STRUCTURES = "RT GENv ZI TH Isocortex HPF STR PAL MB CB arb HB OLF CTXsp CH".split()
TREE = "structure_tree_safe_2017.csv"


def sections_of(raw: Path, drawings: str, drawing: np.ndarray) -> None:
    raw_folder(raw, drawings, drawing)
    (raw / "sections.csv").write_text("section,marker\n1,Nissl\n2,Nissl\n3,GAD1\n")


def colour_code(raw: Path) -> None:
    sections_of(raw, "overlays", painted(drawn_labels()))


def labels(raw: Path) -> None:
    sections_of(raw, "labels", drawn_labels())


def figures(raw: Path) -> None:
    for k in (0, 1):
        write(raw / f"section_{k}" / f"section_{k}.png", section(k))
        write(raw / f"section_{k}" / "cortex.png", drawn_labels() * np.uint8(100))


def slicemap(raw: Path) -> None:
    raw.mkdir()
    np.save(raw / "features.npy", np.random.default_rng(0).random((4, 16, 16)))
    for i, code in enumerate(("cx", "hp", "th", "mb", "bs", "cb")):
        array = np.zeros((4, 16, 16), np.int64)
        array[:, i : i + 6, 2:8] = 1
        np.save(raw / f"labels_{code}.npy", array)
    (raw / "LICENSE").write_text("A license\n")


def ara_nissl(raw: Path) -> None:
    make_plates(raw, [71, 76, 80])


def ibsr(raw: Path) -> None:
    for number in (1, 2, 3):
        save_subject(raw, number)


def drawn_scan() -> np.ndarray:
    """Labels of the left and the right caudate nucleus in MALC 2012."""
    drawn = np.zeros((12, 12, 6), np.int16)
    drawn[2:4, 2:9, 1:5], drawn[8:10, 2:9, 1:5] = 37, 36
    return drawn


def malc2012(raw: Path) -> None:
    for scan in ("1000", "1001", "1002"):
        save_nifti(raw / f"{scan}_SS.nii.gz", (drawn_scan() + 5).astype(np.int16))
        save_nifti(raw / f"{scan}_glm.nii.gz", drawn_scan())


def mouse_mri(raw: Path) -> None:
    drawn = np.zeros((6, 8, 7), np.int16)
    drawn[2, 2:7, 2:6] = 8
    for animal in (1, 2):
        for kind in ("template", "label"):
            save_nifti(raw / kind / f"tg4510_tp3_{animal}_2013_WT.nii.gz", drawn)


def write_tree(raw: Path) -> None:
    lines = [f"{i},{name},/997/{i}/" for i, name in enumerate(STRUCTURES, start=1)]
    (raw / TREE).write_text("\n".join(["id,acronym,structure_id_path", *lines, ""]))


def demba(raw: Path) -> None:
    raw.mkdir()
    write_tree(raw)
    annotation = np.zeros((12, 10, 8), np.int32)
    annotation[2:10, 2:8, 2:6] = 5
    reference = np.random.default_rng(0).integers(1, 200, annotation.shape, np.uint8)
    for name in ("demba_P14", "demba_P28"):
        np.savez_compressed(
            raw / f"{name}_mouse_200um.npz", reference=reference, annotation=annotation
        )


def ccf(raw: Path) -> None:
    raw.mkdir()
    write_tree(raw)
    annotation = np.zeros((32, 48, 40), np.uint32)  # four voxels a voxel of the brain
    annotation[8:24, 8:40, 8:32] = 5
    nrrd.write(str(raw / "annotation_25_reoriented_2017.nrrd"), annotation)
    brain = np.random.default_rng(0).integers(1, 200, (12, 10, 8), np.uint16)
    tifffile.imwrite(raw / "downsampled_standard_brainreg.tiff", brain)


def prepared(raw: Path) -> None:
    named_set(raw, ("cortex", "hippocampus"))


WHOLE = {
    "colour-code": colour_code,
    "labels": labels,
    "sebre-figures": figures,
    "slicemap": slicemap,
    "ara-nissl": ara_nissl,
    "ibsr": ibsr,
    "malc2012": malc2012,
    "mouse-mri": mouse_mri,
    "demba": demba,
    "ccf": ccf,
    "prepared": prepared,
}
