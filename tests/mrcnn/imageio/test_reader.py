"""One picture, one answer: every container, depth, color model and orientation there is."""

import itertools
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from mrcnn.errors import UserError
from mrcnn.imageio import label_files, tiff_headers
from mrcnn.imageio.header import TURNS, Choice
from mrcnn.imageio.reading import open_source, read_header, read_picture
from mrcnn.imageio.reduced import read_reduced

HEIGHT, WIDTH = 45, 67
Y, X = np.mgrid[:HEIGHT, :WIDTH]
# Uneven in every direction, black to white, and smooth enough for JPEG.
GRAY = (np.hypot(Y - 12, X - 45) < 14) * 120 + Y * 2 + X // 2
GRAY = np.clip(GRAY, 0, 255).astype(np.uint8)
GRAY[0, 0], GRAY[0, 1] = 0, 255
RGB = np.stack([GRAY, 255 - GRAY, (Y * 5).astype(np.uint8)], axis=-1)
DEPTHS = ("8", "12 in 16", "16", "float")
COLORS = ("gray", "white is zero", "rgb", "rgba", "palette", "cmyk")
ORIENTATIONS = tuple(TURNS)
TIFFS = {
    "strips": {"rowsperstrip": 7},
    "one strip": {},
    "tiles": {"tile": (32, 48)},
    "LZW": {"compression": "lzw", "rowsperstrip": 10},
    "LZW tiles": {"compression": "lzw", "predictor": True, "tile": (32, 32)},
    "deflate": {"compression": "zlib", "rowsperstrip": 16},
    "deflate tiles": {"compression": "zlib", "predictor": True, "tile": (16, 32)},
    "zstd": {"compression": "zstd"},
    "JPEG in TIFF": {"compression": "jpeg", "compressionargs": {"level": 98}, "tile": (32, 32)},
    "planes": {"planarconfig": "separate", "rowsperstrip": 9},
    "BigTIFF": {"bigtiff": True, "tile": (32, 32)},
    "big endian": {"byteorder": ">"},
    "OME": {"ome": True, "metadata": {"PhysicalSizeX": 2.0, "PhysicalSizeY": 3.0}},
    "ImageJ": {"imagej": True},
}
SUPPORTED = {  # what writers of these can put in them
    "JPEG in TIFF": (("8",), ("gray", "white is zero", "rgb")),
    "planes": (DEPTHS, ("rgb", "rgba", "cmyk")),
    "OME": (DEPTHS, ("gray", "rgb", "rgba")),
    "ImageJ": (("8", "12 in 16", "16", "float"), ("gray",)),
}


def stored(array, orientation):
    """An upright picture as it lies in a file of an orientation."""
    transposed, rows, columns = TURNS[orientation]
    array = array[:: -1 if rows else 1, :: -1 if columns else 1]
    return np.ascontiguousarray(array.swapaxes(0, 1) if transposed else array)


def deepened(array, depth):
    return {
        "8": lambda a: a,
        "12 in 16": lambda a: a.astype(np.uint16) * 16,
        "16": lambda a: a.astype(np.uint16) * 257,
        "float": lambda a: a / np.float32(255),
    }[depth](array)


def full(depth):
    return {"8": np.uint8(255), "float": np.float32(1)}.get(depth, np.uint16(65535))


def samples(color, depth):
    """Upright samples of a picture, and what is to be read."""
    if color == "gray":
        return deepened(GRAY, depth), GRAY
    if color == "white is zero":
        return full(depth) - deepened(GRAY, depth), GRAY
    if color == "palette":
        return GRAY, PALETTE[GRAY]
    values = deepened(RGB, depth)
    if color == "cmyk":
        # Gray through black ink, the rest through the others: exact in every depth.
        return np.concatenate([full(depth) - values, np.zeros_like(values[..., :1])], -1), RGB
    if color == "rgba":
        values = np.concatenate([values, np.full_like(values[..., :1], full(depth))], axis=-1)
    return values, RGB


