"""Figures of results: what they draw are the numbers of the records, and texts can be read."""

import numpy as np
import pytest
from figure_texts import check_texts, drawn_texts
from matplotlib.colors import to_rgb
from paths import ROOT
from result_samples import (
    PAPERS,
    STAND_IN,
    human_mri,
    made_up,
    newer,
    result_of,
    stored,
    write,
)

from sebre.data.regions import HIPPOCAMPUS, SUBCORTICAL
from sebre.evaluation.failures import KINDS, SIDE_SWAP
from sebre.report.figures import (
    ap_figure,
    dice_figure,
    failures_figure,
    reliability_figure,
    spread_figure,
    turned_figure,
)
from sebre.report.records import read_results

REAL = ROOT / "results"


@pytest.fixture
def folder(tmp_path):
    human_mri(tmp_path)
    return tmp_path


def by_experiment(results, published, experiment):
    return [
        dice_figure(results, published, experiment),
        ap_figure(results, experiment),
        spread_figure(results, experiment),
        reliability_figure(results, experiment),
    ]


def test_no_text_lies_on_another_or_is_cut_off(published, monkeypatch):
    """Also with another network and a U-Net on the same data sets, and on the paper's data."""
    real, _ = read_results(REAL, {})
    more = [{**stored(r), "weights": f"{r.record.weights}_384"} for r in real]
    ibsr = next(record for record in more if record["experiment"] == "ibsr")
    more.append({**ibsr, "dataset": "ibsr", "network": "U-Net"})
    for record in more:
        for scores in filter(None, (record, record["turned"])):
            scores["failures"] = {
                kind: {"total": 9, "per_region": {}} for kind in (*KINDS, SIDE_SWAP)
            }
            scores["intervals"] = {key: [0.4, 0.9] for key in ("map_paper", "dice_mean")}
    results = [*real, *(result_of(f"more_{i}", record) for i, record in enumerate(more))]
    figures = [
        *by_experiment(results, published, "extended_mouse"),
        *by_experiment(results, published, "ibsr"),
        turned_figure(results),
        failures_figure(results),
    ]
    for figure in figures:
        check_texts(figure, monkeypatch)


def panels(figure):
    """Axes by the data set with its sections, or "published"."""
    titled = [ax for ax in figure.axes if ax.get_title()]
    return {
        ax.get_title().split("\n")[0 if "published" in ax.get_title() else 1]: ax for ax in titled
    }


def test_bars_are_the_numbers_and_have_the_colors_of_regions(folder, published):
    results, _ = read_results(folder, {})
    figure = dice_figure(results, published, "ibsr")
    axes = panels(figure)
    assert set(axes) == {"published", "ibsr, 20 sections", "scans, 20 sections"}
    names = [label.get_text().replace(" ", "_") for label in figure.axes[0].get_yticklabels()]
    assert names == SUBCORTICAL.names
    paper = {
        s.region_name: s.value for s in published if (s.method, s.metric) == ("SeBRe", "dice_mean")
    }
    wanted = {
        "published": paper,
        "ibsr, 20 sections": stored(results[0])["dice_per_region"],
        "scans, 20 sections": stored(results[1])["dice_per_region"],
    }
    for title, ax in axes.items():
        for name, region, bar in zip(names, SUBCORTICAL, ax.patches, strict=True):
            value = wanted[title][name]
            np.testing.assert_equal(bar.get_width(), np.nan if value is None else value)
            assert bar.get_facecolor()[:3] == to_rgb(np.array(region.color) / 255)
        notes = [note.get_text() for note in ax.texts]
        assert [note.split()[0] for note in notes] == [
            "-" if wanted[title][n] is None else f"{wanted[title][n]:.3f}" for n in names
        ]
    notes = [note.get_text() for note in axes["scans, 20 sections"].texts]
    assert notes[4] == "-  n=0" and notes[0].endswith("n=10")
    assert PAPERS in axes["ibsr, 20 sections"].get_title()
    assert STAND_IN in axes["scans, 20 sections"].get_title()


def test_turned_scores_are_marks_beside(folder, published):
    results, _ = read_results(folder, {})
    own = stored(results[0])
    axes = panels(ap_figure(results, "ibsr"))
    assert "published" not in axes
    (marks,) = axes["ibsr, 20 sections"].lines
    np.testing.assert_array_equal(
        marks.get_xdata(), list(own["turned"]["ap50_per_region"].values())
    )
    (marks,) = axes["scans, 20 sections"].lines
    assert np.isnan(marks.get_xdata()).all()
    found = grid(turned_figure(results))
    lying, turned = found[PAPERS, "mean Dice"].lines
    assert [*lying.get_xdata(), *turned.get_xdata()] == [
        own["dice_mean"],
        own["turned"]["dice_mean"],
    ]
    lying, turned = found[STAND_IN, "mAP"].lines
    assert lying.get_xdata() == [results[1].at().map_paper]
    assert np.isnan(turned.get_xdata()).all()


