"""Whether memory stays flat in the number of sections."""

import tempfile
from collections.abc import Mapping
from typing import Any

from sebre.bench.enlarged_sections import sections
from sebre.bench.machine import resident_mib
from sebre.bench.ways import configuration
from sebre.bench.worker import NotAvailable, Prepared

# px; of several sizes, so that something kept for every size would show as well.
_SHAPES = ((240, 384), (384, 384), (300, 500), (500, 300), (700, 900), (900, 700), (128, 128))


def prepare(settings: Mapping[str, Any], seed: int) -> Prepared:
    """Detect with a network (config) in sections one at a time, and compare the resident memory
    after so many (counts) with that after the first of these."""
    if resident_mib() is None:
        raise NotAvailable("resident memory is read from /proc, which this system lacks.")
    config = configuration(settings.get("config", {}), seed)
    from mrcnn.model import MaskRCNN

    with tempfile.TemporaryDirectory() as folder:
        model = MaskRCNN("inference", config, folder)
    images = sections(_SHAPES, seed)
    counts, found = list(settings["counts"]), {}
    for number in range(1, counts[-1] + 1):
        model.detect([images[number % len(images)]])
        if number in counts:
            found[number] = resident_mib()
    entries = []
    for count in counts[1:]:
        facts = {"resident_mib": found[count], "resident_mib_first": found[counts[0]]}
        ratio = dict.fromkeys(("ratio", "q1", "q3"), found[count] / found[counts[0]])
        entries.append({"name": str(count), **ratio, "n": 1, **facts})
    return Prepared(entries=entries)
