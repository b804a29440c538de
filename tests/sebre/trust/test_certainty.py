"""How far to trust the network of any section."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data

from mrcnn.errors import UserError
from mrcnn.structures.mask_formats import mask_to_rle
from sebre.data.regions import ANY_SECTION
from sebre.experiments.base import Turn
from sebre.networks.segmenter import load_segmenter, read_image
from sebre.networks.weights_store import find_weights
from sebre.trust.certainty import CertaintyModel, Curve, certainty, fit_certainty, fit_curve
from sebre.trust.trust_files import load_trust

CURVE = Curve(np.array([0.2, 0.4, 0.8]), np.array([0.1, 0.4, 0.9]))
MODEL = CertaintyModel("0" * 64, CURVE, CURVE, 0.5)
PICTURE = np.pad(np.full((40, 60, 3), 180, np.uint8), ((20, 20), (20, 20), (0, 0)))


def result_of(scores, areas=(100, 300)):
    masks = np.zeros((80, 100, len(scores)), bool)
    for row, area in zip(range(len(scores)), areas, strict=False):
        masks[20 : 20 + area // 10, 20 + 20 * row : 30 + 20 * row, row] = True
    ids = np.arange(1, len(scores) + 1, dtype=np.int32)
    return {"class_ids": ids, "scores": np.array(scores, np.float32), "masks": masks}


def assess(scores):
    result = result_of(scores)
    labels = (result["masks"] * result["class_ids"]).sum(-1).astype(np.uint8)
    return MODEL.assess(SimpleNamespace(regions=ANY_SECTION), PICTURE, result, labels)


def test_certainty_is_the_mean_over_pixels():
    result = result_of([0.9, 0.5])
    assert certainty(result) == pytest.approx((100 * 0.9 + 300 * 0.5) / 400)
    rles = {**result, "masks": [mask_to_rle(result["masks"][..., row]) for row in (0, 1)]}
    assert certainty(rles) == certainty(result)
    assert certainty(result_of([])) == 0


def test_regions_and_sections_below_the_limit_are_told():
    sure = assess([0.3, 0.8])
    assert not sure.warnings and sure.distance < 1
    assert sure.regions[1].expected_dice == pytest.approx(0.25)
    assert [flag.kind for flag in sure.regions[1].flags] == ["low_dice"]
    assert sure.regions[2].expected_dice == 0.9 and not sure.regions[2].flags
    unsure = assess([0.8, 0.3])
    assert [warning.kind for warning in unsure.warnings] == ["unsure"] and unsure.distance > 1
    assert "0.43" in str(unsure.warnings[0]) and "0.48" in str(unsure.warnings[0])
    assert [warning.kind for warning in assess([]).warnings] == ["none_found"]


def test_a_curve_rises_and_keeps_the_mean():
    rng = np.random.default_rng(0)
    probability = rng.random(600)
    dices = np.clip(probability**2 + rng.normal(0, 0.1, 600), 0, 1)
    curve = fit_curve([*zip(probability, dices, strict=True)])
    assert (np.diff(curve.dice) >= 0).all() and (np.diff(curve.probability) > 0).all()
    assert [curve(p) for p in (0.3, 0.6, 0.9)] == pytest.approx([0.09, 0.36, 0.81], abs=0.05)
    assert curve.reaches(0.49) == pytest.approx(0.7, abs=0.04)
    assert curve.reaches(2.0) == curve.probability[-1]


def test_a_file_gives_the_same_model():
    again = CertaintyModel.from_json(json.loads(json.dumps(MODEL.to_json())))
    assert again.to_json() == MODEL.to_json() and again.regions(0.5) == MODEL.regions(0.5)
    with pytest.raises(ValueError, match="version"):
        CertaintyModel.from_json({**MODEL.to_json(), "version": 9})


class Drawn:
    """Sections with one bright region, of which the lower half is found, with its score."""

    contrast, image_ids = "", range(30)
    config = SimpleNamespace(CONTRAST="bits", IMAGE_MAX_DIM=160)
    regions, weights = ANY_SECTION, SimpleNamespace(sha256="1" * 64)

    def load_image(self, image_id):
        return PICTURE

    def load_mask(self, image_id):
        return (PICTURE[..., :1] > 0), np.array([1])

    def image_reference(self, image_id):
        return f"{image_id}"

    def detect(self, pictures):
        found = pictures[0][..., :1] > 90
        found[: len(found) // 2] = False
        return [{"class_ids": np.array([1]), "scores": np.array([0.6]), "masks": found}]


def test_fit_measures_what_is_found(tmp_path):
    model = fit_certainty(Drawn(), Drawn(), tmp_path, Turn(0, False), limit=20)
    assert model.regions(0.6) == pytest.approx(2 / 3, abs=0.15)
    assert model.facts["sections"] == 20 and model.facts["disturbed"] == 40
    with pytest.raises(UserError, match="50 are needed"):
        fit_certainty(Drawn(), Drawn(), tmp_path, Turn(0, False), limit=5)


def test_the_shipped_file_tells_photos_from_sections(data_dir):
    segmenter = load_segmenter("any_section")
    model = load_trust(find_weights("any_section"))
    assert isinstance(model, CertaintyModel)

    def warned(picture):
        (result,) = segmenter.detect([picture])
        return bool(model.assess(segmenter, picture, result, None).warnings)

    photos = (skimage.data.coffee(), skimage.data.chelsea(), skimage.data.astronaut())
    assert all(warned(photo) for photo in photos)
    folder = data_dir / "zeroshot"
    names = ("abba_quicknii", "deepslice_glta")
    for name in names:  # the ends of a brain are uncertain
        paths = sorted((folder / name).glob("*[0-9].*g"))
        assert not warned(read_image(paths[len(paths) // 2], segmenter.config.CONTRAST))
