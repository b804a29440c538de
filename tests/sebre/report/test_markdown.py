"""A table of text, and the numbers in its cells."""

import pytest

from sebre.evaluation.bootstrap import Difference
from sebre.report.markdown import Table, count, number, signed, units, with_interval


def test_numbers_in_cells():
    assert (number(0.97249), number(None), number(0.01234, 4)) == ("0.972", "-", "0.0123")
    assert (count(0), count(None)) == ("0", "-")
    assert with_interval(0.9724, [0.9306, 1.0]) == "0.972 [0.931, 1.000]"
    assert (with_interval(0.9724, None), with_interval(None, None)) == ("0.972", "-")
    assert (units(7, "subject"), units(1, "section"), units(None, None)) == (
        "7 subjects",
        "1 section",
        "-",
    )
    assert signed(Difference(0.0124, (-0.003, 0.02), "section", 7)) == "+0.012 [-0.003, +0.020]"
    assert signed(Difference(-0.5, None, "section", 1)) == "-0.500"
    assert signed(None) == "-"


def test_columns_of_numbers_are_to_the_right():
    rows = (
        ("a", "0.5 [0.1, 0.9]", "+0.1 [-0.2, +0.3]", "-", "7 subjects"),
        ("b", "0.25", "-1.5", "-", "-"),
    )
    table = Table("T", ("name", "score", "difference", "none", "over"), rows)
    assert "| --- | ---: | ---: | --- | --- |" in table.markdown()
    lines = table.text().splitlines()
    assert lines[3:] == [
        "a     0.5 [0.1, 0.9]  +0.1 [-0.2, +0.3]  -     7 subjects",
        "b               0.25               -1.5  -     -",
    ]


def test_long_cells_take_several_lines_in_the_terminal():
    words = " ".join(["word"] * 30)
    path = "x" * 80
    table = Table("T", ("what", "n", "file"), ((words, "12", path), ("short", "3", "-")))
    lines = table.text().splitlines()
    assert len(lines) == 3 + 4 + 1
    width = lines[2].index(" n ")
    assert " ".join(line[:width].strip() for line in lines[3:-1]).split() == ["word"] * 30
    assert lines[3].split()[-2:] == ["12", path]
    assert all("12" not in line for line in lines[4:])
    assert f"| {words} | 12 | {path} |" in table.markdown()


def test_a_table_in_markdown_and_html():
    table = Table(
        "Scores <1>",
        ("name", "a|b", "c"),
        (("x<y", "0.5", "-"), ("two\nlines", "7", "-")),
        ("", "ours", "ours"),
        ("A *note*.",),
    )
    assert table.markdown() == (
        "**Scores \\<1>**\n\n"
        "| name | ours: a\\|b | ours: c |\n"
        "| --- | ---: | --- |\n"
        "| x\\<y | 0.5 | - |\n"
        "| two lines | 7 | - |\n"
        "\nA \\*note\\*.\n"
    )
    html = table.html()
    assert html.count("<tr>") == html.count("</tr>") == 4
    assert '<th colspan="2" style="text-align: center">ours</th>' in html
    assert "x&lt;y" in html and "&lt;1&gt;" in html
    assert table._repr_markdown_() == table.markdown() and table._repr_html_() == html
    with pytest.raises(ValueError, match=r"'T': header, groups and rows have \[1, 2\] cells"):
        Table("T", ("a", "b"), (("1",),))


def test_a_wide_table_is_a_file_or_turned():
    table = Table("A: b, 2", tuple("abcdefgh"), (tuple("12345678"),), ("", *["g"] * 7), ("Note.",))
    assert table.wide and table.stem == "a_b_2"
    assert table.csv().splitlines() == ["a,g: b,g: c,g: d,g: e,g: f,g: g,g: h", "1,2,3,4,5,6,7,8"]
    turned = table.transposed()
    assert not turned.wide and turned.header == ("a", "1") and turned.notes == table.notes
    assert turned.rows[:2] == (("g: b", "2"), ("g: c", "3")) and len(turned.rows) == 7


def test_code_in_notes_is_shown_as_code_and_other_marks_as_they_are():
    table = Table("T", ("a",), (("`x`",),), notes=("`more` is 2 * 3",))
    text = table.markdown()
    assert "`more` is 2 \\* 3" in text and "| \\`x\\` |" in text
