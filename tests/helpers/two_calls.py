"""Program: two calls into one folder at once, with a segmenter that takes its time.

    python two_calls.py OUT FOLDER FOLDER

Prints the numbers of their processes, and ends with them. The network is imported once for both.
"""

import os
import sys
import time
from pathlib import Path

from fixed_segmenter import RESULT, Fixed

from sebre.experiments import EXPERIMENTS
from sebre.predict.folders import detect_folders
from sebre.predict.job import Job, plan_job
from sebre.predict.pictures import find_sections


class Slow(Fixed):
    def detect(self, images, masks="full"):
        time.sleep(0.05)
        return super().detect(images)


def call(out: Path, folder: Path) -> None:
    Job.load = lambda job: Slow(RESULT)
    job = plan_job("slicemap", EXPERIMENTS["slicemap"], out)
    detect_folders(job, find_sections([folder], out))


if __name__ == "__main__":
    out, *folders = map(Path, sys.argv[1:])
    numbers = []
    for folder in folders:
        number = os.fork()
        if not number:
            call(out, folder)
            os._exit(0)
        numbers.append(number)
    print(*numbers, flush=True)
    for number in numbers:
        os.waitpid(number, 0)
