"""Whose a name is in a folder of outputs: one name is one picture, whatever call it was given to.

    <out>/.records/<name>.json    of the picture that the name belongs to

`sebre.predict.section_records` adds what was found in it, when that is finished.
"""

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UnavailableError, UserError
from mrcnn.io.files import replace_text

RECORDS = ".records"
_LOCK = ".lock"  # no section has such a name
_PATIENCE = 120.0  # s that a call waits for another one to write a table


def stamp(picture: Path | np.ndarray) -> dict[str, Any]:
    """What tells a picture, or pixels of no file, from others, and from itself after a change."""
    if isinstance(picture, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(picture)).hexdigest()
        return {"path": f"an array, SHA-256 {digest[:16]}", "shape": list(picture.shape)}
    facts = picture.stat()
    found = {"path": str(picture), "bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns}
    if picture.suffix.lower() == ".hdr":  # the voxels of Analyze lie beside it
        beside = (picture.with_suffix(ending) for ending in (".img", ".img.gz"))
        voxels = [path.stat() for path in beside if path.is_file()]
        found["data"] = [[one.st_size, one.st_mtime_ns] for one in voxels]
    if picture.suffix.lower() in (".nrrd", ".nhdr") and (values := _data_file(picture)).is_file():
        found["data"] = [[values.stat().st_size, values.stat().st_mtime_ns]]
    return found


def _data_file(header: Path) -> Path:
    """Where an NRRD header says that its voxels are, if that is another file."""
    with header.open("rb") as file:
        for line in iter(file.readline, b""):
            key, _, value = line.strip().partition(b":")
            if not line.strip():
                break
            if key.lower().replace(b" ", b"") == b"datafile":
                return header.parent / value.strip().decode(errors="replace")
    return Path()


def read_record(out: Path, name: str) -> dict[str, Any]:
    """The record of a section; empty if there is none, or a damaged one."""
    return _read(record_path(out, name))


def forget(out: Path, name: str) -> None:
    """What was finished under a name does not count any more; the name stays its picture's."""
    if record := read_record(out, name):
        replace_text(record_path(out, name), json.dumps({"picture": record["picture"]}) + "\n")


def disown(out: Path, name: str) -> None:
    """What was finished under a name stays in the table, and no call takes it for its own."""
    if "rows" in (record := read_record(out, name)):
        text = json.dumps({**record, "fingerprint": None}, indent=1) + "\n"
        replace_text(record_path(out, name), text)


def claim(out: Path, name: str, picture: Path | np.ndarray) -> str:
    """The name that a picture's outputs have from now on: this one, or if it is another's "s-2".

    The folder `out` exists.
    """
    record_path(out, name).parent.mkdir(parents=True, exist_ok=True)
    with locked_records(out):
        name = next(n for n in numbered(name) if is_free(out, n, picture))
        if not read_record(out, name):
            replace_text(record_path(out, name), json.dumps({"picture": stamp(picture)}) + "\n")
    return name


def take_name(out: Path, name: str, picture: Path | np.ndarray) -> None:
    """Make a name that of a picture, or of an array, whose outputs are about to be written.

    What was finished under it does not count any more.

    Raises:
        UserError: it is that of another array, or of another picture, which is still there.
    """
    out.mkdir(parents=True, exist_ok=True)
    known = read_record(out, name).get("picture")
    if known and not is_free(out, name, picture):
        raise UserError(
            f"{out / name}: the outputs of {known['path']} have this name. Give another one "
            "(predict(..., name=...)), or another folder."
        )
    claim(out, name, picture)
    forget(out, name)


def numbered(name: str) -> Iterator[str]:
    """The name, then "name-2", "name-3", ..."""
    yield name
    copy = 2
    while True:
        yield f"{name}-{copy}"
        copy += 1


def is_free(out: Path, name: str, picture: Path | np.ndarray) -> bool:
    """Whether a name is a picture's own, or nobody's. A picture that was moved keeps its name."""
    known = read_record(out, name).get("picture")
    if known is None or known["path"] == str(picture):
        return True
    mine = stamp(picture)
    if isinstance(picture, np.ndarray):
        return known == mine
    return not Path(known["path"]).exists() and {**known, "path": mine["path"]} == mine


def is_brain(out: Path, name: str, pictures: Mapping[Path, str]) -> bool:
    """As `is_free` of the name of a folder, with pictures in it and their names there."""
    inside = record_path(out, name).with_suffix("")
    records = [_read(path) for path in sorted(inside.glob("*.json"))]
    folders = {Path(record["picture"]["path"]).parent for record in records if record}
    if not folders or next(iter(pictures)).parent in folders:
        return True
    owned = {path: f"{name}/{stem}" for path, stem in pictures.items()}
    return any(read_record(out, own) and is_free(out, own, path) for path, own in owned.items())


@contextlib.contextmanager
def locked_records(out: Path) -> Iterator[None]:
    """Alone among all processes that use the folder. A process that dies holds nothing."""
    # SQLite knows how files are locked on every system; nothing is stored in the file.
    path, lock = out / RECORDS / _LOCK, None
    try:
        lock = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if lock is not None:
            lock.close()
        raise UnavailableError(
            f"{out}: cannot be locked against other calls ({error}; {path}). Call again when no "
            "other call writes to it, or choose a folder that is yours, on another disk."
        ) from error
    with contextlib.closing(lock):
        yield


def record_path(out: Path, name: str) -> Path:
    """Where the record of a name lies."""
    return out / RECORDS / f"{name}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["picture"]["path"]  # noqa: B018 (without it, it is damaged)
        return record
    except (OSError, ValueError, KeyError, TypeError):
        return {}
