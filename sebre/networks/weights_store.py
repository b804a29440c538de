"""Weights by name: those that ship, and those of a folder of one's own; checked before use.

A store is a folder with a `manifest.json`. The shipped one is `weights` in a checkout, and lies
inside the package where it was installed from a wheel. SEBRE_WEIGHTS names a further one, whose
names come first. A file that its store lacks and whose entry has a `url` is fetched by its name.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from mrcnn.errors import MissingFileError, UserError
from mrcnn.io.download import fetch, what_is_wrong
from mrcnn.io.files import file_sha256, replace_text

# Kinds of networks that `sebre train` trains.
NETWORKS = ("mask_rcnn", "unet", "any_section", "fcnn", "brainsegnet", "quicknat", "nnunet")

_MANIFEST = "manifest.json"
_RETRIES = 2  # of a download: the user waits for it

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightsFile:
    """A weights file that may be loaded."""

    path: Path
    sha256: str
    name: str | None = None  # in the manifest; None for a file given by its path
    config: Path | None = None  # file of its settings beside it; None without one
    entry: dict[str, Any] = field(default_factory=dict)  # what the manifest says
    store: Path | None = None  # folder of that manifest


def own_store() -> Path | None:
    """The folder that SEBRE_WEIGHTS names; None without one."""
    given = os.environ.get("SEBRE_WEIGHTS")
    return Path(given) if given else None


def shipped_store() -> Path:
    """The store that ships: `sebre/shipped_weights` of an installed wheel, or `weights` of a
    checkout."""
    # The first is asked for first: beside installed packages, `weights` would be somebody else's.
    package = Path(__file__).resolve().parents[1]
    inside = package / "shipped_weights"
    return inside if (inside / _MANIFEST).is_file() else package.parent / "weights"


def store_dir() -> Path:
    """The store that is written to: the folder of SEBRE_WEIGHTS, or the one that ships."""
    return own_store() or shipped_store()


def stores() -> list[Path]:
    """Where names are looked up, in this order: the folder of SEBRE_WEIGHTS, what ships."""
    return list(dict.fromkeys([store_dir(), shipped_store()]))


def cache_dir() -> Path:
    """Where weights are fetched to: the folder of SEBRE_WEIGHTS, or the user's cache folder
    (on Linux ~/.cache/sebre/weights)."""
    return own_store() or Path(platformdirs.user_cache_dir("sebre", appauthor=False)) / "weights"


def known_networks(folder: Path | None = None) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Store and manifest entry of every network at hand, by name; of one store, or of all.

    Where two stores have a name, it is that of the first of `stores`.
    """
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for store in [folder] if folder else stores():
        for name, entry in read_manifest(store).items():
            found.setdefault(name, (store, entry))
    return found


