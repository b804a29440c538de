"""Tables and histograms of weights."""

import types

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest

from mrcnn import visualize


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture
def model():
    """A stand-in for `MaskRCNN`: a convolution of 2 filters, its normalization, a dense layer."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(2, 3, name="conv1")(inputs)
    x = keras.layers.BatchNormalization(name="bn_conv1")(x)
    x = keras.layers.Dense(5, name="rpn_out")(x)
    keras_model = keras.Model(inputs, x)
    kernel = np.linspace(-1, 3, 3 * 3 * 3 * 2, dtype=np.float32).reshape(3, 3, 3, 2)
    keras_model.get_layer("conv1").set_weights([kernel, np.array([0.5, 0.25])])
    with_weights = [layer for layer in keras_model.layers if layer.weights]
    return types.SimpleNamespace(keras_model=keras_model, get_trainable_layers=lambda: with_weights)


def test_statistics_of_all_layers_are_those_that_are_displayed(model):
    table = visualize.weight_stats(model)
    assert table[0] == ["WEIGHT NAME", "SHAPE", "MIN", "MAX", "STD"]
    assert len(table) == 1 + 2 + 4 + 2
    assert visualize.display_table(table) == visualize.display_weight_stats(model)


def test_statistics_of_chosen_layers(model):
    rows = visualize.weight_stats(model, "conv1|rpn_.*")[1:]
    names = [row[0] for row in rows]
    assert [name.partition("<")[0] for name in names] == [
        "conv1/kernel",
        "conv1/bias",
        "rpn_out/kernel",
        "rpn_out/bias",
    ]
    kernel = np.linspace(-1, 3, 54)
    assert rows[0][1:] == ["(3, 3, 3, 2)", "  -1.0000", "  +3.0000", f"{kernel.std():+9.4f}"]
    assert rows[1][1:4] == ["(2,)", "  +0.2500", "  +0.5000"]


@pytest.mark.parametrize("draw", [visualize.weight_stats, visualize.plot_weight_histograms])
def test_layers_must_be_an_expression_that_matches_whole_names(model, draw):
    with pytest.raises(ValueError, match="'rpn' matches no layer .* conv1, bn_conv1, rpn_out"):
        draw(model, "rpn")
    with pytest.raises(ValueError, match=r"'rpn_\(' is no regular expression"):
        draw(model, "rpn_(")


def test_histograms_have_a_row_a_layer_and_a_column_a_weight(model, tmp_path):
    figure = visualize.plot_weight_histograms(model, ".*conv1", bins=4)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == [
        "conv1  kernel, 54",
        "conv1  bias, 2",
        "",
        "",
        "bn_conv1  gamma, 2",
        "bn_conv1  beta, 2",
        "bn_conv1  moving_mean, 2",
        "bn_conv1  moving_variance, 2",
    ]
    places = [ax.get_subplotspec() for ax in figure.axes]
    assert [(p.rowspan.start, p.colspan.start) for p in places] == [
        (row, column) for row in range(2) for column in range(4)
    ]
    # 54 numbers, evenly from -1 to 3, in four bins.
    bars = figure.axes[0].patches
    assert [bar.get_height() for bar in bars] == [14, 13, 13, 14]
    assert bars[0].get_x() == pytest.approx(-1)
    assert [ax.axison for ax in figure.axes[:4]] == [True, True, False, False]
    assert figure.get_size_inches()[0] <= 9
    figure.savefig(tmp_path / "histograms.png")
