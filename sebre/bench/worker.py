"""One case in a process of its own: prepare it, calibrate around it, write what came out."""

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
from sebre.bench.timing import MATRIX, interleave, matrix_product, reference_network

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
        case: kind, settings, rounds, seed, as JSON types.
        reference: instead of R, for tests that need no large network.
        matrix: rows and columns of the product.

    Returns:
        status and reason; "entries", for each task its name, what `Ratio` has, and facts;
        "gflops" of the matrix product, and the devices.
    """
    module = importlib.import_module(KINDS[case["kind"]])
    start = time.perf_counter()
    try:
        prepared = module.prepare(case["settings"], case["seed"])
    except NotAvailable as error:
        return {"status": NOT_AVAILABLE, "reason": str(error), "entries": []}
    try:
        entries, gflops = _timed(prepared, case["rounds"], reference, matrix)
    finally:
        prepared.close()
    return {
        "status": MEASURED,
        "reason": "",
        "gflops": gflops,
        "devices": _devices(),
        "wall_s": time.perf_counter() - start,
        "entries": [*entries, *prepared.entries],
    }


def _timed(
    prepared: Prepared, rounds: int, reference: Callable[[], object] | None, matrix: int
) -> tuple[list[dict[str, Any]], float | None]:
    """Entries of the tasks, and the matrix rate around them in GFLOP/s."""
    tasks = prepared.tasks
    if not tasks:
        return [], None
    for task in tasks:
        task.run()
        task.facts["peak_mib"] = peak_mib()
    # Both are made after the tasks have run, so that these have no part in their peak memory.
    product, work = matrix_product(matrix)
    reference = prepared.reference or reference or reference_network()
    reference()
    ratios, seconds = interleave(
        {task.name: task.run for task in tasks},
        reference,
        rounds,
        {"matrix product": product},
        {task.name: task.items for task in tasks},
    )
    entries = [{"name": task.name, **asdict(ratios[task.name]), **task.facts} for task in tasks]
    return entries, work / seconds["matrix product"]


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
