"""Records are read from JSON and written again: every stored file byte for byte."""

import json
from dataclasses import fields

import pytest
from paths import ROOT

from sebre.evaluation.scores import Evaluation, Registration, SectionScore
from sebre.evaluation.stored import RecordFault

OTHERS = (
    "areas",
    "bench",
    "changed",
    "copied",
    "corrections",
    "curves",
    "ibsr18_t1",
    "leave_one_out",
    "neurites",
    "pictures",
    "synthesis",
    "trust",
)  # folders and files of other records
FILES = [
    path
    for path in sorted((ROOT / "results").rglob("*.json"))
    if not {path.stem, *path.relative_to(ROOT / "results").parts} & {*OTHERS, "demo"}
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_stored_file_is_written_as_it_was_read(path):
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    record = (Registration if "method" in content else Evaluation).from_json(content)
    assert json.dumps(record.to_json(), indent=1) + "\n" == text


def test_a_new_record_has_the_keys_of_a_stored_one():
    text = json.loads((ROOT / "results" / "slicemap_unet.json").read_text(encoding="utf-8"))
    read = Evaluation.from_json(text)
    values = {field.name: getattr(read, field.name) for field in fields(read)}
    assert list(Evaluation(**values).to_json()) == list(text)


def test_unknown_keys_are_kept_and_faults_name_their_place():
    row = {"section": "val/0", "mine": 3, "ap": None, "regions": {}}
    assert SectionScore.from_json(row).to_json() == row
    with pytest.raises(RecordFault, match="it lacks here.regions"):
        SectionScore.from_json({"section": "val/0"}, "here")
    with pytest.raises(RecordFault, match=r"regions\.CA1\.iou is '1', not a number"):
        scores = {"score": 1, "iou": "1", "dice": 1}
        SectionScore.from_json({"section": "val/0", "regions": {"CA1": scores}})
