"""RESULTS.md and its figures, from stored results and the paper's numbers alone."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mrcnn.errors import UserError
from mrcnn.io.own_files import demand_own, replace_own, replace_own_text
from sebre.report.claims import (
    ledger,
    ledger_table,
    stand_in_counts,
    stand_in_table,
    statements_table,
    tested_table,
    verdicts_table,
)
from sebre.report.curves import (
    angles_figure,
    drawn_figure,
    drawn_table,
    left_out_table,
    read_curves,
    read_left_out,
)
from sebre.report.details import failures_table, intervals_table, volumes_table
from sebre.report.doubt import doubt_figure, doubt_table, read_trust
from sebre.report.figures import (
    ap_figure,
    dice_figure,
    failures_figure,
    reliability_figure,
    spread_figure,
    turned_figure,
)
from sebre.report.markdown import NONE, WIDE, Table
from sebre.report.method_figures import methods_figure
from sebre.report.method_tables import (
    methods_dice_table,
    methods_table,
    networks_table,
    paper_dice_table,
    paper_network_table,
    paper_network_text,
    splits_table,
)
from sebre.report.published import PublishedScore, read_published
from sebre.report.records import (
    CONFIDENT_FOLDER,
    CURVES_FOLDER,
    FURTHER_FOLDER,
    METHODS_FOLDER,
    PAPER_NETWORK_FOLDER,
    SPLITS_FOLDER,
    Result,
    of_network,
    read_methods,
    read_others,
    read_results,
    read_splits,
)
from sebre.report.statements import NOT_RUN, SCORE, Claim
from sebre.report.style import ReportFigure
from sebre.report.systems.any_section_figures import any_section_figures
from sebre.report.systems.any_section_tables import (
    any_section_tables,
    learning_table,
    read_any_section,
    trained_table,
)
from sebre.report.systems.any_section_targets import targets_table
from sebre.report.systems.area_tables import area_figures, area_tables, read_areas
from sebre.report.systems.correction_gains import (
    correction_figure,
    correction_tables,
    read_corrections,
)
from sebre.report.systems.neurite_scores import neurite_figure, neurite_tables, read_neurites
from sebre.report.systems.rival_tables import FOLDER as RIVALS_FOLDER
from sebre.report.systems.rival_tables import Contest, contests, read_rivals, rival_tables
from sebre.report.tables import (
    answer_table,
    dice_table,
    map_table,
    parts_table,
    provenance_table,
    scores_table,
    table1,
)
from sebre.report.targets.target_measures import Sources
from sebre.report.targets.target_tables import target_tables
from sebre.report.trials.shared_sections import SharedSections, read_shared, shared_table
from sebre.report.trials.trial_figures import changed_figure, sections_figure
from sebre.report.trials.trial_records import (
    ALL_MASKS_FOLDER,
    PICTURES_FOLDER,
    UNSEEN_FOLDER,
    Trials,
    read_trials,
)
from sebre.report.trials.trial_tables import (
    all_masks_table,
    changed_short_table,
    changed_table,
    copied_table,
    pictures_text,
    scans_table,
    sources_table,
    unlabeled_table,
)
from sebre.report.trials.unseen_tables import ages_table, modalities_table

PAGE = "RESULTS.md"
FIGURES = Path("results") / "figures"

TABLES = Path("results") / "tables"


@dataclass(frozen=True)
class Records:
    """Everything that a report is made of.

    Attributes:
        results: of `sebre evaluate`, of all networks.
        methods: of `sebre register`, on the same sections.
        splits: of networks trained on the paper's kind of split.
        confident: of the same networks, with the paper's cut-off on scores.
        paper_network: of the paper's network, schedule and split, with both cut-offs.
        further: of what else was tried to meet targets.
        problems: what is wrong with which file.
        published: the paper's numbers.
        trust: of `sebre models calibrate`, by name of the network.
        curves: of `sebre.evaluation.learning_curve`, by name of the data set.
        left_out: of `sebre.evaluation.leave_one_out`, the same.
        neurites: of `sebre.neurites.scoring.measure_neurites`; empty without.
        areas: of `sebre areas evaluate` and `sebre.areas.area_experiments`; empty without.
        corrections: of `sebre.corrections.measure_gain`, by name of the data set.
        any_section: of `sebre.synthesis`, by name of the file; empty without.
        trials: of `sebre.trials`.
        live: rivals of Table 1 beside SeBRe's network, as they were run here.
        shared: names of the test sections that both kinds of split have.
    """

    results: tuple[Result, ...]
    methods: tuple[Result, ...]
    splits: tuple[Result, ...]
    confident: tuple[Result, ...]
    paper_network: tuple[Result, ...]
    problems: tuple[str, ...]
    published: tuple[PublishedScore, ...]
    trust: Mapping[str, Any]
    further: tuple[Result, ...] = ()
    curves: Mapping[str, Any] = field(default_factory=dict)
    left_out: Mapping[str, Any] = field(default_factory=dict)
    neurites: Mapping[str, Any] = field(default_factory=dict)
    areas: Mapping[str, Any] = field(default_factory=dict)
    corrections: Mapping[str, Any] = field(default_factory=dict)
    any_section: Mapping[str, Any] = field(default_factory=dict)
    trials: Trials = field(default_factory=Trials)
    live: Sequence[Contest] = ()
    shared: Sequence[SharedSections] = ()


@dataclass(frozen=True)
class Chapter:
    """A part of the page: a heading, Markdown before its tables, and the tables.

    Those of `in_files` are only in files; with `in_terminal` the command prints the tables.
    """

    title: str
    tables: tuple[Table, ...] = ()
    text: str = ""
    in_files: tuple[Table, ...] = ()
    in_terminal: bool = True

    def files(self) -> dict[str, Table]:
        """Tables that lie beside the page, by name of the file."""
        return {
            f"{table.stem}.csv": table
            for table in (*self.tables, *self.in_files)
            if table.wide or table in self.in_files
        }


def read_records(folder: str | Path) -> Records:
    """All results of a folder and its subfolders."""
    folder, wrong = Path(folder), []

    def kept(found: tuple[Any, Sequence[str]]) -> Any:
        wrong.extend(found[1])
        return found[0]

    results = kept(read_results(folder))
    if not results:
        raise UserError(f"{folder}: no result of `sebre evaluate` in it. {' '.join(wrong[:1])}")
    splits = kept(read_splits(folder / SPLITS_FOLDER))
    methods = kept(read_methods(folder / METHODS_FOLDER))
    return Records(
        results=results,
        methods=methods,
        splits=splits,
        confident=kept(read_others(folder / CONFIDENT_FOLDER)),
        paper_network=kept(read_others(folder / PAPER_NETWORK_FOLDER)),
        further=kept(read_others(folder / FURTHER_FOLDER)),
        published=read_published(),
        trust=kept(read_trust(folder)),
        curves=kept(read_curves(folder)),
        left_out=kept(read_left_out(folder)),
        neurites=kept(read_neurites(folder)),
        areas=kept(read_areas(folder)),
        corrections=kept(read_corrections(folder)),
        any_section=kept(read_any_section(folder)),
        trials=kept(read_trials(folder)),
        live=contests((*results, *splits), kept(read_rivals(folder)), methods),
        shared=kept(read_shared(folder)),
        problems=tuple(wrong),
    )


def claims_of(records: Records) -> tuple[Claim, ...]:
    """The ledger of all records."""
    return ledger(
        *(records.results, records.published, records.methods, records.splits),
        *(records.confident, records.trials, records.paper_network, records.live),
    )


def chapters(records: Records, claims: Sequence[Claim]) -> list[Chapter]:
    """The tables of the page, and those beside it."""
    results, published = records.results, records.published
    experiments = list(dict.fromkeys(result.experiment for result in of_network(results)))
    volumes = (volumes_table(results, experiment) for experiment in experiments)
    data = dict.fromkeys(method.record.dataset for method in records.methods)
    return [
        _paper_network(records, experiments),
        Chapter(
            "Scores",
            (
                parts_table(results),
                map_table(results, published),
                scores_table(results),
                table1(results, published),
                *(dice_table(results, published, experiment) for experiment in experiments),
            ),
        ),
        Chapter("How sure the scores are", (intervals_table(results),)),
        Chapter("Failures", (failures_table(results),)),
        _chapter("Whole volumes", volumes, "no result has volumes."),
        _chapter(
            "Registration",
            (
                methods_table(records.methods),
                *(methods_dice_table(records.methods, dataset) for dataset in data),
            ),
            f"no result of `sebre register` in `{METHODS_FOLDER}` beside the others.",
        ),
        *_trials(records),
        *_other_networks(records),
        _chapter(
            "What not to trust",
            (doubt_table(records.trust),),
            "no `trust.json` of `sebre models calibrate --results` beside the results.",
        ),
        _chapter(
            "How many sections must be drawn?",
            (drawn_table(records.curves), left_out_table(records.left_out)),
            f"no result of `sebre.evaluation.learning_curve` in `{CURVES_FOLDER}`.",
        ),
        _chapter(
            "What corrections gain",
            correction_tables(records.corrections),
            "no result of `sebre.corrections.measure_gain` in `corrections`.",
        ),
        *_further_systems(records),
        _chapter(
            "The paper's split",
            (
                splits_table(results, records.splits, records.paper_network),
                shared_table(results, records.splits, records.paper_network, records.shared),
            ),
            f"no result in `{SPLITS_FOLDER}` beside the others.",
        ),
        _targets(records),
        _claims(claims),
        _provenance(records),
    ]


def _targets(records: Records) -> Chapter:
    """What should be reached, beside what the stored results say."""
    trials = records.trials
    folders = {
        "": records.results,
        CONFIDENT_FOLDER: records.confident,
        METHODS_FOLDER: records.methods,
        SPLITS_FOLDER: records.splits,
        PAPER_NETWORK_FOLDER: records.paper_network,
        FURTHER_FOLDER: records.further,
        ALL_MASKS_FOLDER: trials.all_masks,
        UNSEEN_FOLDER: trials.unseen,
        RIVALS_FOLDER: [run for one in records.live for runs in one.runs.values() for run in runs],
    }
    by_file = {
        f"{folder}/{result.name}.json".removeprefix("/"): result
        for folder, same in folders.items()
        for result in same
    }
    sources = Sources(by_file, records.left_out, trials.copied, records.published)
    return _chapter("Targets", target_tables(sources), "no result that a target names.")


def _other_networks(records: Records) -> list[Chapter]:
    """Networks of other papers on the same sections."""
    return [
        _chapter(
            "Table 1, live",
            rival_tables(records.live, records.published),
            "no result of a rival in `rivals` beside the others.",
        ),
        _chapter(
            "Was Mask R-CNN needed?",
            (networks_table(records.results),),
            "no result is of a U-Net.",
        ),
    ]


def _paper_network(records: Records, experiments: Iterable[str]) -> Chapter:
    made, published = records.paper_network, records.published
    by_region = (paper_dice_table(made, published, experiment) for experiment in experiments)
    tables = paper_network_table(made, published, records.splits), *by_region
    without = f"no result in `{PAPER_NETWORK_FOLDER}` beside the others."
    return _chapter("The paper's network", tables, without)


def _claims(claims: Sequence[Claim]) -> Chapter:
    shown = verdicts_table, stand_in_table, tested_table, statements_table
    return Chapter("Claims", tuple(table(claims) for table in shown), "", (ledger_table(claims),))


def _provenance(records: Records) -> Chapter:
    made = (records.results, records.methods, records.splits, records.paper_network)
    tables = [provenance_table(*made, records.confident, records.further)]
    if records.trials.copied:
        tables.append(sources_table(records.trials))
    return Chapter("Provenance", tuple(tables), in_terminal=False)


def _trials(records: Records) -> list[Chapter]:
    """Trials of the same networks: is the test part a test, and what do they not stand?"""
    trials = records.trials
    all_masks = all_masks_table(records.results, records.confident, trials)
    return [
        _chapter("With small masks", (all_masks,), "no result of a set with the smallest masks."),
        _chapter(
            "Beside copied labels",
            (copied_table(records.results, records.confident, trials),),
            "no result of `sebre.trials.copied_labels`.",
        ),
        _chapter(
            "Broken, scaled and inverted sections",
            (changed_short_table(trials), changed_table(trials)),
            "no result of `sebre.trials.changed_sections`.",
        ),
        _chapter(
            "Unseen ages and modalities",
            (ages_table(trials), modalities_table(records.results, trials)),
            "no result in `unseen` beside the others.",
        ),
        _any_section(records),
        _chapter(
            "Scans of other sources",
            (scans_table(trials), unlabeled_table(trials)),
            "no result on scans of `sebre.trials.labeled_scans`.",
        ),
    ]


def _any_section(records: Records) -> Chapter:
    """The network of any section, which never saw a real one; its training is in a file."""
    found = records.any_section
    first, conditions, beside, *others = (
        targets_table(found, records.curves),
        *any_section_tables(found),
    )
    trained = trained_table(found, records.corrections, records.results)
    tables = (first, conditions, beside, trained, *others)
    without = "no `any_section.json` of `sebre.synthesis.release` in `synthesis`."
    made = _chapter("Any section", tables, without)
    learned = learning_table(found)
    return replace(made, in_files=(learned,)) if made.tables and learned.rows else made


def _further_systems(records: Records) -> list[Chapter]:
    """Systems beside the brain sections of the paper."""
    return [
        _chapter(
            "Neurites in electron microscopy",
            neurite_tables(records.neurites),
            "no folder `neurites` among the results.",
        ),
        _chapter(
            "Cytoarchitectonic areas",
            area_tables(records.areas),
            "no folder `areas` among the results.",
        ),
    ]


def figures(records: Records) -> dict[str, tuple[str, ReportFigure]]:
    """Caption and figure by name."""
    results, published = of_network(records.results), records.published
    made = {"orientations": ("As they lie and at random orientations", turned_figure(results))}
    if any(result.record.angles for result in records.results):
        made["angles"] = ("Turned by fixed angles", angles_figure(records.results))
    if any(result.at().failures for result in results):
        made["failures"] = ("Failures by kind", failures_figure(results))
    if records.methods:
        made["methods"] = (
            "Methods on the same sections",
            methods_figure(records.methods, published),
        )
    for name in ("slicemap", "mouse_mri"):
        same = [method for method in records.methods if method.record.dataset == name]
        if same:
            caption = f"{name}: error of each section by each method"
            made[f"sections_{name}"] = (caption, sections_figure(same))
    if records.trials.changed:
        made["changed"] = ("Changed sections", changed_figure(records.trials))
    if records.trust:
        made["trust"] = ("Expected and measured Dice", doubt_figure(records.trust))
    if records.curves:
        made["curves"] = ("How many sections must be drawn?", drawn_figure(records.curves))
    if records.corrections:
        made["corrections"] = ("Which sections to correct", correction_figure(records.corrections))
    if records.neurites.get("rows"):
        made["neurites"] = ("Neurites in bad sections", neurite_figure(records.neurites))
    made |= any_section_figures(records.any_section)
    made |= area_figures(records.areas)
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
    records: Records,
    content: Iterable[Chapter],
    captions: Mapping[str, str],
    claims: Sequence[Claim],
) -> str:
    """The page in Markdown: problems with files at its top, figures before the claims.

    `content` is of `chapters`, `captions` are of the figures, by name.
    """
    pictures = "\n".join(
        f"![{text}]({(FIGURES / name).as_posix()}.png)\n" for name, text in captions.items()
    )
    content = list(content)
    shown = pictures_text(records.trials, (FIGURES.parent / PICTURES_FOLDER).as_posix())
    content[-2:-2] = [Chapter("Figures", text="\n".join(filter(None, (pictures, shown))))]
    parts = [_answer(records, claims)]
    if records.problems:
        listed = "\n".join(f"- {text}" for text in records.problems)
        parts.append(f"**Missing here:**\n\n{listed}\n")
    parts.append("\n".join(f"- [{c.title}](#{_anchor(c.title)})" for c in content) + "\n")
    for chapter in content:
        parts += [f"## {chapter.title}\n", *([chapter.text] if chapter.text else [])]
        for table in (*chapter.tables, *chapter.in_files):
            parts.append(_shown(table, f"{table.stem}.csv" in chapter.files()))
    return "\n".join(parts)


def _answer(records: Records, claims: Sequence[Claim]) -> str:
    """The first lines of the page, with the numbers that they need."""
    scores = [claim for claim in claims if claim.kind == SCORE]
    ours = [r.at().map_paper for r in of_network(records.results) if r.at().map_paper is not None]
    run = sum(claim.verdict != NOT_RUN for claim in scores)
    low, high = (f"{value:.3f}" if ours else NONE for value in (min(ours or [0]), max(ours or [0])))
    table = answer_table(records.results, records.confident, records.published).markdown()
    text = _template("introduction")
    agree, differ, undecided = stand_in_counts(claims, SCORE)
    made = paper_network_text(records.paper_network, records.published)
    return text.format(
        made=made,
        **{"scores": len(scores), "run": run or "none", "low": low, "high": high, "table": table},
        **{"agree": agree, "differ": differ, "undecided": undecided},
    )


def _template(name: str) -> str:
    return Path(__file__).with_name(f"{name}.md").read_text(encoding="utf-8")


def _shown(table: Table, in_file: bool) -> str:
    """A table on the page: as it is, turned if that makes it narrow, or a link to its file."""
    if not in_file:
        return table.markdown()
    path = (TABLES / f"{table.stem}.csv").as_posix()
    link = f"**{table.title}**: [{len(table.rows)} rows]({path})\n"
    if 0 < len(table.rows) < WIDE:
        return f"{table.transposed().markdown()}\nAs a file: [{table.stem}.csv]({path})\n"
    return "\n".join([link, *(f"{note}\n" for note in table.notes)])


def compare(results_folder: str | Path, out: str | Path) -> tuple[list[Table], Sequence[str]]:
    """Write `RESULTS.md`, `results/figures/*.png` and `results/tables/*.csv` to the folder `out`.

    Returns:
        The tables, and what is wrong with which file of results.
    """
    out = Path(out)
    known = _of_page(out / PAGE)
    demand_own([out / PAGE], known=known)
    records = read_records(results_folder)
    claims = claims_of(records)
    content, drawn = chapters(records, claims), figures(records)
    captions = {name: text for name, (text, _) in drawn.items()}
    texts = {
        out / TABLES / name: table.csv()
        for chapter in content
        for name, table in chapter.files().items()
    }
    pictures = {out / FIGURES / f"{name}.png": figure for name, (_, figure) in drawn.items()}
    demand_own([*texts, *pictures], known=known)
    for path, figure in pictures.items():
        replace_own(path, lambda part, figure=figure: part.write_bytes(figure.png()), known=known)
    for path, text in texts.items():
        replace_own_text(path, text, known)
    replace_own_text(out / PAGE, render(records, content, captions, claims), known)
    shown = [table for c in content if c.in_terminal for table in c.tables]
    return shown, records.problems


def _of_page(page: Path) -> Callable[[Path], bool]:
    """Whether a file without a record, as those that are shipped, is a page of `compare`, or a
    figure or table that the page shows."""
    text = page.read_text(encoding="utf-8", errors="replace") if page.is_file() else ""
    if not text.startswith(_template("introduction").partition("{")[0]):
        return lambda path: False
    shown = {page, *(page.parent / name for name in re.findall(r"\]\(([^()#]+)\)", text))}
    return shown.__contains__


def _chapter(title: str, tables: Iterable[Table], without: str) -> Chapter:
    """The tables that have rows; without any, a line that says why there are none."""
    full = tuple(table for table in tables if table.rows)
    return Chapter(title, full, "" if full else f"Left out: {without}\n")


def _anchor(title: str) -> str:
    """The address that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
