"""Trust files: the model of how far to trust a network, beside its weights.

`sebre models calibrate` writes them; `sebre.predict` reads them.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrcnn.errors import UserError
from mrcnn.io.files import file_sha256
from sebre.networks.segmenter import Segmenter
from sebre.networks.weights_store import WeightsFile
from sebre.trust.certainty import KIND, CertaintyModel
from sebre.trust.trust_model import TrustModel

AnyTrust = TrustModel | CertaintyModel

_TRUST = "| Trust |"  # beginning of the row of a card

_log = logging.getLogger(__name__)

# Of the segmenter asked for last: read once, and kept no longer than that one is in use.
_last: list[tuple[Segmenter, AnyTrust | None]] = []


def trust_of(segmenter: Segmenter) -> AnyTrust | None:
    """The model of the weights of a segmenter, read once; None if there is none."""
    weights = getattr(segmenter, "weights", None)
    if weights is None:
        return None
    if not _last or _last[0][0] is not segmenter:
        _last[:] = [(segmenter, load_trust(weights))]
    return _last[0][1]


def trust_path(weights: WeightsFile) -> Path:
    """Where the trust file of weights is, or goes: in their store under the name that the manifest
    has, else beside them."""
    if weights.store is not None:
        recorded = weights.entry.get("trust", {}).get("file")
        return weights.store / (recorded or f"{Path(weights.entry['file']).stem}.trust.json")
    return weights.path.with_suffix(".trust.json")


def load_trust(weights: WeightsFile) -> AnyTrust | None:
    """The trust file of weights; None without one, or where it is of other weights.

    Raises:
        UserError: a damaged file.
    """
    path, recorded = trust_path(weights), weights.entry.get("trust", {}).get("sha256")
    if not path.is_file():
        return None
    cure = f"Make it anew: `sebre models calibrate --weights {weights.name or weights.path}`."
    if recorded and file_sha256(path) != recorded:
        raise UserError(f"{path}: its SHA-256 differs from the manifest's {recorded}. {cure}")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        model = (CertaintyModel if record.get("kind") == KIND else TrustModel).from_json(record)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a trust file ({error!r}). {cure}") from error
    if model.weights_sha256 != weights.sha256:
        _log.warning("%s: was made for other weights, and is not used. %s", path, cure)
        return None
    return model


def with_trust(card: str, file: str, model: AnyTrust) -> str:
    """A model card that says which trust file there is, and what it was fitted on.

    Args:
        card: text of the card; a row that it has of an earlier file is replaced.
        file: name of the trust file.
        model: that it holds.
    """
    facts = model.facts
    row = (
        f"{_TRUST} `{file}`: {model.holds}, fitted on {facts['sections']} sections of the training "
        f"part of `{facts['dataset']}` {groups_of(facts)}, and on {facts['disturbed']} disturbed "
        "pictures of them |"
    )
    lines = [line for line in card.splitlines() if not line.startswith(_TRUST)]
    after = [number for number, line in enumerate(lines) if line.startswith("| Settings |")]
    lines.insert(after[0] + 1 if after else len(lines), row)
    return "\n".join(lines) + "\n"


def groups_of(facts: Mapping[str, Any]) -> str:
    """What a trust file was fitted on: how many animals, or parts of the sections, in words."""
    unit, count = facts["groups"]
    return f"of {count} animals" if unit == "subject" else f"in {count} parts"
