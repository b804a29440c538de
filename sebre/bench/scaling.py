"""Cost over the size of the input, as a figure."""

from sebre.bench.measurements import Record
from sebre.bench.targets import sides
from sebre.report.style import BLUE, FONT, GRAY, ReportFigure


def scaling_figure(record: Record) -> ReportFigure | None:
    """`detect` over the side of the input, both axes logarithmic; None below two sizes."""
    points = sides(record)
    if len(points) < 2:
        return None
    figure = ReportFigure(1, 3.2)
    ax = figure.subplots()
    px, ratios = list(points), [entry.ratio for entry in points.values()]
    spread = [[entry.ratio - entry.q1 for entry in points.values()]]
    spread.append([entry.q3 - entry.ratio for entry in points.values()])
    ax.errorbar(px, ratios, spread, color=BLUE, marker="o", markersize=5, capsize=3, label="detect")
    linear = [ratios[-1] * (side / px[-1]) ** 2 for side in px]
    ax.plot(px, linear, color=GRAY, linestyle="--", label="in proportion to the pixels")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(px, [str(side) for side in px], fontsize=FONT)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("side of the input, px", fontsize=FONT)
    ax.set_ylabel("R", fontsize=FONT)
    ax.tick_params(labelsize=FONT)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize=FONT)
    return figure
