"""What commands write replaces nothing but what was written here before.

Beside such files lies a record, `.written.jsonl`, with a line [SHA-256, name] for each; the line is
there before the file is. A file that is not as one of its lines says is somebody else's, or was
changed by somebody since: it is neither replaced nor removed. `mrcnn.io.files` writes without
asking.
"""

import functools
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mrcnn.errors import UnavailableError, UserError
from mrcnn.io.files import file_sha256, part_of, replace_file

RECORD = ".written.jsonl"
_NAMED = 3  # files that a message names
_FOLDER = ""  # stands for the checksum of a folder


def _nobody(path: Path) -> bool:
    return False


def written_in(folder: str | Path) -> dict[str, set[str]]:
    """Checksums under which files of a folder were written, by their names."""
    found: dict[str, set[str]] = {}
    try:
        lines = (Path(folder) / RECORD).read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return found
    for line in lines:
        try:
            checksum, name = json.loads(line)
            found.setdefault(name, set()).add(checksum)
        except (ValueError, TypeError):  # cut short when the machine stopped
            continue
    return found


def is_own(path: str | Path, written: dict[str, set[str]] | None = None) -> bool:
    """Whether a file is as it was written here; `written` is of `written_in` its folder."""
    path = Path(path)
    known = (written_in(path.parent) if written is None else written).get(path.name)
    return bool(known) and _checksum(path) in known


def note(path: Path, checksum: str) -> None:
    """Record that a file of this checksum is about to take its place."""
    if path.exists() and checksum in written_in(path.parent).get(path.name, ()):
        return
    line = json.dumps([checksum, path.name]) + "\n"
    # One call, so that lines of several processes do not mix.
    with (path.parent / RECORD).open("ab", buffering=0) as file:
        file.write(line.encode())


def demand_own(
    paths: Iterable[str | Path],
    inputs: Iterable[str | Path] = (),
    known: Callable[[Path], bool] = _nobody,
) -> None:
    """Raise a UserError unless files can be written without a loss; to be called before the work.

    Args:
        paths: files to write. What is there under such a name must be as it was written here.
        inputs: files that are read. They may not be written, by whatever path.
        known: whether a file that no record names was written here, by what is in it.
    """
    paths, foreign = [Path(path) for path in paths], []
    written = functools.cache(written_in)
    read = {_identity(Path(given)) for given in inputs if Path(given).exists()}
    for folder in dict.fromkeys(path.parent for path in paths):
        demand_place(folder)
    for path in paths:
        if not os.path.lexists(path):
            continue
        if path.is_dir():
            raise UserError(f"{path}: is a folder; wanted the name of a file to write.")
        if path.exists() and _identity(path) in read:
            raise UserError(f"{path}: is read and would be written over. Choose another name.")
        recorded = written(path.parent)
        if not is_own(path, recorded) and (path.name in recorded or not known(path)):
            foreign.append(path)
    if foreign:
        _refuse(foreign)


def demand_place(folder: str | Path) -> None:
    """Raise a UserError unless files can be written to a folder, which need not be there yet."""
    folder = Path(folder).absolute()
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise UserError(f"{there}: is not a folder, so {folder} cannot be written. Choose another.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UnavailableError(f"{there}: may not be written. Choose another folder.")


def replace_own(
    path: str | Path,
    write: Callable[[Path], object],
    suffix: str = "",
    known: Callable[[Path], bool] = _nobody,
) -> None:
    """As `mrcnn.io.files.replace_file`, which it calls; its folder is made.

    What is there must be as `demand_own` wants it.
    """
    path = Path(path)
    demand_own([path], known=known)

    def write_and_note(part: Path) -> None:
        write(part)
        note(path, file_sha256(part))

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"{path.parent}: cannot be made ({error}).") from error
    replace_file(path, write_and_note, suffix)


def replace_own_text(path: str | Path, text: str, known: Callable[[Path], bool] = _nobody) -> None:
    """Write a text file (UTF-8, line ends as given) as `replace_own` does."""
    replace_own(path, lambda part: part.write_text(text, encoding="utf-8", newline=""), known=known)


def demand_own_folder(folder: str | Path) -> None:
    """Raise a UserError unless all in a folder is as `replace_own_folder` wrote it."""
    folder = Path(folder)
    demand_place(folder.parent)
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: is a file; wanted the name of a folder to write.")
    written = written_in(folder)
    content = ((path, path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*")))
    if foreign := [
        path
        for path, name in content
        if name != RECORD and _checksum(path) not in written.get(name, ())
    ]:
        _refuse(foreign)


def replace_own_folder(folder: str | Path, write: Callable[[Path], object]) -> None:
    """Call `write(new folder)`, then put it in the place of a folder that was written here.

    Raises:
        UserError: the folder holds anything else (`demand_own_folder`).
    """
    with new_folder(folder) as part:
        write(part)
        content = sorted(part.rglob("*"))
        lines = [[_checksum(path), path.relative_to(part).as_posix()] for path in content]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (part / RECORD).write_text(text, encoding="utf-8")


@contextmanager
def new_folder(folder: str | Path) -> Iterator[Path]:
    """An empty folder under another name, which takes its place when it is complete.

    What is there must be as `demand_own_folder` wants it, now and then; an empty folder is. After
    an error nothing has changed.
    """
    demand_own_folder(folder)
    folder = Path(folder).resolve()  # what a link leads to, not the link
    part, old = part_of(folder), part_of(folder)
    try:
        part.mkdir(parents=True)
        yield part
        demand_own_folder(folder)
        if folder.exists():
            os.replace(folder, old)
        os.replace(part, folder)
    finally:
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _identity(path: Path) -> tuple[int, int]:
    """Of a file, by whatever path: through a link, in other letters, or from another folder."""
    facts = path.stat()
    return facts.st_dev, facts.st_ino


def _checksum(path: Path) -> str | None:
    """Of a file; None of what is no file of its own, such as a link."""
    if path.is_symlink():
        return None
    if path.is_dir():
        return _FOLDER
    return file_sha256(path) if path.is_file() else None


def _refuse(foreign: list[Path]) -> None:
    names = ", ".join(str(path) for path in foreign[:_NAMED])
    more = f" and {len(foreign) - _NAMED} more" if len(foreign) > _NAMED else ""
    raise UserError(
        f"{names}{more}: there already, and not written by an earlier call, or changed since. "
        "Nothing of it is replaced: move it away, or choose another place to write."
    )
