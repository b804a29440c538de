"""The page and the summary of all sections."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from fixed_segmenter import RESULT, Fixed, result_of
from lacking import demand_program
from section_folders import save_picture

from sebre.predict.folders import detect_files
from sebre.predict.overview import page, summary


@pytest.fixture
def out(tmp_path):
    for k, name in enumerate(("a", "b <i>", "c")):
        save_picture(tmp_path / "in" / f"{name}.png", gray=50 * k)
    detect_files(Fixed(RESULT), [tmp_path / "in"], tmp_path / "out")
    save_picture(tmp_path / "d.png")
    detect_files(Fixed(result_of()), [tmp_path / "d.png"], tmp_path / "out")
    return tmp_path / "out"


def data_of(html: str) -> dict:
    return json.loads(re.search(r"const DATA = (.*);\n", html)[1])


def test_the_page_has_all_rows_and_pictures_and_needs_no_network(out):
    html = (out / "report.html").read_text("utf-8")
    assert not re.search(r"(src|href)=.?(https?:)?//", html) and "@import" not in html
    assert html.count("</script>") == 1  # no name of a picture ends it
    sections = data_of(html)["sections"]
    assert [section["name"] for section in sections] == ["a", "b <i>", "c", "d"]
    for section in sections:
        assert section["picture"] and section["labels"] and len(section["rows"]) == 6


def test_sections_with_warnings_come_first_and_pictures_are_limited(monkeypatch):
    rows = [{"image": "x", "region": "cortex", "found": "yes"}]
    records = {
        name: {"rows": rows, "about": {"warnings": warnings, "picture": "p", "labels": "l"}}
        for name, warnings in (("a", []), ("b", ["a photograph"]), ("c", []))
    }
    monkeypatch.setattr("sebre.predict.overview._MOST_PICTURES", 2)
    sections = data_of(page(records))["sections"]
    assert [section["name"] for section in sections] == ["b", "a", "c"]
    assert ["picture" in section for section in sections] == [True, True, False]


def test_the_summary(out):
    found = json.loads((out / "summary.json").read_text())
    assert found["sections"] == 4 and found["sections_without_region"] == 1
    assert found["regions_found"] == 6
    assert found["regions"]["cortex"] == {"expected_in": 4, "found_in": 3}
    rows = [
        {"region": "cortex", "found": "yes", "area_mm2": 1.5, "flags": "small"},
        {"region": "cortex", "found": "yes", "area_mm2": 2.0},
        {"region": "cortex", "found": "no"},
    ]
    about = {"about": {"warnings": ["w"]}}
    told = summary({str(k): {"rows": [row], **about} for k, row in enumerate(rows)})
    assert told["regions"]["cortex"] == {
        "expected_in": 3, "found_in": 2, "measured_in": 2, "area_mm2": 3.5,
    }  # fmt: skip
    both = summary({"s": {"rows": rows[:2]}})  # the two sides of one section
    assert both["regions"]["cortex"] == {
        "expected_in": 1, "found_in": 1, "measured_in": 1, "area_mm2": 3.5,
    }  # fmt: skip
    assert told["regions_flagged"] == 1 and told["warnings"] == {k: ["w"] for k in "012"}


def test_the_page_in_a_browser(out, tmp_path):
    """Chromium runs the page: its table and figures are there, and nothing was complained of."""
    program = demand_program("chromium", "chromium-browser", "google-chrome")
    probe = """<script>
    window.addEventListener("error", (event) => document.title = "ERROR " + event.message);
    window.addEventListener("load", () => {
      document.querySelector("#head th").click();
      document.querySelector("#found").click();
      const missing = [...document.images].filter((image) => !image.naturalWidth).length;
      document.title = [document.title, document.querySelectorAll("#body tr").length,
        document.querySelectorAll("figure").length, missing].join(" ");
    });</script>"""
    html = (out / "report.html").read_text("utf-8").replace("</head>", probe + "</head>")
    tried = tmp_path / "tried.html"
    tried.write_text(html.replace('loading: "lazy", ', ""), "utf-8")
    options = "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run"
    done = subprocess.run(
        [
            *(program, *options.split(), f"--user-data-dir={tmp_path / 'profile'}"),
            *("--enable-logging=stderr", "--virtual-time-budget=4000", "--dump-dom"),
            Path(tried).as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "<title>Brain regions 6 4 0</title>" in done.stdout
    assert "CONSOLE" not in done.stderr
    assert np.count_nonzero([name in done.stdout for name in ("cortex", "b &lt;i&gt;")]) == 2
