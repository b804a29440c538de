"""Curves of scores by angle: what they draw are the numbers of the records."""

import json

import numpy as np
import pytest
from figure_texts import check_texts, drawn_texts
from matplotlib.colors import to_rgba
from result_samples import PAPERS, STAND_IN, made_up, newer, result_of, stored

from sebre.data.regions import SUBCORTICAL
from sebre.report.curves import (
    angles_figure,
    drawn_figure,
    drawn_table,
    left_out_table,
    read_curves,
    read_left_out,
)

ANY = range(-150, 181, 30)


def result(dataset, start, name=None, change=None, **more):
    record = made_up("ibsr", dataset, start, SUBCORTICAL.names, weights=name or dataset)
    record = newer(record, **more)
    return result_of(name or dataset, change(record) if change else record)


def test_curves_and_bands_are_the_numbers():
    def backwards(record):
        record["angles"]["curve"].reverse()
        return record

    def lacking(record):
        nothing = {"map_paper": None, "dice_mean": None}
        record["angles"]["curve"][1] |= {"map_paper": None, "intervals": nothing}
        return record

    network = result("scans", 0.5, change=backwards)
    unet = result("scans", 0.3, "unet", change=lacking, network="U-Net")
    own = result("ibsr", 0.6, angles=ANY)
    without = result_of("without", made_up("ibsr", "older", 0.1, SUBCORTICAL.names))
    figure = angles_figure([network, unet, own, without])
    assert [ax.get_title() for ax in figure.axes] == ["mAP", "mean Dice", "", ""]
    for axes, results in ((figure.axes[:2], (network, unet)), (figure.axes[2:], (own,))):
        for ax, key in zip(axes, ("map_paper", "dice_mean"), strict=True):
            for line, band, shown in zip(ax.lines, ax.collections, results, strict=True):
                points = sorted(stored(shown)["angles"]["curve"], key=lambda p: p["angle"])
                values = [np.nan if p[key] is None else p[key] for p in points]
                np.testing.assert_array_equal(line.get_xdata(), [p["angle"] for p in points])
                np.testing.assert_array_equal(line.get_ydata(), values)
                drawn = {tuple(v) for path in band.get_paths() for v in path.vertices}
                ends = {(p["angle"], e) for p in points for e in p["intervals"][key] or ()}
                assert drawn == ends
                assert to_rgba(line.get_color())[:3] == tuple(band.get_facecolor()[0, :3])
            assert ax.get_ylim()[0] < 0.3 < 1 < ax.get_ylim()[1]  # one axis for all
    one, other = figure.axes[1].lines
    assert one.get_color() != other.get_color() and one.get_marker() != other.get_marker()


def test_rows_are_named(monkeypatch):
    figure = angles_figure(
        [result("scans", 0.5), result("scans", 0.3, "unet", network="U-Net"), result("ibsr", 0.6)]
    )
    texts = [text for text, _ in drawn_texts(figure, monkeypatch)]
    for wanted in (
        f"ibsr: scans\n{STAND_IN}",
        f"ibsr: ibsr\n{PAPERS}",
        "Mask R-CNN, 20 sections\nweights scans",
        "U-Net, 20 sections, weights unet",
        "Mask R-CNN, 20 sections",
        "−20°",
        "sections turned by (bands: 95 % intervals)",
    ):
        assert wanted in texts


def test_texts_can_be_read_with_many_networks_and_data_sets(monkeypatch):
    results = [
        *(result("mouse_mri", 0.9 - i / 20, f"extended_mouse_{i}") for i in range(7)),
        *(result(name, 0.7, angles=ANY) for name in ("scans", "ibsr", "plates")),
    ]
    figure = angles_figure(results)
    check_texts(figure, monkeypatch)
    lines = figure.axes[0].lines
    assert len({(n.get_color(), n.get_marker(), n.get_linestyle()) for n in lines}) == 7


def test_without_scores_by_angle_there_is_a_message(monkeypatch):
    older = result_of("older", made_up("ibsr", "older", 0.1, SUBCORTICAL.names))
    null = result_of("null", {**stored(older), "angles": None})
    for results in ((), (older, null)):
        ((message, _),) = drawn_texts(angles_figure(results), monkeypatch)
        assert message == "No result has scores by angle."


def test_the_same_results_give_the_same_picture():
    one, other = (angles_figure([result("scans", 0.5)]).png() for _ in range(2))
    assert one == other
    assert one != angles_figure([result("scans", 0.4)]).png()


# --- How many sections must be drawn? ----------------------------------------------------


def _curve_record():
    scores = {"any_section": {2: (0.6, 0.7), 5: (0.8, 0.8)}, "none": {2: (0.2, 0.4), 5: (0.5,)}}
    runs = [
        {"start": start, "sections": count, "seed": seed, "dice_mean": value}
        for start, by_count in scores.items()
        for count, values in by_count.items()
        for seed, value in enumerate(values)
    ]
    return {"dataset": "mine", "n_scored": 12, "runs": runs}


def test_a_row_for_each_start_and_a_column_for_each_number_of_sections():
    table = drawn_table({"mine": _curve_record()})
    assert table.header == ("data, start", "2 sections", "5 sections", "scored", "seeds")
    assert table.rows == (
        ("mine, from any_section", "0.650 (0.600-0.700)", "0.800 (0.800-0.800)", "12", "2"),
        ("mine, from random weights", "0.300 (0.200-0.400)", "0.500", "12", "2"),
    )
    assert drawn_table({}).rows == ()


def test_the_figure_draws_means_and_seeds():
    figure = drawn_figure({"mine": _curve_record()})
    (ax,) = (ax for ax in figure.axes if ax.axison)
    lines = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert lines["from any_section"] == [[2, pytest.approx(0.65)], [5, pytest.approx(0.8)]]
    assert sum(len(points.get_offsets()) for points in ax.collections) == 7
    assert figure.png().startswith(b"\x89PNG")


def test_files_of_curves_are_checked(tmp_path):
    assert read_curves(tmp_path) == ({}, ())
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves" / "mine.json").write_text(json.dumps(_curve_record()))
    (tmp_path / "curves" / "other.json").write_text("{}")
    records, (problem,) = read_curves(tmp_path)
    assert records == {"mine": _curve_record()} and "other.json: not what it should be" in problem


def test_sections_left_out_have_a_row_for_each_start(tmp_path):
    runs = [
        {"start": "none", "section": section, "seed": seed, "ap": ap, "dice": {}}
        for section, seed, ap in ((0, 0, 1.0), (0, 1, 0.5), (3, 0, None))
    ]
    record = {"dataset": "mine", "n_sections": 2, "runs": runs}
    record["means"] = {"none": {"ap": 0.75, "dice": 0.8}}
    (tmp_path / "leave_one_out").mkdir()
    (tmp_path / "leave_one_out" / "mine.json").write_text(json.dumps(record))
    (tmp_path / "leave_one_out" / "other.json").write_text("{")
    records, (problem,) = read_left_out(tmp_path)
    assert "leave_one_out" in problem and records == {"mine": record}
    table = left_out_table(records)
    assert table.rows == (("mine, from random weights", "0.750", "0.800", "0.75 -", "2", "2"),)