PALETTE = np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) // 2], -1).astype(np.uint8)
PHOTOMETRIC = {
    "gray": "minisblack",
    "white is zero": "miniswhite",
    "rgb": "rgb",
    "rgba": "rgb",
    "palette": "palette",
    "cmyk": "separated",
}


def write_tiff(path, container, color, depth, orientation):
    values, expected = samples(color, depth)
    values = stored(values, orientation)
    options = dict(TIFFS[container])
    if container != "ImageJ":
        options["photometric"] = PHOTOMETRIC[color]
    if color == "palette":
        options["colormap"] = PALETTE.T.astype(np.uint16) * 257
    if options.get("planarconfig") == "separate":
        values = np.moveaxis(values, -1, 0)
    if orientation != 1:
        options["extratags"] = [(274, "H", 1, orientation, True)]
    if depth == "float":
        options.pop("predictor", None)
    tifffile.imwrite(path, values, **options)
    return expected


def tiff_cases(container):
    depths, colors = SUPPORTED.get(container, (DEPTHS, COLORS))
    for depth, color in itertools.product(depths, colors):
        if color == "palette" and depth != "8":
            continue
        if color == "cmyk" and depth == "12 in 16":
            continue  # inks count from none to full, not by the bits in use
        yield depth, color


def agrees(path, expected, tolerance):
    if expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=-1)
    picture = read_picture(path)
    assert picture.shape == expected.shape and picture.dtype == np.uint8, path
    difference = np.abs(picture.astype(int) - expected)
    assert difference.mean() <= tolerance, (path, difference.mean())
    assert tolerance or difference.max() == 0, path
    with open_source(path) as source:
        np.testing.assert_array_equal(source.read(5, 9, 41, 60), picture[5:41, 9:60], str(path))
        assert source.header.shape == read_header(path).shape == (HEIGHT, WIDTH)
    small = read_reduced(path, 30)
    assert small.shape == (HEIGHT, WIDTH, 3)
    blocks = picture[: HEIGHT // 2 * 2, : WIDTH // 2 * 2].reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3)
    means = blocks.mean(axis=(1, 3))
    inner = small.pixels[: HEIGHT // 2, : WIDTH // 2].astype(float)
    if small.first == (0.5, 0.5):  # blocks begin at the upper left, as here
        assert np.abs(inner - means).mean() < 0.51 + tolerance, path


@pytest.mark.parametrize("container", TIFFS)
def test_tiff(tmp_path, container):
    path = tmp_path / "picture.tif"
    for depth, color in tiff_cases(container):
        for orientation in ORIENTATIONS if container != "ImageJ" else (1,):
            expected = write_tiff(path, container, color, depth, orientation)
            lossy = 6.0 if "JPEG" in container else 0
            agrees(path, expected, lossy or (0.51 if color == "cmyk" else 0))


@pytest.mark.parametrize("depth", ["8", "12 in 16", "16"])
def test_png(tmp_path, depth):
    path = tmp_path / "picture.png"
    for color in ("gray", "rgb", "rgba", "palette"):
        if color == "palette" and depth != "8":
            continue
        values, expected = samples(color, depth)
        for orientation in ORIENTATIONS:
            turned = stored(values, orientation)
            if depth == "8" or color == "gray":
                exif = Image.Exif()
                exif[274] = orientation
                image = Image.fromarray(turned)
                if color == "palette":
                    image.putpalette(PALETTE.ravel().tolist())
                image.save(path, exif=exif)
            elif orientation == 1:
                path.write_bytes(imagecodecs.png_encode(turned))
            else:
                continue
            agrees(path, expected, 0)


@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_lossy_formats(tmp_path, ending):
    path = tmp_path / f"picture.{ending}"
    for color in ("gray", "rgb", "cmyk"):
        if color == "cmyk" and ending == "webp":
            continue
        values, expected = samples(color, "8")
        for orientation in ORIENTATIONS:
            exif = Image.Exif()
            exif[274] = orientation
            mode = "CMYK" if color == "cmyk" else None
            turned = stored(values, orientation)
            image = Image.frombytes(mode, turned.shape[1::-1], turned.tobytes()) if mode else None
            image = image or Image.fromarray(turned)
            image.save(
                path, quality=98, exif=exif, **({"subsampling": 0} if ending == "jpg" else {})
            )
            agrees(path, expected, 3.0)


@pytest.mark.parametrize("depth", ["8", "16"])
def test_jpeg_2000(tmp_path, depth):
    path = tmp_path / "picture.jp2"
    for color in ("gray", "rgb"):
        values, expected = samples(color, depth)
        path.write_bytes(imagecodecs.jpeg2k_encode(values, level=0))
        agrees(path, expected, 0)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits(tmp_path, bits):
    values = (GRAY >> (8 - bits)).astype(np.uint8)
    expected = (values.astype(int) * 255 // (2**bits - 1)).astype(np.uint8)
    options = {"bitspersample": bits, "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "few.tif", values > 0 if bits == 1 else values, **options)
    agrees(tmp_path / "few.tif", expected, 0)
    image = Image.fromarray(values)
    image.putpalette(np.repeat(np.arange(2**bits) * 255 // (2**bits - 1), 3).tolist())
    image.save(tmp_path / "few.png", bits=bits)
    agrees(tmp_path / "few.png", expected, 0)


@pytest.mark.parametrize("plain", [False, True])
def test_bitmaps_of_netpbm(tmp_path, plain):
    """Their ones are black in a picture, and inside in a mask or label map."""
    bits = np.zeros((12, 20), np.uint8)
    bits[3:7, 4:9] = 1
    packed = " ".join(map(str, bits.ravel())).encode() if plain else np.packbits(bits, axis=1)
    path = tmp_path / "m.pbm"
    path.write_bytes(b"P%d\n20 12\n%b" % (1 if plain else 4, bytes(packed)))
    np.testing.assert_array_equal(read_picture(path)[..., 0], 255 * (1 - bits))
    np.testing.assert_array_equal(label_files.read_mask(path), bits > 0)
    np.testing.assert_array_equal(label_files.read_labels(path), bits)
    rows, columns = np.arange(2, 8), np.arange(3, 12)
    part = label_files.read_mask_at(path, rows, columns)
    np.testing.assert_array_equal(part, bits[2:8, 3:12] > 0)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("most", [4, 100, 127, 255, 1000, 4095, 65535])
def test_label_maps_of_netpbm_are_not_scaled(tmp_path, most, plain):
    """A file says how large its values may be, and decoders scale them to the full range."""
    ids = np.arange(60).reshape(6, 10) * (most // 60 or 1) % (most + 1)
    packed = ids.astype(">u2" if most > 255 else np.uint8).tobytes()
    packed = " ".join(map(str, ids.ravel())).encode() if plain else packed
    path = tmp_path / "labels.pgm"
    path.write_bytes(b"P%d\n10 6\n%d\n%b" % (2 if plain else 5, most, packed))
    np.testing.assert_array_equal(label_files.read_labels(path), ids)
    shown = read_picture(path)[..., 0]
    if most <= 255:
        np.testing.assert_allclose(shown, ids * (255 / most), atol=0.51)


def test_colors_of_netpbm_as_label_map(tmp_path):
    path = tmp_path / "labels.ppm"
    path.write_bytes(b"P6\n2 1\n100\n\x01\x01\x01\x07\x07\x07")
    assert label_files.read_labels(path).tolist() == [[1, 7]]
    path.write_bytes(b"P6\n1 1\n1000\n" + np.full(3, 7, ">u2").tobytes())
    with pytest.raises(UserError, match=r"labels.ppm: a PPM of values up to 1000, of which only 8"):
        label_files.read_labels(path)


def test_opacity_is_not_used_but_said(tmp_path, caplog):
    alpha = np.where(X < 30, 0, np.where(X < 50, 128, 255)).astype(np.uint8)
    straight = np.concatenate([RGB, alpha[..., None]], axis=-1)
    Image.fromarray(straight).save(tmp_path / "a.png")
    deep = straight.astype(np.uint16) * 257
    for name, values, kind in (("b", straight, "un"), ("c", straight, ""), ("d", deep, "un")):
        extra = [f"{kind}assalpha" if kind else "assocalpha"]
        tifffile.imwrite(tmp_path / f"{name}.tif", values, photometric="rgb", extrasamples=extra)
    for name in ("a.png", "b.tif", "c.tif", "d.tif"):
        caplog.clear()
        np.testing.assert_array_equal(read_picture(tmp_path / name), RGB, name)
        assert f"{name}: parts of it are transparent" in caplog.text
        with open_source(tmp_path / name) as source:
            np.testing.assert_array_equal(source.read_rgba(0, 0, HEIGHT, WIDTH), straight)


def test_channels_and_pages_are_chosen(tmp_path):
    stack = np.stack([GRAY, 255 - GRAY, GRAY // 2, GRAY // 3])
    path = tmp_path / "stack.ome.tif"
    for axes, word in (("CYX", "channel"), ("ZYX", "z"), ("TYX", "z")):
        tifffile.imwrite(path, stack, photometric="minisblack", metadata={"axes": axes})
        with pytest.raises(UserError, match=f"stack.ome.tif: holds 4 .*--{word} 1 to --{word} 4"):
            read_picture(path)
        for number, page in enumerate(stack, start=1):
            np.testing.assert_array_equal(
                read_picture(path, Choice(**{word: number}))[..., 0], page
            )
        with pytest.raises(UserError, match=f"--{word} 5, but it has 4"):
            read_picture(path, Choice(**{word: 5}))
    np.testing.assert_array_equal(
        read_picture(path, Choice(z="max"))[..., 0], np.maximum(GRAY, 255 - GRAY)
    )
    both = np.stack([stack, stack[::-1]])  # two planes of four channels
    tifffile.imwrite(path, both, photometric="minisblack", metadata={"axes": "ZCYX"})
    chosen = read_picture(path, Choice(channel=4, z="max"))[..., 0]
    np.testing.assert_array_equal(chosen, np.maximum(GRAY, GRAY // 3))
    np.testing.assert_array_equal(read_picture(path, Choice(channel=2, z=1))[..., 0], 255 - GRAY)
    tifffile.imwrite(path, both, photometric="minisblack", metadata={"axes": "TZYX"})
    with pytest.raises(UserError, match=r"holds 2 times \(T\), 4 planes \(Z\)"):
        read_picture(path, Choice(z=1))
    one = np.stack([GRAY] * 3)
    tifffile.imwrite(path, one, photometric="minisblack", metadata={"axes": "CYX"})
    assert read_header(path).notes == ("three channels are taken as red, green and blue",)
    with pytest.raises(UserError, match="--channel 1, but .* are colors"):
        Image.fromarray(RGB).save(tmp_path / "rgb.tif")
        read_picture(tmp_path / "rgb.tif", Choice(channel=1))


def test_stacks_of_other_programs_are_refused_or_chosen(tmp_path):
    pages = [Image.fromarray(GRAY), Image.fromarray(255 - GRAY)]
    for name in ("pages.tif", "pages.gif", "pages.webp", "pages.png"):
        options = {"lossless": True} if name.endswith("webp") else {}
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:], **options)
        with pytest.raises(UserError, match=f"{name}: holds 2 pages.*--z 1 to --z 2"):
            read_picture(tmp_path / name)
        np.testing.assert_array_equal(
            read_picture(tmp_path / name, Choice(z=2))[..., 0], 255 - GRAY
        )
    tifffile.imwrite(tmp_path / "ij.tif", np.stack([GRAY] * 2)[:, None], imagej=True)
    with pytest.raises(UserError, match="ij.tif: holds 2 "):
        read_picture(tmp_path / "ij.tif")
    # Four samples of no stated meaning: a channel would be lost.
    four = np.stack([GRAY] * 4, axis=-1)
    options = {"extrasamples": ["unspecified"] * 3, "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "four.tif", four, photometric="minisblack", **options)
    with pytest.raises(UserError, match="four.tif: .*channels"):
        read_picture(tmp_path / "four.tif")


def test_pyramids_and_extras(tmp_path):
    half = GRAY[::2, ::2]
    for name in ("pillow.tif", "plain.tif"):
        if name == "pillow.tif":
            first = Image.fromarray(GRAY)
            first.save(
                tmp_path / name,
                save_all=True,
                append_images=[Image.fromarray(half)],
                compression="tiff_lzw",
            )
        else:
            with tifffile.TiffWriter(tmp_path / name) as file:
                file.write(GRAY, metadata=None)
                file.write(half, metadata=None)
        np.testing.assert_array_equal(read_picture(tmp_path / name)[..., 0], GRAY)
    with tifffile.TiffWriter(tmp_path / "two.tif") as file:
        file.write(GRAY, metadata=None)
        file.write(GRAY[:40, :60], metadata=None)
    with pytest.raises(UserError, match="two.tif: holds several pictures .*40 x 60 px"):
        read_picture(tmp_path / "two.tif")


def test_pixel_size(tmp_path):
    def size(path):
        return read_header(path).pixel_um

    path = tmp_path / "p.tif"
    tifffile.imwrite(path, GRAY, resolution=(5000, 2500), resolutionunit="CENTIMETER")
    assert size(path) == pytest.approx((4, 2))
    turned = [(274, "H", 1, 6, True)]
    tifffile.imwrite(
        path, GRAY, resolution=(5000, 2500), resolutionunit="CENTIMETER", extratags=turned
    )
    assert size(path) == pytest.approx((2, 4))
    tifffile.imwrite(path, GRAY, resolution=(300, 300), resolutionunit="INCH")
    assert size(path) is None  # meant for print
    tifffile.imwrite(path, GRAY, imagej=True, resolution=(0.5, 0.25), metadata={"unit": "micron"})
    assert size(path) == pytest.approx((4, 2))
    sizes = {"PhysicalSizeX": 0.65, "PhysicalSizeY": 700, "PhysicalSizeYUnit": "nm"}
    tifffile.imwrite(tmp_path / "o.ome.tif", GRAY, metadata={**sizes, "axes": "YX"})
    assert size(tmp_path / "o.ome.tif") == pytest.approx((0.7, 0.65))
    tifffile.imwrite(path, GRAY, description="Aperio|MPP = 0.4990|x", metadata=None)
    assert size(path) == pytest.approx((0.499, 0.499))
    Image.fromarray(GRAY).save(tmp_path / "p.png", dpi=(25400, 12700))
    assert size(tmp_path / "p.png") == pytest.approx((2, 1), rel=1e-3)
    assert read_header(tmp_path / "p.png").dpi == pytest.approx(25400 / 2, rel=1e-3)
    tifffile.imwrite(path, GRAY, imagej=True, resolution=(300, 300), metadata={"unit": "inch"})
    assert size(path) is None
    tifffile.imwrite(path, GRAY, imagej=True, resolution=(2, 2), metadata={"unit": "mm"})
    assert size(path) == pytest.approx((500, 500))
    assert read_header(path).dpi is None


def test_resolutions_of_print_are_no_sizes_of_pixels_in_any_format(tmp_path):
    def header(name, dpi):
        path = tmp_path / name
        if name == "imagej.tif":
            options = {"imagej": True, "metadata": {"unit": "inch"}}
            tifffile.imwrite(path, GRAY, resolution=(dpi, dpi), **options)
        elif name == "cm.tif":
            tifffile.imwrite(path, GRAY, resolution=(dpi / 2.54,) * 2, resolutionunit="CENTIMETER")
        else:
            Image.fromarray(GRAY).save(path, dpi=(dpi, dpi))
        return read_header(path)

    for name in ("p.png", "p.jpg", "p.bmp", "p.tif", "cm.tif", "imagej.tif"):
        for dpi in (96, 110, 220, 300, 330, 600, 1200, 2400):  # of screens, slides and print
            assert (header(name, dpi).pixel_um, header(name, dpi).dpi) == (None, None), (name, dpi)
        found = header(name, 2540)
        assert found.pixel_um == pytest.approx((10, 10), rel=1e-3)
        assert found.dpi == pytest.approx(2540, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "extra"),
    [("label", True), ("Macro image", True), ("thumbnail", True), ("s_map", True)]
    + [("Mapt_slide.vsi", False), ("labeled 2", False), ("Map2", False)],
)
def test_only_whole_words_name_extra_pictures(name, extra):
    assert bool(tiff_headers._NAMES_OF_EXTRAS.search(name)) == extra


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_every_kind_of_png_of_16_bits(tmp_path, channels, transparent):
    path, full = tmp_path / "p.png", 65535
    values = np.linspace(0, full, 48 * 64).reshape(48, 64).astype(np.uint16)
    samples = np.stack([values] * channels, axis=-1)
    if channels != 3:
        samples[..., -1] = full - values if transparent else full
    data = imagecodecs.png_encode(samples)
    if channels == 3 and transparent:  # one color of the picture
        color = struct.pack(">4sHHH", b"tRNS", 0, 0, 0)
        chunk = struct.pack(">I", 6) + color + struct.pack(">I", zlib.crc32(color))
        data = data[:33] + chunk + data[33:]
    path.write_bytes(data)
    np.testing.assert_array_equal(read_picture(path)[..., 0], values >> 8)
    header = read_header(path)
    assert header.color == ("gray" if channels == 2 else "rgb")
    assert header.has_alpha == (channels != 3 or transparent)
    with open_source(path) as source:
        rgba = source.read_rgba(0, 0, 48, 64)
    if channels != 3:  # of one color, imagecodecs may leave the opacity out
        np.testing.assert_allclose(rgba[..., 3], samples[..., -1] / 257, atol=1)


def test_gray_of_16_bits_with_a_transparent_value_keeps_them(tmp_path):
    deep = np.linspace(0, 60000, 64 * 48).reshape(48, 64).astype(np.uint16)
    path = tmp_path / "p.png"
    Image.fromarray(deep).save(path, transparency=0)
    with Image.open(path) as image:
        assert "transparency" in image.info
    found = read_picture(path)
    header = read_header(path)
    assert header.dtype == np.uint16 and header.color == "gray"
    assert len(np.unique(found)) > 200 and found[-1, -1, 0] >= 230


def test_bilevel_with_a_transparent_value_stays_white(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.tile([False, True], (8, 8))).save(path, transparency=0)
    assert (read_picture(path)[:, 1::2] == 255).all()


def test_the_brightest_page_is_that_which_a_viewer_shows(tmp_path):
    pages = np.full((3, 8, 8), 200, np.uint8)  # dark, as white is zero
    pages[1, 2, 2] = 10  # a bright spot on one page
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pages, photometric="miniswhite")
    shown = read_picture(path, Choice(z="max"))[..., 0]
    assert shown[2, 2] == 245 and shown[0, 0] == 55


def test_a_file_of_a_set_of_ome_files_is_read_alone(tmp_path, monkeypatch):
    """Each names the others; called from their folder or from elsewhere, it is the same."""
    planes = "".join(
        f'<TiffData IFD="0" FirstC="{c}" PlaneCount="1"><UUID FileName="x_C{c}.ome.tif">'
        f"urn:uuid:0000000{c}-0000-0000-0000-000000000000</UUID></TiffData>"
        for c in (0, 1)
    )
    for c in (0, 1):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:0000000{c}-0000-0000-0000-000000000000"><Image ID="Image:0"><Pixels '
            'DimensionOrder="XYCZT" ID="Pixels:0" SizeC="2" SizeT="1" SizeX="8" SizeY="8" '
            f'SizeZ="1" Type="uint8">{planes}</Pixels></Image></OME>'
        )
        picture = np.full((8, 8), (50, 90)[c], np.uint8)
        tifffile.imwrite(tmp_path / f"x_C{c}.ome.tif", picture, description=xml, ome=False)
    for folder in (tmp_path, tmp_path.parent):
        monkeypatch.chdir(folder)
        for c, value in ((0, 50), (1, 90)):
            assert (read_picture(tmp_path / f"x_C{c}.ome.tif") == value).all()
