"""A record of every section in a folder of outputs, and what is made of all of them.

    <out>/.records/<name>.json    of the picture that the name belongs to; `fingerprint`, `rows` and
                                  `about` from when it was finished
    <out>/regions.csv             the rows of all records
    <out>/report.html             the same to look at, with pictures
    <out>/summary.json            counts and warnings

One name is one picture, whatever call it was given to. A call that is stopped, or that runs while
another one does, so neither loses rows nor writes over outputs of other pictures.
"""

import contextlib
import json
import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mrcnn.errors import UnavailableError, UserError
from mrcnn.io.files import replace_text
from mrcnn.io.own_files import replace_own_text
from sebre.data.listing import natural, some
from sebre.predict.outputs import label_paths, save_table
from sebre.predict.overview import PAGE, SUMMARY, page, summary

logger = logging.getLogger(__name__)

TABLE = "regions.csv"
_RECORDS = ".records"
_LOCK = "lock"
_PATIENCE = 120.0  # s that a call waits for another one to write a table


def stamp(picture: Path) -> dict[str, Any]:
    """What tells a picture from others, and from itself after a change."""
    facts = picture.stat()
    found = {"path": str(picture), "bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns}
    if picture.suffix.lower() == ".hdr":  # the voxels of Analyze lie beside it
        beside = (picture.with_suffix(ending) for ending in (".img", ".img.gz"))
        voxels = [path.stat() for path in beside if path.is_file()]
        found["data"] = [[one.st_size, one.st_mtime_ns] for one in voxels]
    return found


def read_record(out: Path, name: str) -> dict[str, Any]:
    """The record of a section; empty if there is none, or a damaged one."""
    return _read(_path(out, name))


def all_records(out: Path) -> dict[str, dict[str, Any]]:
    """The records of a folder by the names of their sections, in natural order; empty ones of
    damaged files, and without "rows" those of sections that are not finished."""
    folder = out / _RECORDS
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
    replace_text(_path(out, name), json.dumps(facts, indent=1) + "\n")


def forget(out: Path, name: str) -> None:
    """What was finished under a name does not count any more; the name stays its picture's."""
    if record := read_record(out, name):
        replace_text(_path(out, name), json.dumps({"picture": record["picture"]}) + "\n")


def claim(out: Path, name: str, picture: Path) -> str:
    """The name that a picture's outputs have from now on: this one, or if it is another's "s-2".

    The folder `out` exists.
    """
    _path(out, name).parent.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        name = next(n for n in numbered(name) if is_free(out, n, picture))
        if not read_record(out, name):
            replace_text(_path(out, name), json.dumps({"picture": stamp(picture)}) + "\n")
    return name


def take_name(out: Path, name: str, picture: Path | None) -> None:
    """Make a name that of a picture, or of an array (None), whose outputs are about to be written.

    What was finished under it does not count any more.

    Raises:
        UserError: it is that of another picture, which is still there.
    """
    out.mkdir(parents=True, exist_ok=True)
    known = read_record(out, name).get("picture")
    if known and (picture is None or not is_free(out, name, picture)):
        raise UserError(
            f"{out / name}: the outputs of {known['path']} have this name. Give another one "
            "(predict(..., name=...)), or another folder."
        )
    if picture is not None:
        claim(out, name, picture)
        forget(out, name)


def numbered(name: str) -> Iterator[str]:
    """The name, then "name-2", "name-3", ..."""
    yield name
    copy = 2
    while True:
        yield f"{name}-{copy}"
        copy += 1


def is_free(out: Path, name: str, picture: Path) -> bool:
    """Whether a name is a picture's own, or nobody's. A picture that was moved keeps its name."""
    known = read_record(out, name).get("picture")
    if known is None or known["path"] == str(picture):
        return True
    return not Path(known["path"]).exists() and {**known, "path": str(picture)} == stamp(picture)


def is_brain(out: Path, name: str, pictures: Sequence[Path]) -> bool:
    """As `is_free` of the name of a folder, with pictures in it."""
    records = [_read(path) for path in sorted(_path(out, name).with_suffix("").glob("*.json"))]
    folders = {Path(record["picture"]["path"]).parent for record in records if record}
    if not folders or pictures[0].parent in folders:
        return True
    return any(
        read_record(out, f"{name}/{path.stem}") and is_free(out, f"{name}/{path.stem}", path)
        for path in pictures
    )


def write_table_of_all(out: Path, fingerprint: str | None = None) -> None:
    """Write table, page and summary of all sections whose label map is there, in the natural order
    of their names.

    What they leave out, and what was not made by the job of this fingerprint, is logged.
    """
    kept: dict[str, Mapping[str, Any]] = {}
    damaged, removed, others = [], [], []
    (out / _RECORDS).mkdir(parents=True, exist_ok=True)
    with _locked(out):
        for name, record in all_records(out).items():
            if not record:
                damaged.append(name)
            elif "rows" not in record:  # claimed, and not finished
                continue
            elif not any(path.is_file() for path in label_paths(out, name)):
                removed.append(name)
                _path(out, name).unlink()
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


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Alone among all processes that use the folder. A process that dies holds nothing."""
    # SQLite knows how files are locked on every system; nothing is stored in the file.
    with contextlib.closing(
        sqlite3.connect(out / _RECORDS / _LOCK, timeout=_PATIENCE, isolation_level=None)
    ) as lock:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise UnavailableError(
                f"{out}: cannot be locked against other calls ({error}). Call again when no other "
                "call writes to it, or choose a folder on another disk."
            ) from error
        yield


def _path(out: Path, name: str) -> Path:
    return out / _RECORDS / f"{name}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["picture"]["path"]  # noqa: B018 (without it, it is damaged)
        return record
    except (OSError, ValueError, KeyError, TypeError):
        return {}
