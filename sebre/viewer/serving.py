"""The process of networks, which `sebre.viewer.background` starts: it hears what is asked, and has
it done by `sebre.viewer.tasks`."""

import contextlib
import logging
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import IO, Any

from sebre.viewer.background import DONE, FAILED, REPORT, STOP, WARNED, in_words


def serve() -> None:
    """Do what is asked over the standard input, until it is closed; the life of the process."""
    # The window stops it; Ctrl-C in the window's terminal is not meant for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever packages print must not come between
    asked: queue.Queue[tuple[str, Sequence[Any]] | None] = queue.Queue()
    stop, lock = threading.Event(), threading.Lock()
    arguments = (sys.stdin.buffer, asked, stop)
    threading.Thread(target=_hear, args=arguments, daemon=True).start()

    def say(kind: str, content: Any) -> None:
        # A window that is gone does not hear; a training still has to keep its checkpoint.
        with lock, contextlib.suppress(OSError):
            pickle.dump((kind, content), answers)
            answers.flush()

    logging.basicConfig()  # the log is the standard error
    for name in ("sebre", "mrcnn"):
        logging.getLogger(name).addHandler(_Forward(say))
    from sebre.viewer.tasks import TASKS  # heavy; the window may have asked meanwhile

    while (request := asked.get()) is not None:
        task, given = request
        try:
            result = TASKS[task](*given, lambda event: say(REPORT, event), stop)
        except Exception as error:
            say(FAILED, in_words(error))
        else:
            say(DONE, result)


def _hear(requests: IO[bytes], asked: queue.Queue, stop: threading.Event) -> None:
    """Take requests, also while a task runs; at their end, ask it to stop."""
    while True:
        try:
            message = pickle.load(requests)
        except EOFError:
            stop.set()
            asked.put(None)
            return
        if message == STOP:
            stop.set()
        else:
            stop.clear()
            asked.put(message)


class _Forward(logging.Handler):
    """Hands warnings on to the window; what went wrong is said as the answer to a task."""

    def __init__(self, say: Callable[[str, Any], None]):
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            self._say(WARNED, record.getMessage())
