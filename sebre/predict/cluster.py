"""Sections on a Dask cluster, of this machine or of several.

Every worker loads the network once and keeps it. It reads the pictures and writes the outputs
itself: pictures, weights given by their path, and the folder of the outputs lie on a disk that
all machines see under the same path. One section is sent to a worker at a time, so that no
other is lost or blamed when its process dies. A worker does one section at a time, whatever
its number of threads; the network uses the cores.
"""

import contextlib
import dataclasses
import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from types import ModuleType
from typing import Any

from mrcnn.errors import MissingPackageError, UnavailableError
from sebre.predict.job import Job, SectionOutcome, describe, segment_file
from sebre.predict.pictures import SectionFile

logger = logging.getLogger(__name__)

_PATIENCE = 60.0  # s that a run waits for a first worker, or for a new one when all are gone
_POLL = 5.0  # s between two looks for workers while none finishes

# Of a worker process: its network by fingerprint, and who may use it.
_networks: dict[str, Any] = {}
_one_at_a_time = threading.Lock()


@dataclasses.dataclass(frozen=True)
class _Attempt:
    """A section on its way."""

    section: SectionFile
    left: int  # tries that are left after this one
    failed: frozenset[str] = frozenset()  # addresses of workers


@dataclasses.dataclass(frozen=True)
class _Reply:
    """What comes back."""

    outcome: SectionOutcome
    place: str = ""  # address of the worker
    fatal: Exception | None = None  # an error that every section would meet at this worker


