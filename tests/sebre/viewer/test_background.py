"""The process beside the window, and what the two say to each other; its tasks need no network."""

import queue

import numpy as np
import pytest
from fake_tasks import COMMAND

from mrcnn.errors import UserError
from sebre.viewer.background import (
    DONE,
    ENDED,
    FAILED,
    REPORT,
    WARNED,
    Picture,
    WorkerProcess,
    in_words,
)

SECONDS = 120  # of a busy machine
DARK = np.zeros((4, 4), np.uint8)


class Heard(WorkerProcess):
    """A process, and what it says."""

    def __init__(self):
        self.said = queue.Queue()
        super().__init__(lambda *said: self.said.put(said), COMMAND)

    def next(self):
        return self.said.get(timeout=SECONDS)

    def answer(self):
        """What comes after the reports."""
        while (said := self.next())[0] == REPORT:
            pass
        return said


def closed(process: Heard) -> None:
    process.close()
    assert process.wait(SECONDS) is not None


@pytest.fixture(scope="module")
def process():
    process = Heard()
    yield process
    closed(process)


def test_a_task_reports_and_answers(process):
    process.ask("count", 3)
    found = [process.next() for _ in range(4)]
    assert [(kind, event.done) for kind, event in found[:3]] == [(REPORT, k) for k in range(3)]
    assert found[3] == (DONE, 3)


def test_a_task_is_stopped_and_the_next_one_is_not(process):
    process.ask("count", 100_000)
    assert process.next()[0] == REPORT
    process.stop()
    kind, number = process.answer()
    assert kind == DONE and number < 100_000
    process.ask("count", 2)
    assert [process.next()[0] for _ in range(3)] == [REPORT, REPORT, DONE]


def test_errors_and_warnings_come_over(process):
    process.ask("predict", None, [Picture("dark", DARK)])
    assert process.next() == (WARNED, "a warning of dark")
    assert process.next() == (FAILED, "dark: refused.")
    process.ask("predict", None, [Picture("fail", DARK)])
    kind, text = process.next()
    assert kind == FAILED and text.startswith("A fault of the program (KeyError: 'a fault')")


def test_a_process_that_dies_is_replaced(process):
    process.ask("predict", None, [Picture("die", DARK)])
    assert process.next() == (ENDED, 3)
    process.stop()  # nobody is there to hear it
    process.ask("count", 0)
    assert process.next() == (DONE, 0)


def test_closing_stops_what_runs():
    process = Heard()
    process.ask("count", 100_000)
    assert process.next()[0] == REPORT
    closed(process)
    kind, number = process.answer()
    assert kind == DONE and number < 100_000
    assert process.next() == (ENDED, 0)


def test_a_mistake_is_its_own_words(caplog):
    assert in_words(UserError("a.png: is no picture.")) == "a.png: is no picture."
    assert caplog.text == ""
    assert in_words(RuntimeError("oh")).startswith("A fault of the program (RuntimeError: oh)")
    assert "A fault of the program." in caplog.text
