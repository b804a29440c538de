"""Names and colors beside a label volume."""

import pytest

from sebre.drawing.label_descriptions import (
    LabelDescription,
    label_descriptions,
    read_label_descriptions,
)

AREAS = [LabelDescription(1, "SSp-bfd", (31, 119, 180)), LabelDescription(2, "2/3", (255, 0, 7))]


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text(label_descriptions(AREAS))
    clear, *lines = path.read_text().splitlines()
    assert clear.split() == ["0"] * 7 + ['"Clear', 'Label"']
    assert lines[0].split() == ["1", "31", "119", "180", "1", "1", "1", '"SSp-bfd"']
    assert read_label_descriptions(path) == AREAS
    # As ITK-SNAP itself writes it.
    path.write_text(f"# ITK-SnAP Label Description File\n# IDX\n\n{path.read_text()}")
    assert read_label_descriptions(path) == AREAS


@pytest.mark.parametrize("text", ["", "notes of mine\n", '1 2 3 "x"\n', "a,b\n1,2\n"])
def test_other_texts_describe_nothing(tmp_path, text):
    path = tmp_path / "labels.txt"
    path.write_text(text)
    assert read_label_descriptions(path) == read_label_descriptions(tmp_path / "none.txt") == []
