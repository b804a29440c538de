"""Networks and registration on the same sections, as bars (paper, Fig. 8)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from sebre.report import style
from sebre.report.markdown import notes
from sebre.report.published import PublishedScore
from sebre.report.records import MASK_RCNN, METHOD_NAMES, U_NET, Result, interval_of
from sebre.report.tables import regions_of

_COLORS = {
    MASK_RCNN: style.BLUE,
    U_NET: style.SKY,
    **dict(
        zip(
            METHOD_NAMES.values(),
            (style.ORANGE, style.VERMILION, style.PURPLE, style.GRAY),
            strict=True,
        )
    ),
}
_MORE_COLORS = (style.GREEN, style.YELLOW, "black")
_WEIGHTS = ", weights "
_FILLED = 0.8  # of a row, by the bars of a region
_BAR_IN, _AROUND_IN, _BELOW_IN = 0.1, 1.0, 1.2  # a bar; around a data set; legend and notes
_NO_VALUE = {"marker": "x", "color": "black", "markersize": 4, "linestyle": "none"}


def methods_figure(
    methods: Sequence[Result], published: Sequence[PublishedScore]
) -> style.ReportFigure:
    """Bars of the mean squared error and the Dice of each region by each method (paper, Fig. 8).

    A row for each data set, with the sections upright and turned; lines are the 95 % intervals.
    No bar would be read as 0, so a cross stands where a record has no number. Errors that the paper
    only plots are named in a note.
    """
    if not methods:
        return style.nothing_figure("No result of `sebre register`.")
    rows: dict[tuple[str, str], list[Result]] = {}
    for method in methods:
        rows.setdefault((method.experiment, method.record.dataset), []).append(method)
    named = [_named(same) for same in rows.values()]
    colors = _colors(name for pairs in named for name, _ in pairs)
    heights = [
        _AROUND_IN + len(pairs) * (1 + len(regions_of(same))) * _BAR_IN / _FILLED
        for same, pairs in zip(rows.values(), named, strict=True)
    ]
    figure = style.ReportFigure(len(style.WIDTHS_IN), sum(heights) + _BELOW_IN)
    parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights).flat
    whole = [_draw_data(part, pairs, colors) for part, pairs in zip(parts, named, strict=True)]
    marks = [
        *(Patch(facecolor=color, edgecolor="black", label=name) for name, color in colors.items()),
        *style.legend_marks(False, any(interval_of(method, "dice_mean") for method in methods)),
        *([] if all(whole) else [Line2D([], [], label="not in the record", **_NO_VALUE)]),
    ]
    figure.legend(handles=marks, **{**style.LEGEND, "loc": "outside upper center"}, ncols=4)
    figure.supxlabel(
        "\n".join([*notes("figure_canvas"), *_plotted_only(published)]), fontsize=style.FONT
    )
    return figure


def _named(same: Iterable[Result]) -> list[tuple[str, Result]]:
    """Methods on a data set by name; by their weights too where that is not enough."""
    same = list(same)
    count = Counter(method.method_name for method in same)
    return [
        (
            f"{method.method_name}{_WEIGHTS}{method.record.weights}"
            if count[method.method_name] > 1
            else method.method_name,
            method,
        )
        for method in same
    ]


def _colors(names: Iterable[str]) -> dict[str, str]:
    """Colors by name, in the order of `_COLORS`; a second network of a kind has another one."""
    more = cycle(_MORE_COLORS)
    colors = {}
    for name in sorted(dict.fromkeys(names), key=_place):
        color = _COLORS.get(name.split(_WEIGHTS)[0])
        colors[name] = next(more) if color in (None, *colors.values()) else color
    return colors


def _place(name: str) -> int:
    order = [*_COLORS]
    kind = name.split(_WEIGHTS)[0]
    return order.index(kind) if kind in order else len(order)


def _draw_data(
    part: SubFigure, named: Sequence[tuple[str, Result]], colors: Mapping[str, str]
) -> bool:
    """Draw error and Dice of a data set, upright and turned; return whether none is missing."""
    _, first = named[0]
    regions = regions_of(method for _, method in named)
    sections = sorted({method.at().n_sections for _, method in named})
    counts = str(sections[0]) if len(sections) == 1 else f"{sections[0]} to {sections[-1]}"
    title = f"{first.experiment}: {first.record.dataset}, {counts} sections ({first.kind})"
    part.suptitle(title, fontsize=style.FONT + 1)
    error, error_turned, dice, dice_turned = part.subplots(1, 4, sharey=True)
    error_turned.sharex(error)
    angle = f"turned by {first.record.turned.rotate:g}°"
    whole = True
    for ax, name, turned, total, by_region in (
        (error, "mean squared error", False, "mse", "mse"),
        (error_turned, "mean squared error", True, "mse", "mse"),
        (dice, "Dice", False, "dice_mean", "dice"),
        (dice_turned, "Dice", True, "dice_mean", "dice"),
    ):
        places = [(total, None), *((by_region, region) for region in regions)]
        for i, (method_name, method) in enumerate(named):
            thick = _FILLED / len(named)
            y = np.arange(len(places)) + (i + 0.5) * thick - _FILLED / 2
            values = style.numbers(method.value(*place, turned=turned) for place in places)
            ax.barh(y, values, thick, color=colors[method_name], edgecolor="black", linewidth=0.4)
            style.draw_intervals(ax, y, [interval_of(method, *place, turned) for place in places])
            missing = y[np.isnan(values)]
            # A little to the right of the axis, whatever its scale.
            ax.plot(
                np.full(len(missing), 0.03),
                missing,
                transform=ax.get_yaxis_transform(),
                **_NO_VALUE,
            )
            whole &= not len(missing)
        ax.set_title(f"{name}\n{angle if turned else 'upright'}", fontsize=style.FONT)
        ax.axhspan(-0.5, 0.5, color=style.GRAY, alpha=0.25, linewidth=0, zorder=0)
    for ax in (dice, dice_turned):
        style.score_axis(ax, "")
    for ax in (error, error_turned):
        _error_axis(ax)
    error.set_yticks(
        range(1 + len(regions)), ["all regions", *map(style.spoken, regions)], fontsize=style.FONT
    )
    error.set_ylim(len(regions) + 0.5, -0.5)
    return whole


def _error_axis(ax: Axes) -> None:
    """Errors from 0 to the right."""
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.tick_params(axis="x", labelsize=style.FONT)
    ax.grid(axis="x", alpha=0.3)
    ax.set_axisbelow(True)


def _plotted_only(published: Iterable[PublishedScore]) -> tuple[str, ...]:
    """A note on errors that the paper has a plot of, and no number."""
    names = [s.method for s in published if s.metric == "MSE_mean" and s.value is None]
    return notes("figure_plotted", names=", ".join(names)) if names else ()
