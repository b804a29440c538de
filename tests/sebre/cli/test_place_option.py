"""`sebre predict --place`, and where a place is written."""

import csv
import json

from paths import ROOT

from sebre.cli.commands import main

SECTION = ROOT / "datasets" / "any_section" / "images" / "abba_s004.jpg"


def test_where_a_section_lies_is_written_unless_nobody_wants_it(tmp_path):
    for place, planes in (("yes", {"coronal"}), ("no", {""})):
        out = tmp_path / place
        assert main(["predict", str(SECTION), "--out", str(out), "--place", place]) == 0
        with (out / "regions.csv").open(encoding="utf-8") as file:
            assert {row["plane"] for row in csv.DictReader(file)} == planes
        places = json.loads((out / "summary.json").read_text())["places"]
        assert list(places) == (["abba_s004"] if place == "yes" else [])
        assert ("front end of the Allen atlas" in (out / "report.html").read_text()) == bool(places)