def read_manifest(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Entries of a store's manifest by name, by default `store_dir`'s; empty without one."""
    path = (folder or store_dir()) / _MANIFEST
    if not path.is_file():
        return {}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(entry["file"], str) for entry in manifest.values()):
            raise TypeError("an entry's file is not text")
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise UserError(
            f"{path}: not a manifest of weights ({error!r}). Restore the file."
        ) from error
    return manifest


def find_weights(name_or_path: str | Path, folder: Path | None = None) -> WeightsFile:
    """A name of a manifest, or else a path, as a file that is there and whole.

    A file given by its path that is one of a manifest's, by its checksum, is taken for it. Else
    its config is `config.json` in its folder.

    Args:
        name_or_path: of the weights.
        folder: the one store to look in; None for all `stores`.

    Raises:
        FileNotFoundError: no such name or file.
        ValueError: a damaged file: its checksum differs from the manifest's.
        OSError: it was to be fetched, and could not be.
    """
    known = known_networks(folder)
    if str(name_or_path) not in known:
        return _find_path(Path(name_or_path), known, [folder] if folder else stores())
    name, (store, entry) = str(name_or_path), known[str(name_or_path)]
    path = store / entry["file"]
    if not path.is_file():
        path = _fetched(name, store, entry, folder)
    checksum = file_sha256(path)
    if checksum != entry.get("sha256"):
        raise UserError(
            f"{path}: SHA-256 {checksum} differs from the manifest's {entry.get('sha256')}. The "
            "file is damaged or was exchanged; restore it."
        )
    return WeightsFile(path, checksum, name, _config_of(entry, store), entry, store)


def _find_path(
    path: Path, known: Mapping[str, tuple[Path, dict[str, Any]]], searched: list[Path]
) -> WeightsFile:
    if not path.is_file():
        manifests = " or ".join(str(store / _MANIFEST) for store in searched)
        raise MissingFileError(
            f"{path}: neither a file nor a name in {manifests} (names: "
            f"{', '.join(known) or 'none'}). Train with `sebre train`, or give the path of a "
            "weights file."
        )
    checksum = file_sha256(path)
    for store, entry in known.values():
        if entry.get("sha256") == checksum:
            return WeightsFile(path, checksum, None, _config_of(entry, store), entry, store)
    config = path.parent / "config.json"
    return WeightsFile(path, checksum, config=config if config.is_file() else None)


def _fetched(name: str, store: Path, entry: Mapping[str, Any], folder: Path | None) -> Path:
    """The file of an entry from its address, kept for the next time."""
    size, checksum = entry.get("bytes"), entry.get("sha256")
    if not entry.get("url") or not checksum:
        raise MissingFileError(
            f"{store / entry['file']}: the weights {name!r} are not there. Restore the file "
            f"({(size or 0) / 1e6:.1f} MB, SHA-256 {checksum}) and put it at this place."
        )
    path = (folder or cache_dir()) / entry["file"]
    if what_is_wrong(path, checksum, size):
        _log.info("Fetching the weights %s from %s to %s.", name, entry["url"], path)
        fetch(entry["url"], path, checksum, size, _RETRIES)
    return path


def is_here(store: Path, entry: Mapping[str, Any]) -> bool:
    """Whether the weights of an entry are on this machine, fetched before or in its store."""
    return any((place / entry["file"]).is_file() for place in (store, cache_dir()))


def _config_of(entry: dict[str, Any], folder: Path) -> Path | None:
    return folder / entry["config"] if entry.get("config") else None


BACKBONE = "backbone"  # weights to start a Mask R-CNN from, which find nothing themselves
NEURITES = "neurites"
NO_REGIONS = (NEURITES, BACKBONE)  # kinds, as manifests say, that find no regions of sections
# Settings that only one kind of network has.
_OWN_SETTINGS = {
    **{"UNET_WIDTH": "unet", "SECTION_WIDTHS": "any_section"},
    **{"FCNN_WIDTH": "fcnn", "BRAINSEGNET_WIDTH": "brainsegnet", "QUICKNAT_FILTERS": "quicknat"},
    "NNUNET_BATCH": "nnunet",
    "long_range": NEURITES,
}


def network_of(found: WeightsFile) -> str:
    """Which kind of network the weights are of, by their settings: one of `NETWORKS`, or
    "neurites"; without any, a Mask R-CNN, or "backbone", a part of one, as the manifest says."""
    if found.entry.get("network") == BACKBONE:
        return BACKBONE
    settings = stored_settings(found)
    return next((kind for name, kind in _OWN_SETTINGS.items() if name in settings), "mask_rcnn")


def stored_settings(found: WeightsFile) -> dict[str, Any]:
    """The settings beside weights, as they are in the file; without one, those that the weights
    were stored with; empty where there are neither."""
    if found.config is None:
        return settings_inside(found)
    try:
        return dict(json.loads(found.config.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{found.config}: not a saved configuration ({error}).") from error


def settings_inside(found: WeightsFile) -> dict[str, Any]:
    """The settings that weights were stored with; empty of files of earlier versions."""
    from mrcnn.weights.loading import read_stored_settings  # heavy: it imports Keras

    return read_stored_settings(found.path)


def write_entry(name: str, folder: Path, **facts: Any) -> dict[str, Any]:
    """Add or replace an entry of the manifest, and return it.

    It has the facts, `file` (in the folder) among them, and the file's checksum and size.
    """
    path = folder / facts["file"]
    entry = {**facts, "sha256": file_sha256(path), "bytes": path.stat().st_size}
    manifest = {**read_manifest(folder), name: entry}
    replace_text(folder / _MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return entry


def add_to_entry(name: str, folder: Path, **facts: Any) -> None:
    """Add facts to an entry that the manifest of a store has, or replace those it has of them."""
    manifest = read_manifest(folder)
    manifest[name] = {**manifest[name], **facts}
    replace_text(folder / _MANIFEST, json.dumps(manifest, indent=1) + "\n")
