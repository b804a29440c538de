"""Public files of the sources: which they are, and how a raw folder gets them.

Addresses, sizes and checksums are in the tables `sources/files/<source>.csv` (columns
file,url,sha256,bytes). `sebre prepare --download` calls `download_source`.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mrcnn.errors import UnavailableError, UserError
from mrcnn.io.download import RETRIES, byte_bar, fetch, what_is_wrong, writing
from mrcnn.io.own_files import demand_own
from sebre.data.csv_tables import read_table
from sebre.prepare.sources import SOURCES, import_source, source_module, source_name

LISTS = Path(__file__).parent / "sources" / "files"

# Why a source has no list.
NOT_LISTED = {
    "allen_ish": "its sections are found by gene and age; use download_source.",
    "ibsr": "it is given out only to registered users of NITRC.",
    "sebre_figures": "of its files only the figures are public, not the sections cut from them.",
    "slicemap": "its arrays are selected rows of those in github.com/mbarbie1/DeepSlice, so no "
    "public file is equal to them.",
}


@dataclass(frozen=True)
class ListedFile:
    """A public file of a source."""

    file: str  # its place in the raw folder, with / as separator
    url: str
    sha256: str  # in hex
    bytes: int  # size


def listed(name: str) -> tuple[ListedFile, ...]:
    """The public files of a source, such as "malc2012"; if it has no list, an error says why."""
    name = source_module(name)
    path = LISTS / f"{name}.csv"
    if not path.is_file():
        reason = NOT_LISTED.get(name, "its files are the user's own, or it is not known.")
        known = ", ".join(sorted(p.stem for p in LISTS.glob("*.csv")))
        raise UserError(
            f"{name}: there is no list of files to download: {reason} Put the files into the "
            f"raw folder by hand. Sources with a list: {known}."
        )
    rows = read_table(path, ("file", "url", "sha256", "bytes"))
    for row in rows:
        place = PurePosixPath(row["file"])
        if place.is_absolute() or ".." in place.parts:
            raise UserError(f"{path}: {row['file']!r} would lie outside the raw folder.")
    return tuple(ListedFile(r["file"], r["url"], r["sha256"], int(r["bytes"])) for r in rows)


def download_source(name: str, raw: str | Path, options: Mapping[str, Any]) -> None:
    """Fetch what a raw folder lacks of a source: from its list, or as the source itself does.

    The folder is made if it is not there. Of the options of the user a source takes what it knows.
    """
    source = SOURCES.get(source_name(name))
    if source is None or not source.download_options:
        fetch_listed(name, raw)
        return
    taken = {key: options[key] for key in source.download_options if key in options}
    import_source(name).download(raw, **taken)


def fetch_listed(
    name: str,
    folder: str | Path,
    retries: int = RETRIES,
    progress: bool = True,
    *,
    wait: Callable[[float], Any] = time.sleep,
) -> list[Path]:
    """Download what a raw folder lacks of a source's files.

    The folder is made if it is not there. A file that is there and not the one listed is an error,
    before any is fetched, unless an earlier list had it. `retries` are further tries for each file,
    before which `wait` is called with the seconds to wait. The files that were fetched are given
    back.
    """
    folder = Path(folder)
    missing = [f for f in listed(name) if what_is_wrong(folder / f.file, f.sha256, f.bytes)]
    demand_own(folder / f.file for f in missing)
    total = sum(f.bytes for f in missing)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    if free < total:
        raise UnavailableError(
            f"{folder}: {total >> 20} MB are to be fetched, and {free >> 20} MB are free on the "
            "disk. Make room, or choose another raw folder."
        )
    with byte_bar(name, total, progress and bool(missing)) as bar:
        for f in missing:
            fetch(f.url, folder / f.file, f.sha256, f.bytes, retries, bar, wait=wait)
    return [folder / f.file for f in missing]
