"""Faults of raw folders: of volumes, arrays and their tables."""

import gzip

import nibabel
import numpy as np
from ibsr_scans import save_subject
from raw_faults import case, cut, flip_bytes, replace
from volumes import save_nifti
from whole_folders import TREE, drawn_scan

# Volumes.


@case("malc2012", "1002_glm.nii.gz", "cannot read this volume")
def nifti_with_a_broken_header(raw):
    path = raw / "1002_glm.nii.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[70:72] = (9999).to_bytes(2, "little")  # the type of the values
    path.write_bytes(gzip.compress(bytes(content)))


@case("malc2012", "1002_SS.nii.gz", "the header claims (30000, 30000, 30000) voxels")
def nifti_that_claims_too_much(raw):
    path = raw / "1002_SS.nii.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[42:48] = (30000).to_bytes(2, "little") * 3
    path.write_bytes(gzip.compress(bytes(content)))


@case("malc2012", "1002_glm.nii.gz", "cannot read this volume", "Fetch or export")
def nifti_cut_off(raw):
    cut(raw / "1002_glm.nii.gz")


@case("malc2012", "1002_glm.nii.gz", "cannot read this volume")
def text_instead_of_a_nifti(raw):
    (raw / "1002_glm.nii.gz").write_text("<html><body>404: not found</body></html>")


@case("ibsr", "IBSR_02_seg_ana.nii.gz", "does not say which side is left", "Give --orientation")
def nifti_without_orientation(raw):
    save_subject(raw, 2, forms=(0, 0))


@case("ibsr", None, "orientation 'LLS'", "wanted three letters", options=("--orientation", "LLS"))
def no_orientation(raw):
    pass


@case("ibsr", None, "plane 'axial'", "sagittal, coronal, horizontal", options=("--plane", "axial"))
def no_plane(raw):
    pass


@case("malc2012", "1002_glm.nii.gz", "not on the same grid", "(12, 12, 5) and (12, 12, 6) voxels")
def labels_on_another_grid(raw):
    save_nifti(raw / "1002_glm.nii.gz", drawn_scan()[..., :5])


@case("malc2012", "1001_glm.nii.gz", "values are not whole numbers", "interpolated")
def labels_with_fractions(raw):
    save_nifti(raw / "1001_glm.nii.gz", drawn_scan() + np.float32(0.4))


@case("malc2012", "1001_glm.nii.gz", "shape (12, 12, 6, 2); wanted one volume")
def several_volumes(raw):
    image = nibabel.Nifti1Image(np.stack([drawn_scan()] * 2, axis=-1), np.eye(4))
    nibabel.save(image, raw / "1001_glm.nii.gz")


@case("malc2012", "", "no section of 3 scan(s) has one of the labels", "1000_glm.nii.gz has 0, 99")
def no_wanted_label(raw):
    for scan in ("1000", "1001", "1002"):
        save_nifti(raw / f"{scan}_glm.nii.gz", (drawn_scan() > 0).astype(np.int16) * 99)


@case("malc2012", "1001_glm.nii.gz", "left lie on the right", "--orientation")
def sides_exchanged(raw):
    save_nifti(raw / "1001_glm.nii.gz", drawn_scan()[::-1])


@case("malc2012", "subjects.csv", "not a UTF-8 CSV table")
def subjects_not_utf_8(raw):
    (raw / "subjects.csv").write_bytes(b"scan_id,subject_id,split\n1000,J\xfcrgen,train\n")


@case("mouse-mri", "scans.csv", "not a UTF-8 CSV table")
def scans_not_utf_8(raw):
    (raw / "scans.csv").write_bytes(b"scan,animal,group\na,M\xe4use,WT\n")


@case("mouse-mri", "label/tg4510_tp3_2_2013_WT.nii.gz", "no such file")
def labels_missing(raw):
    (raw / "label" / "tg4510_tp3_2_2013_WT.nii.gz").unlink()


@case("demba", "demba_P28_mouse_200um.npz", "cannot read this npz file", "Fetch it again")
def npz_cut_off(raw):
    cut(raw / "demba_P28_mouse_200um.npz")


@case("demba", "demba_P28_mouse_200um.npz", "cannot read the array", "Fetch the file again")
def npz_damaged(raw):
    flip_bytes(raw / "demba_P28_mouse_200um.npz", 400)  # found by the checksum


@case("demba", "demba_P28_mouse_200um.npz", "cannot read the array", "decompressing")
def npz_that_does_not_unpack(raw):
    flip_bytes(raw / "demba_P28_mouse_200um.npz", 70, 1)  # behind the header, which has 63 bytes


@case("demba", "demba_P28_mouse_200um.npz", "cannot read the array 'reference'")
def npz_without_an_array(raw):
    path = raw / "demba_P28_mouse_200um.npz"
    with np.load(path) as arrays:
        annotation = arrays["annotation"]
    np.savez(path, annotation=annotation)


@case("demba", TREE, "no such file", "--structures")
def no_structure_table(raw):
    (raw / TREE).unlink()


@case("demba", TREE, "column structure_id_path is missing")
def structure_table_without_a_column(raw):
    (raw / TREE).write_text("id,acronym\n5,Isocortex\n")


@case("demba", TREE, "line 14: the row is not whole")
def structure_table_cut_off(raw):
    replace(raw / TREE, "13,OLF,/997/13/", "13,OLF")


@case("ccf", "annotation_25_reoriented_2017.nrrd", "cannot read this volume", "Fetch it again")
def nrrd_damaged(raw):
    cut(raw / "annotation_25_reoriented_2017.nrrd")


@case("ccf", "annotation_25_reoriented_2017.nrrd", "cannot read this volume")
def text_instead_of_a_nrrd(raw):
    (raw / "annotation_25_reoriented_2017.nrrd").write_text("version https://example.org/spec/v1")


@case("ccf", "downsampled_standard_brainreg.tiff", "cannot read this volume")
def volume_tiff_cut_off(raw):
    cut(raw / "downsampled_standard_brainreg.tiff")


# Arrays.


@case("slicemap", "labels_th.npy", "(4, 16, 15); wanted 0 and 1 in the shape", "(4, 16, 16)")
def arrays_of_different_shapes(raw):
    np.save(raw / "labels_th.npy", np.zeros((4, 16, 15), np.int64))


@case("slicemap", "features.npy", "values must be finite and at least 0")
def negative_values(raw):
    np.save(raw / "features.npy", np.full((4, 16, 16), -1.0))


@case("slicemap", "features.npy", "not a NumPy array", "Fetch the file again")
def npz_instead_of_npy(raw):
    with (raw / "features.npy").open("wb") as file:
        np.savez(file, features=np.ones((4, 16, 16)))


@case("slicemap", "labels_hp.npy", "not a NumPy array", "Fetch the file again")
def npy_with_a_broken_header(raw):
    flip_bytes(raw / "labels_hp.npy", 0, 30)


@case("slicemap", "labels_cb.npy", "no such file", "labels_cx.npy")
def array_missing(raw):
    (raw / "labels_cb.npy").unlink()
