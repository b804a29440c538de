import numpy as np
import pytest

from sebre.place.error_bars import ErrorBar
from sebre.synthesis.placing.measure_place import card_part, fit_bars, summary, write_place_file


def rows_of(count, plane="coronal", found="coronal", **changed):
    """Sections with errors of 1 to `count` degrees, and tenths of that in mm."""
    rng = np.random.default_rng(4)
    row = {"plane": plane, "found": found, "tilt": 10.0, "sure": True, "turn": 2.0}
    row |= {"age": np.log(56.0), "age_spread": 0.2, **changed}
    return [
        row
        | {"angle": float(n), "angle_bar": 0.9 * count + 0.5, "position": n / 10}
        | {"position_bar": 100.0, "said_age": np.log(56.0) - n / 100, "signs": rng.normal(size=5)}
        for n in range(1, count + 1)
    ]


def test_errors_are_summed_up():
    record = summary(rows_of(20) + rows_of(20, found="sagittal") + rows_of(20, tilt=40.0))
    assert record["n"] == 60 and record["n_near_a_named_plane"] == 40
    assert record["named_rightly"] == 0.5
    assert record["angle_deg"]["median"] == pytest.approx(10.5)
    assert record["angle_deg"]["inside_bar"] == pytest.approx(0.9)
    assert record["position_mm"]["inside_bar"] == 1
    assert record["turn_deg_median"] == 2


def test_sections_of_which_little_is_known():
    record = summary([row | {"position": None, "turn": None} for row in rows_of(5)])
    assert "position_mm" not in record and "turn_deg_median" not in record
    assert record["angle_deg"]["n"] == 5


def test_bars_hold_nine_of_ten_of_what_they_are_fitted_on():
    rows = rows_of(200)
    arrays = fit_bars(rows)
    signs = np.array([row["signs"] for row in rows])
    for key in ("angle", "position"):
        bar = ErrorBar.from_array(arrays[f"{key}_bar"])
        inside = np.array([row[key] for row in rows]) <= bar.bar(signs)
        assert inside.mean() == pytest.approx(0.9, abs=0.01)
    # Errors of the logarithm of the age up to 2, of which 0.2 were expected.
    assert float(arrays["age_bar"]) == pytest.approx(9, abs=0.1)


def test_the_card_says_what_was_measured(tmp_path):
    (tmp_path / "some.place.npz").write_bytes(bytes(1_500_000))
    part = summary(rows_of(20))
    record = {
        "place_sha256": "ab" * 32,
        "training": {"sections_seen": 12345, "held_out": ["princeton"]},
        "fitted_on": {"n": 320, "brains": ["demba_P28"]},
        "synthetic": {"recipe easy": part, "recipe hard": part},
        "real": {"plates": summary([row | {"position": None} for row in rows_of(3)])},
    }
    text = card_part(record, tmp_path / "some.place.npz", 443161)
    for wanted in ("1.5 MB", "ab" * 32, "12,345", "443,161", "320 synthetic", "demba_P28"):
        assert wanted in text
    assert "| synthetic, easy | 20 | 10.50 (0.90) | 20 | 1.05 (1.00) |" in text
    assert "| real, plates | 3 | 2.00 (1.00) | 0 | - |" in text


def test_a_place_file_takes_the_place_of_an_earlier_one(tmp_path):
    path = tmp_path / "some.place.npz"
    path.write_bytes(b"an earlier one")
    write_place_file(path, {"width": np.array(80)})
    with np.load(path) as file:
        assert file["width"] == 80
    assert not list(tmp_path.glob("*.part*"))
