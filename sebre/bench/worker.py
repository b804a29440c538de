"""One case in a process of its own: prepare it, calibrate around it, write what came out.

The process of the peer, where there is one, takes turns with it: one of the two computes.
"""

import importlib
import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mrcnn.io.files import replace_text
from sebre.bench.machine import peak_mib
from sebre.bench.measurements import FAILED, MEASURED, NOT_AVAILABLE
from sebre.bench.peer import NAME as PEER
from sebre.bench.peer import Peer, peers_of
from sebre.bench.timing import MATRIX, RATES, Rounds, interleave, matrix_product, reference_network

# Kinds of cases, and the modules whose `prepare(settings, seed)` gives a `Prepared`.
KINDS = {
    "detect": "sebre.bench.cases.detect",
    "train": "sebre.bench.cases.train_step",
    "input": "sebre.bench.cases.pipeline",
    "feed": "sebre.bench.cases.feeding",
    "memory": "sebre.bench.cases.memory",
    "accuracy": "sebre.bench.cases.accuracy",
}


class NotAvailable(Exception):
    """A case that this installation cannot run, and why."""


@dataclass
class Task:
    """Something to be timed."""

    name: str  # below the case's; empty for the case itself
    run: Callable[[], object]  # does it, and waits for the result
    items: int = 1  # how many things a run does; results are for one
    facts: dict[str, Any] = field(default_factory=dict)  # what else is known of it, JSON types
    peer: Mapping[str, Any] | None = None  # the same work, for the peer (`peer.work_of`)


@dataclass
class Prepared:
    """What a case is about: tasks to be timed between rounds of a reference, or entries."""

    tasks: Sequence[Task] = ()
    reference: Callable[[], object] | None = None  # instead of R
    # Results without timing: name, ratio, q1, q3, n, facts; or name, status and reason.
    entries: Sequence[dict[str, Any]] = ()
    close: Callable[[], None] = lambda: None  # called at the end


def measure(
    case: Mapping[str, Any], reference: Callable[[], object] | None = None, matrix: int = MATRIX
) -> dict[str, Any]:
    """Run a case in this process.

    Args:
        case: kind, settings, rounds, seed, as JSON types; and the Python of the peer, or None.
        reference: instead of R, for tests that need no large network.
        matrix: rows and columns of the products.

    Returns:
        status and reason; "entries", for each task its name, what `Ratio` has, facts and the
        peer; "gflops" and "gflops_bfloat16" of matrix products, and the devices.
    """
    module = importlib.import_module(KINDS[case["kind"]])
    start = time.perf_counter()
    try:
        prepared = module.prepare(case["settings"], case["seed"])
    except NotAvailable as error:
        return {"status": NOT_AVAILABLE, "reason": str(error), "entries": []}
    try:
        entries, rates = _timed(prepared, case, reference, matrix)
    finally:
        prepared.close()
    return {
        "status": MEASURED,
        "reason": "",
        **rates,
        "devices": _devices(),
        "wall_s": time.perf_counter() - start,
        "entries": [*entries, *prepared.entries],
    }


def _timed(
    prepared: Prepared,
    case: Mapping[str, Any],
    reference: Callable[[], object] | None,
    matrix: int,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Entries of the tasks, and the matrix rates around them in GFLOP/s."""
    tasks = prepared.tasks
    if not tasks:
        return [], {}
    for task in tasks:
        task.run()
        task.facts["peak_mib"] = peak_mib()
    # These are made after the tasks have run, so that they have no part in their peak memory.
    products = {name: matrix_product(matrix, dtype) for name, dtype in RATES.items()}
    reference = prepared.reference or reference or reference_network()
    reference()
    works = {task.name: task.peer for task in tasks if task.peer is not None}
    with peers_of(works, case.get("peer_python")) as peers:
        turns: dict[str, Callable[[], object]] = {}
        for task in tasks:
            turns[task.name] = task.run
            if task.name in peers and peers[task.name].run:
                turns[_turn(task)] = peers[task.name].run
        others = {name: product for name, (product, _) in products.items()}
        rounds = interleave(turns, reference, case["rounds"], others)
    entries = []
    for task in tasks:
        entry = {"name": task.name, **asdict(rounds.ratio(task.name, task.items)), **task.facts}
        if task.name in peers:
            entry |= _beside(task, peers[task.name], rounds)
        entries.append(entry)
    return entries, {name: work / rounds.median(name) for name, (_, work) in products.items()}


def _turn(task: Task) -> str:
    """The name of the peer's task."""
    return f"{task.name} of {PEER}"


def _beside(task: Task, peer: Peer, rounds: Rounds) -> dict[str, Any]:
    """What an entry says of the peer, see `sebre.bench.measurements.PeerEntry`."""
    if peer.run is None:
        return {"peer_reason": peer.reason}
    ratio = rounds.against(task.name, _turn(task))
    numbers = {"ratio": ratio.ratio, "q1": ratio.q1, "q3": ratio.q3, "seconds": ratio.r_seconds}
    return {"peer": {"precision": task.peer["precision"], **numbers, **peer.facts}}


def _devices() -> list[str]:
    """Processors and accelerators that TensorFlow uses."""
    import tensorflow as tf

    found = []
    for device in tf.config.list_physical_devices():
        details = tf.config.experimental.get_device_details(device)
        found.append(details.get("device_name", device.device_type))
    return found


def main(case_file: Path, out: Path) -> None:
    """Measure the case of a file, and write the result to another, whatever happens."""
    case = json.loads(case_file.read_text(encoding="utf-8"))
    try:
        result = measure(case)
    except Exception as error:
        traceback.print_exc()
        text = " ".join(str(error).split())[:500]
        result = {"status": FAILED, "reason": f"{type(error).__name__}: {text}", "entries": []}
    replace_text(out, json.dumps(result))
