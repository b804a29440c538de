"""Figures of trials: changed sections, and the error of single sections (paper, Fig. 8b)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from sebre.report import style
from sebre.report.records import METHOD_NAMES, Result
from sebre.report.trials.trial_records import PLAIN, Trials

_MARKS = "osD^vP"
_COLORS = (style.BLUE, style.SKY, style.GREEN, style.ORANGE, style.VERMILION, style.GRAY)
_UNREGISTERED = METHOD_NAMES["none"]


def changed_figure(trials: Trials) -> style.ReportFigure:
    """MAP of each network by the change of its sections; a panel a network."""
    titles = list(dict.fromkeys(kind for record in trials.changed for kind in record["kinds"]))

    def draw(ax: Axes, kinds: dict) -> None:
        values = style.numbers(kinds.get(title, {}).get("map_paper") for title in titles)
        tints = [style.BLUE if title == PLAIN else style.SKY for title in titles]
        ax.barh(range(len(titles)), values, color=tints, edgecolor="black", linewidth=0.5)
        ends = [(kinds.get(title, {}).get("intervals") or {}).get("map_paper") for title in titles]
        style.draw_intervals(ax, np.arange(len(titles)), ends)
        style.score_axis(ax, "mAP")

    panels = [
        (
            f"{record['dataset']}\n{record['kinds'][PLAIN]['n_sections']} sections, "
            f"weights {record['weights']}",
            lambda ax, kinds=record["kinds"]: draw(ax, kinds),
        )
        for record in trials.changed
    ]
    return style.panel_figure(panels, titles, "sebre.trials.changed_sections")


def sections_figure(methods: Sequence[Result]) -> style.ReportFigure:
    """Mean squared error of each section by each method, upright and turned (paper, Fig. 8b).

    Sections are in their order in the test part; U-Nets and unregistered labels are left out.
    """
    registered = [m for m in methods if m.method_name != _UNREGISTERED and m.network != "U-Net"]
    parts = {"upright": False, f"turned {methods[0].record.turned.rotate:g} degrees": True}

    def draw(ax: Axes, turned: bool) -> None:
        for i, method in enumerate(registered):
            errors = style.numbers(s.mse for s in method.record.sections_at(turned))
            label = method.method_name + (f", {method.record.weights}" if method.network else "")
            how = {"marker": _MARKS[i % len(_MARKS)], "color": _COLORS[i % len(_COLORS)]}
            ax.plot(range(len(errors)), errors, markersize=5, label=label, **how)
        names = [s.section.removeprefix("val/") for s in methods[0].record.sections_at(turned)]
        ax.set_xticks(range(len(names)), names, fontsize=style.FONT - 2, rotation=90)
        ax.set_xlabel("test section", fontsize=style.FONT)
        ax.set_ylabel("mean squared error", fontsize=style.FONT)
        ax.set_ylim(bottom=0)
        ax.tick_params(axis="y", labelsize=style.FONT)
        ax.grid(alpha=0.3)

    panels = [(title, lambda ax, part=part: draw(ax, part)) for title, part in parts.items()]
    figure = style.panel_figure(panels, None, "sebre register")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=2, **style.LEGEND)
    return figure
