"""Figures of results: what they draw are the numbers of the records, and texts can be read."""

from pathlib import Path

import matplotlib.text
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from result_samples import PAPERS, STAND_IN, human_mri, made_up, write

from sebre.published import read_published
from sebre.regions import HIPPOCAMPUS, SUBCORTICAL
from sebre.report_figures import (
    ap_figure,
    dice_figure,
    reliability_figure,
    spread_figure,
    turned_figure,
)
from sebre.results import read_results

REAL = Path(__file__).resolve().parents[1] / "results"


@pytest.fixture
def folder(tmp_path):
    human_mri(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def published():
    return read_published()


def drawn_texts(figure, monkeypatch):
    """Every text that is drawn, with its extent in pixels."""
    texts = []
    draw = matplotlib.text.Text.draw

    def record(self, renderer):
        if self.get_visible() and self.get_text().strip():
            texts.append((self.get_text(), self.get_window_extent(renderer)))
        return draw(self, renderer)

    figure.canvas.draw()
    figure.set_layout_engine("none")  # it is done
    with monkeypatch.context() as patch:
        patch.setattr(matplotlib.text.Text, "draw", record)
        figure.canvas.draw()
    return texts


def all_figures(results, published, experiment):
    return [
        dice_figure(results, published, experiment),
        ap_figure(results, experiment),
        spread_figure(results, experiment),
        reliability_figure(results, experiment),
        turned_figure(results),
    ]


@pytest.mark.parametrize("experiment", ["extended_mouse", "ibsr"])
def test_no_text_lies_on_another_or_is_cut_off(published, experiment, monkeypatch, tmp_path):
    """Also when another network was scored on the same data sets, and on the paper's data."""
    real, _ = read_results(REAL, {})
    more = [{**r.record, "weights": f"{r.record['weights']}_384"} for r in real]
    more.append({**next(r.record for r in real if r.experiment == "ibsr"), "dataset": "ibsr"})
    write(tmp_path, **{f"more_{i}": record for i, record in enumerate(more)})
    more, problems = read_results(tmp_path, {})
    assert problems == ()
    for figure in all_figures((*real, *more), published, experiment):
        texts = drawn_texts(figure, monkeypatch)
        assert len(texts) > 10
        width, height = figure.canvas.get_width_height()
        assert width <= 9 * 80
        for i, (name, a) in enumerate(texts):
            assert -1 <= a.x0 and -1 <= a.y0 and a.x1 <= width + 1 and a.y1 <= height + 1, name
            for other, b in texts[:i]:
                apart = a.x0 >= b.x1 or b.x0 >= a.x1 or a.y0 >= b.y1 or b.y0 >= a.y1
                assert apart, (name, other)


def panels(figure):
    """Axes by the data set, or "published"."""
    titled = [ax for ax in figure.axes if ax.get_title()]
    return {
        ax.get_title().split("\n")[0 if "published" in ax.get_title() else 1]: ax for ax in titled
    }


def test_bars_are_the_numbers_and_have_the_colours_of_regions(folder, published):
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
        "ibsr, 20 sections": results[0].record["dice_per_region"],
        "scans, 20 sections": results[1].record["dice_per_region"],
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
    own = results[0].record
    axes = panels(ap_figure(results, "ibsr"))
    assert "published" not in axes
    (marks,) = axes["ibsr, 20 sections"].lines
    np.testing.assert_array_equal(
        marks.get_xdata(), list(own["turned"]["ap50_per_region"].values())
    )
    (marks,) = axes["scans, 20 sections"].lines
    assert np.isnan(marks.get_xdata()).all()
    figure = turned_figure(results)
    found = {ax.get_title(): [line.get_xdata() for line in ax.lines] for ax in figure.axes}
    assert set(found) == {f"{k}: {m}" for k in (PAPERS, STAND_IN) for m in ("mAP", "mean Dice")}
    lying, turned = found[f"{PAPERS}: mean Dice"]
    assert [*lying, *turned] == [own["dice_mean"], own["turned"]["dice_mean"]]
    lying, turned = found[f"{STAND_IN}: mAP"]
    assert lying == [results[1].record["map_paper"]] and np.isnan(turned).all()


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
    for figure in all_figures((), published, "hippocampus"):
        ((message, _),) = drawn_texts(figure, monkeypatch)
        assert message in ("No result of hippocampus.", "No results.")
    assert set(panels(dice_figure((), published, "ibsr"))) == {"published"}
    nothing = dict.fromkeys(HIPPOCAMPUS.names)
    empty = {key: None for key in ("map_paper", "coco_ap50", "coco_ap", "dice_mean")}
    empty |= {"dice_per_region": nothing, "ap50_per_region": nothing, "turned": None}
    record = made_up("my_own", "plates", 0.2, HIPPOCAMPUS.names)
    write(tmp_path, a={**record, **empty, "sections": []})
    results, problems = read_results(tmp_path, {})
    assert problems == ()
    for figure in all_figures(results, published, "my_own"):
        assert figure._repr_png_().startswith(b"\x89PNG")
