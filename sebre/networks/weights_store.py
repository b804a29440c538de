"""The shipped weights: `weights/manifest.json`, by name, checked before use."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrcnn.errors import MissingFileError, UserError
from mrcnn.io.files import file_sha256, replace_text

NETWORKS = ("mask_rcnn", "unet")  # kinds of networks


@dataclass(frozen=True)
class WeightsFile:
    """A weights file that may be loaded."""

    path: Path
    sha256: str
    name: str | None = None  # in the manifest; None for a file given by its path
    config: Path | None = None  # file of its settings; None if unknown
    entry: dict[str, Any] = field(default_factory=dict)  # what the manifest says


def store_dir() -> Path:
    """Folder of the manifest: SEBRE_WEIGHTS, or `weights` beside the packages."""
    given = os.environ.get("SEBRE_WEIGHTS")
    return Path(given) if given else Path(__file__).resolve().parents[2] / "weights"


def read_manifest(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Entries of the manifest by name; empty when there is no manifest."""
    path = (folder or store_dir()) / "manifest.json"
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
    """A name of the manifest, or else a path, as a file that is there and whole.

    A file given by its path that is one of the manifest's, by its checksum, is taken for it. Else
    its config is `config.json` in its folder.

    Raises:
        FileNotFoundError: no such name or file.
        ValueError: a damaged file: its checksum differs from the manifest's.
    """
    folder = folder or store_dir()
    manifest = read_manifest(folder)
    entry = manifest.get(str(name_or_path))
    if entry is None:
        path = Path(name_or_path)
        if not path.is_file():
            raise MissingFileError(
                f"{name_or_path}: neither a file nor a name in {folder / 'manifest.json'} "
                f"(names: {', '.join(manifest) or 'none'}). Train with `sebre train`, or give "
                "the path of a weights file."
            )
        checksum = file_sha256(path)
        for entry in (entry for entry in manifest.values() if entry.get("sha256") == checksum):
            return WeightsFile(path, checksum, config=_config_of(entry, folder), entry=entry)
        config = path.parent / "config.json"
        return WeightsFile(path, checksum, config=config if config.is_file() else None)

    path = folder / entry["file"]
    if not path.is_file():
        size = f"{entry.get('bytes', 0) / 1e6:.1f} MB, SHA-256 {entry.get('sha256')}"
        source = f"Get them from {entry['url']}" if entry.get("url") else "Restore the file"
        raise MissingFileError(
            f"{path}: the weights {name_or_path!r} are not there. {source} ({size}) and put them "
            "at this place."
        )
    checksum = file_sha256(path)
    if checksum != entry.get("sha256"):
        raise UserError(
            f"{path}: SHA-256 {checksum} differs from the manifest's {entry.get('sha256')}. The "
            "file is damaged or was exchanged; restore it."
        )
    return WeightsFile(path, checksum, str(name_or_path), _config_of(entry, folder), entry)


def _config_of(entry: dict[str, Any], folder: Path) -> Path | None:
    return folder / entry["config"] if entry.get("config") else None


def network_of(found: WeightsFile) -> str:
    """Which of `NETWORKS` the weights are of, by their settings; without any, a Mask R-CNN."""
    return "unet" if "UNET_WIDTH" in stored_settings(found) else "mask_rcnn"


def stored_settings(found: WeightsFile) -> dict[str, Any]:
    """The settings beside weights, as they are in the file; none where there is no such file."""
    if found.config is None:
        return {}
    try:
        return dict(json.loads(found.config.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{found.config}: not a saved configuration ({error}).") from error


def write_entry(name: str, folder: Path, **facts: Any) -> dict[str, Any]:
    """Add or replace an entry of the manifest, and return it.

    It has the facts, `file` (in the folder) among them, and the file's checksum and size.
    """
    path = folder / facts["file"]
    entry = {**facts, "sha256": file_sha256(path), "bytes": path.stat().st_size}
    manifest = {**read_manifest(folder), name: entry}
    replace_text(folder / "manifest.json", json.dumps(manifest, indent=1) + "\n")
    return entry
