"""F-CNN: its shape, and what its Markov random field does."""

import numpy as np
import pytest

from mrcnn.errors import UserError
from sebre.experiments import EXPERIMENTS
from sebre.networks.rivals.fcnn import FCNN, FCNNSegmenter, build_fcnn

EXPERIMENT = EXPERIMENTS["ibsr"]


def config(**settings):
    small = {"IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, "FCNN_WIDTH": 4}
    return FCNN.config(EXPERIMENT)(**{**small, **settings})


def test_shape_of_the_network():
    model = build_fcnn(config())
    assert model.output_shape == (None, 64, 64, 9)
    blocks = [model.get_layer(f"block{n}") for n in range(1, 7)]
    assert [layer.filters for layer in blocks] == [4, 8, 16, 32, 32, 64]
    assert [layer.dilation_rate[0] for layer in blocks] == [1, 1, 2, 2, 2, 4]
    assert blocks[-1].output.shape[1:3] == (16, 16)


def test_number_of_weights_that_the_module_states():
    assert round(build_fcnn(config(FCNN_WIDTH=64)).count_params() / 1e6, 1) == 12.5


def test_a_size_that_does_not_fit():
    wrong = config()
    wrong.IMAGE_SHAPE = np.array([62, 64, 3])
    with pytest.raises(UserError, match="62 x 64 px.*multiples of 4"):
        build_fcnn(wrong)


def probabilities() -> np.ndarray:
    """A square of label 1 on label 0, with one doubtful pixel inside and one outside."""
    labels = np.zeros((12, 12), int)
    labels[3:9, 3:9] = 1
    found = np.where(np.eye(3)[labels] == 1, 0.9, 0.05)
    found[5, 5] = 0.5, 0.3, 0.2
    found[1, 10] = 0.3, 0.2, 0.5
    return found


@pytest.mark.parametrize(("potts", "changed"), [(0.0, 0), (0.5, 2)])
def test_the_field_changes_lonely_pixels(potts, changed):
    segmenter = FCNNSegmenter(None, config(FCNN_POTTS=potts), EXPERIMENT.regions, None)
    before = probabilities()
    after = segmenter.refined(before)
    differ = before.argmax(-1) != after.argmax(-1)
    assert differ.sum() == changed
    if changed:
        assert after[5, 5].argmax() == 1 and after[1, 10].argmax() == 0
    np.testing.assert_allclose(after.sum(-1), before.sum(-1))
