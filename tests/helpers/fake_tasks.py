"""Tasks that need no network, in the place of `sebre.viewer.tasks`: how a process is talked to."""

import logging
import os
import sys
import time

from mrcnn.errors import UserError
from sebre.viewer.background import Loss, Progress, TrainedRun

# Starts a process that has these tasks.
COMMAND = (
    sys.executable,
    "-c",
    "import sys, fake_tasks; sys.modules['sebre.viewer.tasks'] = fake_tasks; "
    "from sebre.viewer.serving import serve; serve()",
)


def count(most, report, stop):
    """Count until it is stopped; gives how far it came."""
    for number in range(most):
        report(Progress(number, most, "counting"))
        print("noise that must not come between")
        if stop.is_set():
            return number
        time.sleep(0.01)
    return most


def predict(choice, pictures, report, stop):
    """Refuse, fail, warn or die, as the name of the picture says."""
    name = pictures[0].name
    if name == "fail":
        raise KeyError("a fault")
    if name == "die":
        os._exit(3)
    logging.getLogger("sebre.fake").warning("a warning of %s", name)
    raise UserError(f"{name}: refused.")


def train(training, report, stop):
    """Never done, but stopped."""
    for step in range(1, 100_000):
        report(Loss(step, 100_000, 1 / step, 0.5 if step == 1 else None))
        if stop.wait(0.01):
            return TrainedRun(None, False)
    return None


TASKS = {"count": count, "predict": predict, "train": train}
