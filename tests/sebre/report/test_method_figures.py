"""Bars of methods on the same sections: what they draw are the numbers of the records."""

from figure_texts import check_texts, drawn_texts
from result_samples import STAND_IN, made_up_method, result_of, stored

from sebre.data.regions import HIPPOCAMPUS, SUBCORTICAL
from sebre.report.method_figures import methods_figure
from sebre.report.records import METHOD_NAMES

MASK_RCNN = {"network": "Mask R-CNN", "weights": "hippocampus"}
U_NET = {"network": "U-Net", "weights": "hippocampus_unet"}


def methods_on(experiment, dataset, regions, networks=(MASK_RCNN, U_NET)):
    """Methods on a data set, in another order than that of the bars."""
    others = [(name, {}) for name in reversed(METHOD_NAMES)]
    made = [*others, *(("network", network) for network in networks)]
    return [
        result_of(
            f"{dataset}_{i}",
            made_up_method(experiment, dataset, name, regions, 0.6 + i / 50, **more),
        )
        for i, (name, more) in enumerate(made)
    ]


def bars(ax):
    """Widths by color, from top to bottom."""
    found = {}
    for bar in (p for p in ax.patches if p.get_height() < 0.5):
        found.setdefault(bar.get_facecolor(), []).append((bar.get_y(), bar.get_width()))
    return {color: [width for _, width in sorted(pairs)] for color, pairs in found.items()}


def colors_by_name(figure):
    (legend,) = figure.legends
    texts = (text.get_text() for text in legend.get_texts())
    return {
        name: handle.get_facecolor()
        for name, handle in zip(texts, legend.legend_handles, strict=True)
        if hasattr(handle, "get_facecolor") and hasattr(handle, "get_width")
    }


def test_bars_are_the_numbers(published):
    methods = methods_on("hippocampus", "plates", HIPPOCAMPUS.names)
    figure = methods_figure(methods, published)
    colors = colors_by_name(figure)
    assert list(colors) == ["Mask R-CNN", "U-Net", *METHOD_NAMES.values()]
    assert len(set(colors.values())) == 6
    assert [ax.get_title() for ax in figure.axes] == [
        "mean squared error\nupright",
        "mean squared error\nturned by 20°",
        "Dice\nupright",
        "Dice\nturned by 20°",
    ]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["all regions", *HIPPOCAMPUS.names]
    keys = [("mse", "mse_per_region")] * 2 + [("dice_mean", "dice_per_region")] * 2
    for i, (ax, (total, by_region)) in enumerate(zip(figure.axes, keys, strict=True)):
        drawn = bars(ax)
        assert len(drawn) == len(methods)
        for method in methods:
            scores = stored(method)["turned"] if i % 2 else stored(method)
            wanted = [scores[total], *(scores[by_region][name] for name in HIPPOCAMPUS.names)]
            assert drawn[colors[method.method_name]] == wanted
            assert max(wanted) < ax.get_xlim()[1] and ax.get_xlim()[0] == 0
    error, error_turned, dice, _ = figure.axes
    assert error.get_xlim() == error_turned.get_xlim() != dice.get_xlim()
    ends = [path.vertices[:, 0].tolist() for c in dice.collections for path in c.get_paths()]
    assert sorted(ends) == sorted(stored(m)["intervals"]["dice_mean"] for m in methods)


def crosses(figure):
    """Rows that have one, of each panel."""
    return [[round(y) for line in ax.lines for y in line.get_ydata()] for ax in figure.axes]


def test_a_number_that_is_not_there_is_a_cross_and_no_bar(published, monkeypatch):
    methods = methods_on("hippocampus", "plates", HIPPOCAMPUS.names)
    whole = methods_figure(methods, published)
    assert crosses(whole) == [[], [], [], []]
    assert "not in the record" not in dict(drawn_texts(whole, monkeypatch))
    first, second = (stored(method) for method in methods[:2])
    del first["mse_per_region"]
    second["turned"]["dice_per_region"]["CA2"] = None
    methods[:2] = result_of("first", first), result_of("second", second)
    figure = methods_figure(methods, published)
    assert crosses(figure) == [[1, 2, 3, 4], [], [], [1 + HIPPOCAMPUS.names.index("CA2")]]
    assert "not in the record" in dict(drawn_texts(figure, monkeypatch))


def test_networks_of_one_kind_have_a_color_each(published):
    more = {"network": "Mask R-CNN", "weights": "hippocampus_384"}
    methods = methods_on("hippocampus", "plates", HIPPOCAMPUS.names, (MASK_RCNN, more, U_NET))
    colors = colors_by_name(methods_figure(methods, published))
    assert len(set(colors.values())) == len(colors) == 7
    alone = colors_by_name(methods_figure(methods_on("hippocampus", "a", ["CA1"]), published))
    assert colors["Mask R-CNN, weights hippocampus"] == alone["Mask R-CNN"]
    assert "Mask R-CNN, weights hippocampus_384" in colors
    assert {name: colors[name] for name in METHOD_NAMES.values()} == {
        name: alone[name] for name in METHOD_NAMES.values()
    }


def test_texts_can_be_read_and_say_what_is_drawn(published, monkeypatch):
    methods = methods_on("hippocampus", "plates", HIPPOCAMPUS.names)
    few = methods_on("ibsr", "scans", SUBCORTICAL.names)
    few[0].record.scores.n_sections = 16
    figure = methods_figure([*methods, *few], published)
    check_texts(figure, monkeypatch)
    texts = [text for text, _ in drawn_texts(figure, monkeypatch)]
    assert f"hippocampus: plates, 6 sections ({STAND_IN})" in texts
    assert f"ibsr: scans, 6 to 16 sections ({STAND_IN})" in texts
    (note,) = (text for text in texts if "Fig. 8" in text)
    assert "SeBRe, elastix, ndreg" in note and "without numbers" in note
    assert not any(
        "Fig. 8" in text for text, _ in drawn_texts(methods_figure(methods, ()), monkeypatch)
    )
    ((message, _),) = drawn_texts(methods_figure((), published), monkeypatch)
    assert message == "No result of `sebre register`."


def test_the_same_methods_give_the_same_picture(published):
    methods = methods_on("hippocampus", "plates", ["CA1"])
    one, other = (methods_figure(methods, published).png() for _ in range(2))
    assert one == other
