"""PERFORMANCE.md, made of a stored record alone."""

from pathlib import Path

from mrcnn.io.files import replace_file, replace_text
from sebre.bench.entry_tables import GROUPS, group_table, targets_table
from sebre.bench.measurements import MEASURED, Entry, Record
from sebre.bench.scaling import scaling_figure
from sebre.bench.targets import findings
from sebre.report.markdown import number

FIGURE = "scaling.png"
GFLOP = 127  # of one detection: resnet101, 384 px, 1000 proposals, 9 classes, 8 detections

_INTRODUCTION = """# Performance

How fast detection, training and the data path are. Absolute times mean nothing on machines that
others use too, so everything is a ratio to **R**: one forward pass of
`keras.applications.ResNet101(include_top=False)`, 384 x 384 px, float32, compiled with
`tf.function`, timed in the same process right before and after each round of what is measured.
Medians; quartiles of the rounds in brackets. A smaller number is better.
"""
_REPEAT = """## How to repeat

    make bench                                        # all cases, to results/bench/bench.json
    python -m sebre.bench --quick                     # the most important ones
    python -m sebre.bench --only detect,train/384_float32 --repeats 7
    python -m sebre.bench --list                      # the cases by name
    python -m sebre.bench --baseline {path}
    python -m sebre.bench --page PERFORMANCE.md --from {path}

With `--baseline` the table has a column with the change against the stored record, and the exit
code is 3 when a case became slower by more than the tolerance (15 %; `--tolerance`) and the
quartiles of both agree that it did. Exit code 3 also says that a case failed; the others go on.
"""
_NOTES = {
    "detect": "Whole `detect` of one section: resizing, network, masks at the size of the section. "
    "240 x 384 px unless the name says another size; 9 classes, at most 8 detections, every one "
    "kept (DETECTION_MIN_CONFIDENCE = 0), 1000 proposals unless said. Random weights. The first "
    "call compiles.",
    "side": "As above in float32, for square sections of the size of the input.",
    "train": "One optimizer step (SGD) on one batch of one section, repeated; all layers learn.",
    "input": "Sections and their masks (PNG) as files, enlarged from datasets/slicemap; what "
    "comes out are whole batches for 384 px with the targets of the proposals. Decoded in the "
    "first epoch, cached in the next.",
    "feed": "`fit` on files of 7000 x 7000 px against `fit` on one batch repeated, in turn. The "
    "first epoch decodes the files; every later one reads the cache.",
    "memory": "Resident memory of the process. Sections of seven sizes, one at a time.",
    "accuracy": "Shipped networks (ResNet-18 of half width), every section of the test part: what "
    "the way of computing changes in the scores, float32 in Keras being the reference. The ways "
    "were compared on these test parts, and no part was kept for a check of the one chosen.",
}


def page(record: Record, path: str, figure: str = "") -> str:
    """The page in Markdown.

    Args:
        record: of `sebre.bench.run`.
        path: of the record, as the page names it.
        figure: path of the figure; empty without.
    """
    parts = [_INTRODUCTION, _machine(record), targets_table(findings(record)).markdown()]
    parts += _sentences(record)
    groups: dict[str, list[Entry]] = {}
    for entry in record.cases:
        groups.setdefault(entry.name.partition("/")[0], []).append(entry)
    for name, entries in groups.items():
        parts.append(f"## {GROUPS.get(name, name)}\n")
        parts += [_NOTES[name] + "\n"] if name in _NOTES else []
        if done := [entry for entry in entries if entry.status == MEASURED]:
            parts.append(group_table(name, done).markdown())
        parts += [
            f"- `{e.name}`: {e.status}: {e.reason}\n" for e in entries if e.status != MEASURED
        ]
        if name == "side" and figure:
            parts.append(f"![Cost over the side of the input]({figure})\n")
    parts.append(_REPEAT.format(path=path))
    return "\n".join(parts)


def write_page(record: Record, source: str | Path, out: str | Path) -> None:
    """Write the page, and its figure beside the record.

    Args:
        record: what `source` holds.
        source: the record's file.
        out: the page's file; paths in it are relative to its folder.
    """
    source, out = Path(source), Path(out)
    drawn = scaling_figure(record)
    place = source.with_name(FIGURE)
    if drawn is not None:
        replace_file(place, lambda part: part.write_bytes(drawn.png()))
    text = page(record, _below(source, out), _below(place, out) if drawn else "")
    replace_text(out, text)


def _below(path: Path, out: Path) -> str:
    """A path as a page refers to it, relative to the page's folder where it lies below."""
    path, folder = path.resolve(), out.resolve().parent
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _machine(record: Record) -> str:
    machine = record.machine
    versions = ", ".join(f"{n} {v}" for n, v in machine["versions"].items() if v)
    flags = ", ".join(machine["flags"] or ["unknown"])
    entries = record.measured.values()
    r_seconds = sorted(e.r_seconds for e in entries if e.unit == "R" and e.r_seconds is not None)
    rates = sorted(entry.gflops for entry in entries if entry.gflops)
    lines = [
        f"- Processor: {machine['processor']}, {machine['cores']} cores, "
        f"{number(machine['memory_gib'], 1)} GiB; vector units: {flags}",
        f"- Software: {versions}, Python {machine['python']}, {machine['platform']}",
        f"- Revision {machine['revision']}, {machine['date']}, seed {record.seed}, "
        f"at most {record.rounds} rounds per case: `{record.command}`",
    ]
    if r_seconds:
        lines.append(
            f"- In this run R took {_middle(r_seconds):.3f} s (between {r_seconds[0]:.3f} and "
            f"{r_seconds[-1]:.3f} s by case), and a float32 matrix product of 2048 x 2048 ran at "
            f"{_middle(rates):.0f} GFLOP/s; for information, not as a result"
        )
    return "\n".join(lines) + "\n"


def _middle(values: list[float]) -> float:
    return values[len(values) // 2]


def _sentences(record: Record) -> list[str]:
    """What follows from the numbers in sentences, and what does not."""
    entries, sentences = record.measured, []
    entry = entries.get("detect/float32")
    if entry is not None and entry.gflops:
        share = GFLOP / entry.seconds / entry.gflops
        sentences.append(
            f"One detection is about {GFLOP} GFLOP. The float32 one runs at {share:.0%} of the "
            "rate of the matrix product\n"
            f"in the same case ({entry.gflops:.0f} GFLOP/s), everything from resizing to masks "
            "included; `mrcnn.accelerate.winograd`\nneeds fewer products than are counted here.\n"
        )
    if any(name.startswith("accuracy/") for name in entries):
        sentences.append(
            "Times are of a ResNet-101 with random weights; changes of scores are of two smaller "
            "shipped networks.\nWhether a way of computing keeps the scores of the timed network "
            "was not measured.\n"
        )
    return sentences
