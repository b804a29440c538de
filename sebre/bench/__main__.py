"""`python -m sebre.bench`: how fast detection, training and the data path are here.

Every case runs in a process of its own, between rounds of a reference network (R), and its
result is a ratio; seconds are for information only.
"""

import argparse
import json
import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mrcnn.errors import UserError
from mrcnn.io.own_files import demand_own, replace_own_text
from sebre.bench import entry_tables as tables
from sebre.bench import measurements as record
from sebre.bench import peer, run, targets, worker
from sebre.bench.cases import catalogue as cases
from sebre.bench.cases.catalogue import Case
from sebre.bench.measurements import Entry, Record
from sebre.program import DONE, SOME_FAILED, complain, run_program, say
from sebre.report.markdown import Table


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 2 for a mistake of the user, 3 for a case that failed or got slower."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    argv = sys.argv[1:] if argv is None else argv
    return run_program("sebre bench", lambda: _run(args, argv), args.debug)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sebre.bench", description=__doc__)
    what = parser.add_argument_group("what is measured")
    what.add_argument("--quick", action="store_true", help="the few most important cases")
    what.add_argument("--long", action="store_true", help="also cases that take minutes each")
    what.add_argument(
        "--only",
        metavar="NAME,...",
        default="",
        help="these cases, by name (detect/float32), group (train) or pattern (*/384*)",
    )
    what.add_argument("--list", action="store_true", help="list the cases and stop")
    what.add_argument("--repeats", type=int, metavar="N", help="rounds of each case")
    what.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    what.add_argument(
        "--datasets", type=Path, metavar="DIR", help="prepared data sets; default: datasets"
    )
    what.add_argument(
        "--network",
        nargs=3,
        action="append",
        metavar=("NAME", "WEIGHTS", "DATASET"),
        help="how ways to detect change the scores of this network on this prepared data set, and "
        "no other case; can be repeated",
    )
    what.add_argument(
        "--ways", metavar="NAME,...", default="", help="of --network; default: all (--list)"
    )
    what.add_argument(
        "--sections",
        type=int,
        metavar="N",
        help="of --network: at most so many, evenly spread over the test part; default: all",
    )
    what.add_argument(
        "--peer-python",
        type=Path,
        metavar="PATH",
        help="an interpreter that has torchvision, whose Mask R-CNN is timed in turn with ours; "
        "default: this one, if it has it",
    )
    _add_results(parser)
    parser.add_argument("--debug", action="store_true", help="show where an error was raised")
    parser.add_argument("--worker", nargs=2, type=Path, help=argparse.SUPPRESS)
    return parser


def _add_results(parser: argparse.ArgumentParser) -> None:
    out = parser.add_argument_group("where the results go")
    out.add_argument("--out", type=Path, metavar="FILE.json", help="write the record here")
    out.add_argument(
        "--baseline", type=Path, metavar="FILE.json", help="hold the results against this record"
    )
    out.add_argument(
        "--tolerance",
        type=float,
        default=record.TOLERANCE,
        help="relative change that still counts as none; default: %(default)s",
    )
    page = parser.add_argument_group("a page instead of a measurement")
    page.add_argument("--page", type=Path, metavar="FILE.md", help="write this page")
    page.add_argument(
        "--from",
        dest="source",
        type=Path,
        nargs="+",
        metavar="FILE.json",
        help="of these records; cases of later ones take the place of those of the same name",
    )


def _run(args: argparse.Namespace, argv: Sequence[str]) -> int:
    if args.worker:
        worker.main(*args.worker)
        return DONE
    if args.page or args.source:
        return _page(args)
    only = [name for name in args.only.split(",") if name]
    alone = only or args.quick or args.long
    if (args.network and alone) or ((args.ways or args.sections) and not args.network):
        raise UserError(
            "--network, --ways and --sections go together, without --only, --quick and --long."
        )
    if args.sections is not None and args.sections < 1:
        raise UserError(f"--sections {args.sections}: give a whole number of at least 1.")
    if args.network:
        ways = [name for name in args.ways.split(",") if name]
        chosen = [cases.accuracy_of(*network, ways, args.sections) for network in args.network]
    else:
        chosen = cases.select(cases.all_cases(), only, args.quick, args.long)
    if args.list:
        for case in chosen:
            say(f"{case.name:32} {case.title}")
        return DONE
    if args.repeats is not None and args.repeats < 1:
        raise UserError(f"--repeats {args.repeats}: give a whole number of at least 1.")
    baseline = record.read_record(args.baseline) if args.baseline else None
    if args.out:
        demand_own([args.out], [args.baseline] if args.baseline else [], record.is_record)
    peer_python = _peer_python(args.peer_python, chosen)
    slower = []

    def report(entry: Entry) -> None:
        change = record.compare(entry, baseline, args.tolerance) if baseline else None
        say(tables.line(entry, change))
        if change is not None and change.verdict == record.SLOWER:
            slower.append(entry.name)

    def save(so_far: Record) -> None:
        if args.out:
            text = json.dumps(so_far.to_json(), indent=1) + "\n"
            replace_own_text(args.out, text, record.is_record)

    done = run.run_cases(
        chosen,
        args.repeats or (run.QUICK_ROUNDS if args.quick else run.ROUNDS),
        args.seed,
        _command(argv),
        report,
        args.datasets,
        save,
        peer_python,
    )
    for table in _tables(done):
        say()
        say(table.text().rstrip())
    return _verdict(done, slower, only)


def _peer_python(given: Path | None, chosen: Sequence[Case]) -> str | None:
    """The interpreter of the peer; None, with a warning, where it is not to be had."""
    if not any("peer" in case.settings for case in chosen):
        return None
    python = str(given or sys.executable)
    reason = peer.why_not(python)
    if not reason:
        return python
    cure = f"Install it ({python} -m pip install torchvision), or give another --peer-python."
    if given:
        raise UserError(f"--peer-python {given} has no {peer.NAME}: {reason}. {cure}")
    complain(f"sebre bench: nothing is timed beside {peer.NAME}: {reason}. {cure}")
    return None


def _tables(done: Record) -> Iterator[Table]:
    """What was measured by group, and the targets that it is held against."""
    entries = done.measured
    for group in tables.GROUPS:
        if of_group := [e for name, e in entries.items() if name.startswith(f"{group}/")]:
            yield tables.group_table(group, of_group)
    if found := [f for f in targets.findings(done) if f.value is not None]:
        yield tables.targets_table(found)


def _command(argv: Sequence[str]) -> str:
    """How to repeat a run, without the places of one machine."""
    known = ("PATH" if Path(argument).is_absolute() else argument for argument in argv)
    return shlex.join(["python", "-m", "sebre.bench", *known])


def _verdict(done: Record, slower: Sequence[str], only: Sequence[str]) -> int:
    """Exit code; says what failed, is slower, or was asked for and is not there."""
    wrong = {
        "failed": [e.name for e in done.cases if e.status == record.FAILED],
        "slower than the baseline": slower,
        "without a peer": [e.name for e in done.cases if e.peer_reason],
        "not available": [e.name for e in done.cases if only and e.status == record.NOT_AVAILABLE],
    }
    for problem, names in wrong.items():
        if names:
            complain(f"sebre bench: {problem}: {', '.join(names)}")
    return SOME_FAILED if any(wrong.values()) else DONE


def _page(args: argparse.Namespace) -> int:
    if not (args.page and args.source):
        raise UserError("--page FILE.md and --from FILE.json go together.")
    from sebre.bench.performance_page import write_page

    write_page({path: record.read_record(path) for path in args.source}, args.page)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