def test_lines_are_the_intervals(folder, published, monkeypatch):
    first, other = (result for result in read_results(folder, {})[0])
    record = newer(stored(first))
    record["intervals"]["dice_per_region"]["left_putamen"] = None
    results = [result_of("own", record), other]
    axes = panels(dice_figure(results, published, "ibsr"))
    wanted = list(filter(None, record["intervals"]["dice_per_region"].values()))
    assert ends_of_lines(axes["ibsr, 20 sections"]) == wanted and len(wanted) == 7
    assert ends_of_lines(axes["scans, 20 sections"]) == []
    found = grid(turned_figure(results))
    for name, key in (("mAP", "map_paper"), ("mean Dice", "dice_mean")):
        assert ends_of_lines(found[PAPERS, name]) == [
            record["intervals"][key],
            record["turned"]["intervals"][key],
        ]
        assert ends_of_lines(found[STAND_IN, name]) == []
    for figure, said in (
        (dice_figure(results, published, "ibsr"), True),
        (turned_figure(results), True),
        (turned_figure([other]), False),
        (ap_figure(results, "ibsr"), False),
    ):
        texts = [text for text, _ in drawn_texts(figure, monkeypatch)]
        assert ("95 % interval" in texts) == said


def test_axis_of_scores_shows_the_lowest_of_all():
    """Also where another panel has higher ones only."""
    low, high = (
        result_of(name, newer(made_up(name, name, start, ["a"])))
        for name, start in (("low", 0.05), ("high", 0.9))
    )
    for results in ((low, high), (high, low)):
        for ax in turned_figure(results).axes:
            assert ax.get_xlim()[0] < 0.05 and ax.get_xlim()[1] > 0.95


def test_failures_are_counted_of_the_drawn_regions(folder):
    own, other = read_results(folder, {})[0]
    own = result_of("own", newer(stored(own)))
    drawn = sum(stored(own)["n_per_region"].values())
    found = grid(failures_figure([own, other]))
    assert [kind for kind, _ in found] == [PAPERS] * len(KINDS)  # the other does not say
    for total, kind in enumerate(KINDS, 1):
        ax = found[PAPERS, kind.replace("_", " ")]
        (bar,), (mark,) = ax.patches, ax.lines
        assert bar.get_width() == mark.get_xdata()[0] == 100 * total / drawn
        assert ax.get_xlim() == found[PAPERS, "missed"].get_xlim()
        assert 0 == ax.get_xlim()[0] and bar.get_width() < ax.get_xlim()[1]


def grid(figure):
    """Axes by kind of our numbers, which stands beside the first of a row, and title."""
    found, kind = {}, ""
    for ax in figure.axes:
        kind = next((note.get_text() for note in ax.texts), kind)
        found[kind, ax.get_title()] = ax
    return found


def ends_of_lines(ax):
    """[low, high] of what `hlines` drew, in order."""
    return [path.vertices[:, 0].tolist() for drawn in ax.collections for path in drawn.get_paths()]


def test_sections_and_found_regions_are_dots(folder):
    results, _ = read_results(folder, {})
    ax = panels(spread_figure(results, "ibsr"))["scans, 20 sections"]
    assert [note.get_text() for note in ax.texts] == ["n=2"] * 5 + ["n=0"] * 3
    dots = [line.get_xdata() for line in ax.lines if line.get_marker() == "."]
    np.testing.assert_allclose(dots, [[0.15 * i, 0] for i in range(5)])
    ax = panels(reliability_figure(results, "ibsr"))["scans, 20 sections"]
    dots, line = ax.lines
    # One of the two sections misses all: five regions were found.
    np.testing.assert_allclose(1 - 10 ** -dots.get_xdata(), [0.5, 0.55, 0.6, 0.65, 0.7])
    np.testing.assert_allclose(dots.get_ydata(), [0, 0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(line.get_ydata(), [0.2])


def test_figures_without_results_or_values_say_so(tmp_path, published, monkeypatch):
    figures = [*by_experiment((), published, "hippocampus"), turned_figure(()), failures_figure(())]
    said = ["No result of hippocampus."] * 4 + ["No results.", "No result counts failures."]
    for figure, wanted in zip(figures, said, strict=True):
        ((message, _),) = drawn_texts(figure, monkeypatch)
        assert message == wanted
    assert set(panels(dice_figure((), published, "ibsr"))) == {"published"}
    nothing = dict.fromkeys(HIPPOCAMPUS.names)
    empty = {key: None for key in ("map_paper", "coco_ap50", "coco_ap", "dice_mean")}
    empty |= {"dice_per_region": nothing, "ap50_per_region": nothing, "turned": None}
    record = made_up("my_own", "plates", 0.2, HIPPOCAMPUS.names)
    write(tmp_path, a={**record, **empty, "sections": []})
    results, problems = read_results(tmp_path, {})
    assert problems == ()
    twice = [by_experiment(results, published, "my_own") for _ in range(2)]
    twice = [[*figures, turned_figure(results)] for figures in twice]
    for figure, same in zip(*twice, strict=True):
        picture = figure.png()
        assert picture.startswith(b"\x89PNG") and picture == same.png()


def test_networks_are_named(folder, published, monkeypatch):
    record = stored(read_results(folder, {})[0][0])
    unet = result_of("unet", {**record, "network": "U-Net", "weights": "other"})
    results = [result_of("own", record), unet]
    for figure in (dice_figure(results, published, "ibsr"), turned_figure(results)):
        texts = " ".join(text for text, _ in drawn_texts(figure, monkeypatch))
        assert "U-Net, weights other" in texts and "Mask R-CNN, weights small" in texts
