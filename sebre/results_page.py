"""RESULTS.md and its figures, from stored results and the paper's numbers alone."""

from collections.abc import Sequence
from pathlib import Path

from mrcnn.files import replace_file, replace_text
from sebre.claims import ledger, ledger_table, verdicts_table
from sebre.published import PublishedScore, read_published
from sebre.report import Table, dice_table, map_table, provenance_table, scores_table, table1
from sebre.report_figures import (
    ReportFigure,
    ap_figure,
    dice_figure,
    reliability_figure,
    spread_figure,
    turned_figure,
)
from sebre.results import Result, read_results

PAGE = "RESULTS.md"
FIGURES = Path("results") / "figures"

_INTRODUCTION = """# Results

The paper's numbers beside ours. Three kinds of numbers have columns of their own and are never
mixed: published; ours on the paper's own data; ours on stand-in data, which is named. This page is
made of `results/*.json` and `sebre/published_scores.csv` by `sebre compare`; the command behind
each of our numbers stands in the last table.
"""


def tables(results: Sequence[Result], published: Sequence[PublishedScore]) -> list[Table]:
    """The tables of the page but for the ledger and where the numbers come from."""
    experiments = dict.fromkeys(result.experiment for result in results)
    return [
        map_table(results, published),
        scores_table(results),
        table1(results, published),
        *(dice_table(results, published, experiment) for experiment in experiments),
    ]


def figures(
    results: Sequence[Result], published: Sequence[PublishedScore]
) -> dict[str, tuple[str, ReportFigure]]:
    """Caption and figure by name."""
    made = {"orientations": ("As they lie and at random orientations", turned_figure(results))}
    for name in dict.fromkeys(result.experiment for result in results):
        made |= {
            f"{name}_dice": (f"{name}: Dice by region", dice_figure(results, published, name)),
            f"{name}_ap": (f"{name}: AP by region", ap_figure(results, name)),
            f"{name}_spread": (f"{name}: Dice of single sections", spread_figure(results, name)),
            f"{name}_reliability": (
                f"{name}: is a high score a good mask?",
                reliability_figure(results, name),
            ),
        }
    return made


def render(
    results: Sequence[Result],
    problems: Sequence[str],
    published: Sequence[PublishedScore],
    captions: dict[str, str],
) -> str:
    """The page in Markdown.

    Args:
        results: ours.
        problems: results that are missing or damaged, named at the top of the page.
        published: the paper's numbers.
        captions: of the figures, by name.
    """
    claims = ledger(results, published)
    parts = [_INTRODUCTION]
    if problems:
        parts.append("**Missing here:**\n\n" + "\n".join(f"- {text}" for text in problems) + "\n")
    parts.append("## Scores\n")
    parts += [table.markdown() for table in tables(results, published)]
    parts.append("## Figures\n")
    parts += [f"![{text}]({(FIGURES / name).as_posix()}.png)\n" for name, text in captions.items()]
    parts.append("## Claims\n")
    parts += [verdicts_table(claims).markdown(), ledger_table(claims).markdown()]
    parts.append("## Provenance\n")
    parts.append(provenance_table(results).markdown())
    return "\n".join(parts)


def compare(results_folder: str | Path, out: str | Path) -> tuple[list[Table], Sequence[str]]:
    """Write `RESULTS.md` and `results/figures/*.png`.

    Args:
        results_folder: of `sebre evaluate`'s files.
        out: folder to write to.

    Returns:
        The tables, and what is wrong with which file of results.

    Raises:
        FileNotFoundError: there is no such folder of results.
        ValueError: none of its files can be used.
    """
    results, problems = read_results(results_folder)
    if not results:
        raise ValueError(
            f"{results_folder}: no result of `sebre evaluate` in it. {' '.join(problems[:1])}"
        )
    published = read_published()
    out = Path(out)
    (out / FIGURES).mkdir(parents=True, exist_ok=True)
    drawn = figures(results, published)
    for name, (_, figure) in drawn.items():
        replace_file(
            out / FIGURES / f"{name}.png",
            lambda part, figure=figure: figure.savefig(part, format="png", metadata={}),
        )
    captions = {name: text for name, (text, _) in drawn.items()}
    replace_text(out / PAGE, render(results, problems, published, captions))
    made = tables(results, published)
    return [*made, verdicts_table(ledger(results, published))], problems
