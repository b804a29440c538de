"""A record of every section in a folder of outputs, and what is made of all of them.

    <out>/.records/<name>.json    of the picture that the name belongs to; `fingerprint`, `rows` and
                                  `about` from when it was finished
    <out>/regions.csv             the rows of all records
    <out>/report.html             the same to look at, with pictures
    <out>/summary.json            counts and warnings

One name is one picture (`sebre.predict.name_claims`). A call that is stopped, or that runs while
another one does, so neither loses rows nor writes over outputs of other pictures.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mrcnn.io.files import replace_text
from mrcnn.io.own_files import replace_own_text
from sebre.data.listing import natural, some
from sebre.predict.name_claims import RECORDS, locked_records, read_record, record_path
from sebre.predict.outputs import label_paths, save_table
from sebre.predict.overview import PAGE, SUMMARY, page, summary

logger = logging.getLogger(__name__)

TABLE = "regions.csv"


def all_records(out: Path) -> dict[str, dict[str, Any]]:
    """The records of a folder by the names of their sections, in natural order; empty ones of
    damaged files, and without "rows" those of sections that are not finished."""
    folder = out / RECORDS
    paths = (path.relative_to(folder) for path in folder.rglob("*.json"))
    # Not `with_suffix`: names may have dots.
    names = (path.as_posix().removesuffix(".json") for path in paths)
    return {name: read_record(out, name) for name in sorted(names, key=lambda n: natural(Path(n)))}


def write_record(
    out: Path,
    name: str,
    picture: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    fingerprint: str | None = None,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Record that the outputs of a section are complete.

    Args:
        out: folder of the outputs.
        name: of the section.
        picture: `stamp` of the picture, from before it was read.
        rows: of the table.
        fingerprint: of the job that made them; None if no later call may take them for its own.
        about: what the page says and shows of it (`sebre.predict.overview.about`).
    """
    facts = {"picture": picture, "fingerprint": fingerprint, "rows": rows, "about": about or {}}
    replace_text(record_path(out, name), json.dumps(facts, indent=1) + "\n")


def write_table_of_all(out: Path, fingerprint: str | None = None) -> None:
    """Write table, page and summary of all sections whose label map is there, in the natural order
    of their names.

    What they leave out, and what was not made by the job of this fingerprint, is logged.
    """
    kept: dict[str, Mapping[str, Any]] = {}
    damaged, removed, others = [], [], []
    (out / RECORDS).mkdir(parents=True, exist_ok=True)
    with locked_records(out):
        for name, record in all_records(out).items():
            if not record:
                damaged.append(name)
            elif "rows" not in record:  # claimed, and not finished
                continue
            elif not any(path.is_file() for path in label_paths(out, name)):
                removed.append(name)
                record_path(out, name).unlink()
            else:
                kept[name] = record
                others += [name] * (record.get("fingerprint") != fingerprint)
        save_table([row for record in kept.values() for row in record["rows"]], out / TABLE)
        replace_own_text(out / PAGE, page(kept))
        replace_own_text(out / SUMMARY, json.dumps(summary(kept), indent=1) + "\n")
    for names, why in (
        (damaged, "not in it: their records are damaged; segment them again"),
        (removed, "not in it: their label maps were removed"),
        (others if fingerprint else [], "in it, of calls with other weights or settings"),
    ):
        if names:
            logger.warning("%s: %d section(s) %s (%s)", out / TABLE, len(names), why, some(names))
