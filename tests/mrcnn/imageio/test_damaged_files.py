"""Damaged and cut files: a picture or one clear error, soon and with little memory."""

import resource
import time
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mrcnn.errors import UserError
from mrcnn.imageio.label_files import read_labels, read_mask
from mrcnn.imageio.reading import read_picture
from mrcnn.imageio.reduced import read_reduced

EXAMPLES = 2000
MOST_SECONDS = 10
MOST_KIB = 2 * 2**20  # more than before
Y, X = np.mgrid[:40, :56]
GRAY = (Y * 4 + X).astype(np.uint8)
RGB = np.stack([GRAY, 255 - GRAY, GRAY // 2], axis=-1)


def _files(folder):
    def tiff(name, array, **options):
        tifffile.imwrite(folder / name, array, **options)

    tiff("plain.tif", RGB, photometric="rgb")
    tiff("strips.tif", GRAY, rowsperstrip=7, compression="zlib", predictor=True)
    tiff("lzw.tif", RGB, photometric="rgb", tile=(16, 32), compression="lzw")
    tiff("jpeg.tif", RGB, photometric="rgb", tile=(32, 32), compression="jpeg")
    tiff("deep.tif", GRAY.astype(np.uint16) * 16, byteorder=">", bigtiff=True)
    tiff("float.tif", GRAY / np.float32(255), compression="zstd")
    tiff("stack.ome.tif", np.stack([GRAY] * 3), metadata={"axes": "CYX"}, photometric="minisblack")
    tiff("ij.tif", np.stack([GRAY] * 2), imagej=True)
    with tifffile.TiffWriter(folder / "pyramid.tif") as file:
        file.write(RGB, photometric="rgb", subifds=1, tile=(16, 16))
        file.write(RGB[::2, ::2], photometric="rgb", subfiletype=1, tile=(16, 16))
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(RGB).save(folder / "a.jpg", exif=exif)
    Image.fromarray(RGB).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(RGB).save(folder / "a.png", exif=exif)
    Image.fromarray(GRAY.astype(np.uint16) * 16).save(folder / "deep.png")
    (folder / "rgb16.png").write_bytes(imagecodecs.png_encode(RGB.astype(np.uint16) * 257))
    Image.fromarray(RGB).quantize(16).save(folder / "palette.png")
    Image.fromarray(RGB).save(folder / "a.jp2")
    (folder / "deep.jp2").write_bytes(imagecodecs.jpeg2k_encode(RGB.astype(np.uint16)))
    for ending in ("bmp", "gif", "webp", "ppm"):
        Image.fromarray(RGB).save(folder / f"a.{ending}")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return _files(tmp_path_factory.mktemp("whole"))


@pytest.mark.filterwarnings("ignore")  # decoders warn of what they then make of it
def test_a_result_or_one_clear_error(tmp_path_factory, files):
    path = tmp_path_factory.mktemp("damaged")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        name=st.sampled_from(sorted(files)),
        changes=st.lists(
            st.tuples(st.floats(0, 1), st.integers(0, 3), st.integers(0, 255)), max_size=6
        ),
        kept=st.one_of(st.just(1.0), st.floats(0, 1)),
        read=st.sampled_from((read_picture, lambda p: read_reduced(p, 20), read_mask, read_labels)),
    )
    def examine(name, changes, kept, read):
        data = bytearray(files[name])
        for place, kind, value in changes:
            # Headers stand at the start, and those of TIFF also at the end.
            span = min(len(data), 400)
            at = int(place * (span - 1)) if kind else int(place * (len(data) - 1))
            at = len(data) - 1 - at if kind == 2 else at
            data[at] = value
        damaged = path / name
        damaged.write_bytes(data[: round(kept * len(data))])
        start = time.monotonic()
        try:
            pixels = read(damaged)
        except UserError as error:
            assert name in str(error) and "\n" not in str(error)
        else:
            assert pixels.size
        assert time.monotonic() - start < MOST_SECONDS, (name, changes, kept)

    examine()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < MOST_KIB


def test_a_header_that_claims_too_much(tmp_path):
    path = tmp_path / "huge.png"
    Image.fromarray(GRAY).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(UserError, match="huge.png: .*its header says 60000 x 60000.* is damaged"):
        read_picture(path)
    tifffile.imwrite(tmp_path / "strips.tif", GRAY, rowsperstrip=4, compression="zlib")
    with tifffile.TiffFile(tmp_path / "strips.tif", mode="r+") as file:
        file.pages[0].tags["ImageLength"].overwrite(4000)
    with pytest.raises(
        UserError, match="strips.tif: .*4000 x 56 px need 1000 strips or tiles, but"
    ):
        read_picture(tmp_path / "strips.tif")
    tifffile.imwrite(tmp_path / "plain.tif", GRAY)
    with tifffile.TiffFile(tmp_path / "plain.tif", mode="r+") as file:
        file.pages[0].tags["ImageWidth"].overwrite(9000)
    with pytest.raises(UserError, match="plain.tif: .*40 x 9000 px need 360000 bytes"):
        read_picture(tmp_path / "plain.tif")


def test_what_is_no_picture(tmp_path):
    for name, data in (("notes.txt", b"notes"), ("empty.png", b""), ("x.nii", b"\x5c\x01" * 200)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=f"{name}: cannot read this picture"):
            read_picture(tmp_path / name)
    with pytest.raises(UserError, match="none.png: cannot read this picture .no such file"):
        read_picture(tmp_path / "none.png")
