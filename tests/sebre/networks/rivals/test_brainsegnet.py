"""BrainSegNet: its shape, how far it looks, and where it says that pixels lie."""

import numpy as np
import pytest

from mrcnn.errors import UserError
from sebre.experiments import EXPERIMENTS
from sebre.networks.rivals.brainsegnet import BRAINSEGNET, TissuePosition, build_brainsegnet

EXPERIMENT = EXPERIMENTS["ibsr"]


def config(**settings):
    small = {"IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, "BRAINSEGNET_WIDTH": 2}
    return BRAINSEGNET.config(EXPERIMENT)(**{**small, **settings})


def test_shape_of_the_network_and_the_weights_that_the_module_states():
    model = build_brainsegnet(config())
    assert model.output_shape == (None, 64, 64, 9)
    assert model.get_layer("scale8_conv4").output.shape == (None, 8, 8, 8)
    whole = build_brainsegnet(config(BRAINSEGNET_WIDTH=24))
    assert round(whole.count_params() / 1e6, 1) == 0.6


def test_a_size_that_does_not_fit():
    wrong = config()
    wrong.IMAGE_SHAPE = np.array([60, 64, 3])
    with pytest.raises(UserError, match="60 x 64 px.*multiples of 8"):
        build_brainsegnet(wrong)


def test_the_finest_patch_is_of_29_px():
    import keras

    model = build_brainsegnet(config())
    near = keras.Model(model.input, model.get_layer("scale1_conv4").output)
    picture = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype(np.float32) * 64
    changed = picture.copy()
    changed[0, 32, 32] += 500
    differs = np.abs(near(changed) - near(picture))[0].max(-1) > 1e-6
    rows, columns = np.nonzero(differs)
    assert (np.abs(rows - 32).max(), np.abs(columns - 32).max()) == (14, 14)


def test_positions_follow_the_tissue():
    picture = np.zeros((2, 32, 64, 3), np.float32)
    picture[0, 8:24, 16:48] = 1.0
    picture[1, 12:28, 20:52] = -3.0  # dark tissue on bright glass, elsewhere
    picture[1] += 2.0
    found = np.asarray(TissuePosition()(picture))
    assert found.shape == (2, 32, 64, 2)
    np.testing.assert_allclose(found[0, 15:17, 20, 0].mean(), 0, atol=0.02)
    np.testing.assert_allclose(found[0, 10, 31:33, 1].mean(), 0, atol=0.02)
    # The same tissue, moved: the same positions in it.
    np.testing.assert_allclose(found[1, 12:28, 20:52], found[0, 8:24, 16:48], atol=0.06)
    empty = np.asarray(TissuePosition()(picture[:1] * 0))
    assert np.isfinite(empty).all() and np.abs(empty).max() < 2