def run_on_cluster(
    job: Job,
    sections: Sequence[SectionFile],
    retries: int,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Iterator[SectionOutcome]:
    """Segment sections; each one's outcome as soon as it is known, in any order.

    A section that failed is sent again, to another worker if there is one, up to `retries` times.
    The death of a worker counts as a failure of its section. For the cluster see `connect`.

    Raises:
        ModuleNotFoundError: Dask is not installed, here or on a worker.
        ValueError: the network cannot be loaded by the workers.
        OSError: no cluster at this address, no worker, or it was lost.
    """
    with connect(workers, scheduler) as client:
        job.begin()
        waiting = deque(_Attempt(section, retries) for section in sections)
        running: dict[Any, _Attempt] = {}
        while waiting or running:
            places = client.nthreads()
            while waiting and len(running) < max(1, len(places)):
                attempt = waiting.popleft()
                running[_send(client, job, attempt, places)] = attempt
            for future in _first_done(client, running):
                attempt = running.pop(future)
                reply = _reply(future, attempt.section)
                if reply.outcome.error and attempt.left:
                    logger.info("%s; trying again", reply.outcome.error)
                    failed = attempt.failed | {reply.place}
                    waiting.append(_Attempt(attempt.section, attempt.left - 1, failed))
                elif reply.fatal is not None:
                    raise reply.fatal
                else:
                    yield reply.outcome


def _send(client: Any, job: Job, attempt: _Attempt, places: Iterable[str]) -> Any:
    """A future of the reply; from a worker that has not failed yet, if there is one."""
    others = [place for place in places if place not in attempt.failed]
    chosen = {"workers": others, "allow_other_workers": True} if others else {}
    key = f"{attempt.section.name} {uuid.uuid4().hex}"
    return client.submit(_segment_here, job, attempt.section, key=key, **chosen)


def _segment_here(job: Job, section: SectionFile) -> _Reply:
    """On a worker: segment a section."""
    from distributed import get_worker

    place = get_worker().address
    with _one_at_a_time:
        try:
            if job.fingerprint not in _networks:
                _networks.clear()
                _networks[job.fingerprint] = job.load()
        except (ValueError, OSError, ModuleNotFoundError) as error:
            return _Reply(SectionOutcome(section, error=f"{place}: {error}"), place, error)
        unseen = None if section.path.exists() else section.path
        unseen = unseen if job.begun() else job.out
        if unseen is not None:
            error = (
                f"{unseen}: not to be seen by the worker {place}. Pictures and outputs must lie "
                "on a disk that all workers share, under the same path."
            )
            return _Reply(SectionOutcome(section, error=error), place)
        network = _networks[job.fingerprint]
        outcome = segment_file(network, section, job.out, job.fingerprint, **job.options)
        return _Reply(outcome, place)


def _reply(future: Any, section: SectionFile) -> _Reply:
    """The reply of a future that is done."""
    from distributed.scheduler import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        place = error.last_worker.address
        text = f"{section.path}: the worker {place} died over it (out of memory?)"
        return _Reply(SectionOutcome(section, error=text), place)
    except ModuleNotFoundError as error:  # the worker does not even know this module
        missing = MissingPackageError(f"A worker lacks a package: {error}.", name=error.name)
        return _Reply(SectionOutcome(section, error=str(missing)), fatal=missing)
    except Exception as error:
        return _Reply(SectionOutcome(section, error=describe(error, section.path)))


def _first_done(client: Any, running: dict[Any, _Attempt]) -> list[Any]:
    """Futures that are done, at least one."""
    from distributed import wait

    alone_since = None
    while True:
        try:
            done = wait(list(running), timeout=_POLL, return_when="FIRST_COMPLETED")
            return list(done.done)
        except CancelledError as error:
            raise UnavailableError(
                f"The cluster was lost ({' '.join(str(error).split())}). The same command goes on "
                "from here when it is back."
            ) from error
        except TimeoutError:
            if client.nthreads():
                alone_since = None
                continue
            alone_since = alone_since or time.monotonic()
            if time.monotonic() - alone_since > _PATIENCE:
                raise UnavailableError(
                    f"No worker has been there for {_PATIENCE:.0f} s. The same command goes on "
                    "from here when there are workers again."
                ) from None


@contextlib.contextmanager
def connect(workers: int | None = None, scheduler: str | None = None) -> Iterator[Any]:
    """A `distributed.Client` of the cluster at an address, or of a new one on this machine.

    Args:
        workers: processes of the new one, of one thread each; they share the cores.
        scheduler: address of one that is there; without `workers`.

    Raises:
        ModuleNotFoundError: Dask is not installed.
        OSError: no cluster at this address, or no worker.
    """
    distributed = _distributed()
    # It reports each step of its work, and the outcomes say what goes wrong.
    logging.getLogger("distributed").setLevel(logging.ERROR)
    if scheduler is not None:
        with _reach(distributed, scheduler) as client:
            yield client
        return
    import dask

    with contextlib.ExitStack() as stack:
        # Whoever counts the failures of a section must see each of them.
        with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    memory_limit=0,  # Dask holds no data that it could do without
                    dashboard_address=None,
                    env=_shared_cores(workers),
                )
            )
        yield stack.enter_context(distributed.Client(cluster))


def _reach(distributed: ModuleType, address: str) -> Any:
    """A client of the cluster at an address, which has a worker."""
    try:
        client = distributed.Client(address, timeout=_PATIENCE / 2)
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"--scheduler {address}: no Dask scheduler answers there ({error}). Give its address "
            "as tcp://host:8786; `dask scheduler` and `dask worker` start one."
        ) from error
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError as error:
        client.close()
        raise UnavailableError(
            f"--scheduler {address}: it has no worker. Start some with "
            f"`dask worker {address} --nthreads 1`."
        ) from error
    return client


def _shared_cores(workers: int) -> dict[str, str]:
    """Environment of a worker: its share of the cores, unless the user has chosen."""
    from dask.system import CPU_COUNT

    threads = str(max(1, CPU_COUNT // workers))
    wanted = {
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": threads,
    }
    return {name: os.environ.get(name, value) for name, value in wanted.items()}


def _distributed() -> ModuleType:
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"--workers and --scheduler need the package distributed ({error}). Install it: "
            'pip install "sebre[cluster]"',
            name=error.name,
        ) from error
    return distributed
