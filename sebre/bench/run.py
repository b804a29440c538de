"""Run cases one after the other, each in a process of its own, and collect what they say."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from mrcnn.io.files import replace_text
from sebre.bench.cases.catalogue import Case
from sebre.bench.enlarged_sections import DATASETS
from sebre.bench.machine import facts
from sebre.bench.measurements import FAILED, MEASURED, Entry, Record
from sebre.bench.timing import RATES

TIMEOUT = 3600  # s per case
ROUNDS, QUICK_ROUNDS = 11, 5


def run_cases(
    cases: Iterable[Case],
    rounds: int,
    seed: int,
    command: str,
    report: Callable[[Entry], None] = lambda entry: None,
    datasets: Path | None = None,
    save: Callable[[Record], None] = lambda record: None,
    peer_python: str | None = None,
) -> Record:
    """Measure cases in the order given.

    Args:
        cases: what to measure.
        rounds: of each, unless it allows fewer.
        seed: of weights and pictures.
        command: how to repeat it, for the record.
        report: called with each entry as it comes.
        datasets: folder of prepared data sets, for the cases of accuracy.
        save: called with the record so far after each case: an interruption loses one at most.
        peer_python: interpreter of the peer; without, nothing is timed beside it.
    """
    record = Record(command=command, seed=seed, rounds=rounds, machine=facts(), cases=[])
    for case in cases:
        number = min(rounds, case.rounds or rounds)
        for entry in run_case(case, number, seed, datasets, peer_python):
            record.cases.append(entry)
            report(entry)
        save(record)
    return record


def run_case(
    case: Case,
    rounds: int,
    seed: int,
    datasets: Path | None = None,
    peer_python: str | None = None,
) -> list[Entry]:
    """Entries of a case, one for each thing that its process times; one if it failed."""
    about = {"kind": case.kind, "title": case.title, "note": case.note, "unit": case.unit}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="sebre-bench-") as folder:
        source, out = Path(folder) / "case.json", Path(folder) / "result.json"
        orders = {
            "name": case.name,
            "kind": case.kind,
            "settings": {**case.settings, "datasets": str((datasets or DATASETS).resolve())},
            "rounds": rounds,
            "seed": seed,
            "peer_python": peer_python,
        }
        replace_text(source, json.dumps(orders))
        command = [sys.executable, "-m", "sebre.bench", "--worker", str(source), str(out)]
        with (Path(folder) / "log").open("w+b") as log:
            try:
                code = start(command, log)
                reason = f"the process ended with code {code}"
                if code == -9:
                    reason += ", killed: probably out of memory"
            except subprocess.TimeoutExpired:
                reason = f"not done after {TIMEOUT} s"
            if out.is_file():
                result = json.loads(out.read_text(encoding="utf-8"))
            else:
                log.seek(0)
                tail = log.read()[-300:].decode("utf-8", "replace").split()
                result = {"status": FAILED, "reason": f"{reason}: {' '.join(tail)}"}
    about["status"] = result["status"]
    if result["status"] != MEASURED:
        return [Entry.from_json({"name": case.name, **about, "reason": result["reason"]})]
    about |= {name: result[name] for name in (*RATES, "devices") if name in result}
    about["wall_s"] = time.perf_counter() - began
    return [
        Entry.from_json({**about, **entry, "name": f"{case.name}/{entry['name']}".rstrip("/")})
        for entry in result["entries"]
    ]


def start(command: list[str], log: BinaryIO) -> int:
    """Run a process to its end; its code. What it says goes to the log."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    process = subprocess.run(
        command, stdout=log, stderr=subprocess.STDOUT, timeout=TIMEOUT, env=environment
    )
    return process.returncode
