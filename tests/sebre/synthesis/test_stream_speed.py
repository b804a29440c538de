"""How fast the stream is: rounds do what they say, and a record is written once."""

import json
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from mrcnn.errors import UserError
from sebre.synthesis import stream_speed
from sebre.synthesis.curriculum import EASY, HARD
from sebre.synthesis.stream import sections


class Counts:
    """A segmenter and a placer that count what they are shown."""

    def __init__(self):
        self.seen = {"regions": 0, "place": 0}

    def detect(self, images):
        self.seen["regions"] += len(images)

    def place(self, picture):
        self.seen["place"] += 1


def test_a_round_is_timed_by_both_clocks(monkeypatch):
    monkeypatch.setattr(stream_speed.time, "perf_counter", iter((1.0, 4.0, 10.0, 15.0)).__next__)
    monkeypatch.setattr(stream_speed.time, "process_time", iter((0.0, 0.5, 0.5, 2.5)).__next__)
    numbers = []
    found = stream_speed.timed(numbers.append, 2)
    assert found == {"cpu_s": [0.5, 2.0], "wall_s": [3.0, 5.0]} and numbers == [0, 1]


def test_rounds_make_the_sections_of_one_stream(volumes, monkeypatch):
    made = []

    def spied(*args, **how):
        for section in sections(*args, **how):
            made.append((how["recipe"], section.picture))
            yield section

    monkeypatch.setattr(stream_speed, "sections", spied)
    found = stream_speed.stream_speed(volumes, rounds=2, count=3, size=32)
    assert list(found) == ["easy", "hard"]
    assert all(len(seconds["cpu_s"]) == len(seconds["wall_s"]) == 2 for seconds in found.values())
    for recipe in (EASY, HARD):
        wanted = islice(sections(volumes, stream_speed._SEED, recipe=recipe, size=32), 11)
        own = [picture for how, picture in made if how is recipe]
        assert len(own) == stream_speed._WARM + 2 * 3
        for one, other in zip(own, wanted, strict=True):
            assert np.array_equal(one, other.picture)


def test_every_picture_is_answered_in_every_round_and_once_before():
    counts = Counts()
    found = stream_speed.answer_speed(counts, counts, [np.zeros((4, 4, 3), np.uint8)] * 5, 3)
    assert counts.seen == {"regions": 20, "place": 20}
    assert {name: len(seconds["cpu_s"]) for name, seconds in found.items()} == {
        "regions": 3,
        "place": 3,
    }


def test_the_network_that_ships_is_measured(tmp_path):
    with pytest.raises(UserError, match="wanted pictures of sections"):
        stream_speed.shipped_speed(tmp_path / "nowhere", 1)
    picture = np.full((60, 80), 255, np.uint8)
    picture[10:50, 15:70] = np.arange(55) + 60
    Image.fromarray(picture).save(tmp_path / "one.jpg")
    record = stream_speed.shipped_speed(tmp_path, 1)
    assert record["pictures"] == {"one.jpg": [60, 80]}
    assert list(record["bytes"]) == ["any_section.h5", "any_section.place.npz"]
    assert sum(record["bytes"].values()) < 25e6
    assert record["seconds"]["regions"]["cpu_s"][0] > 0


def test_the_record_is_written_where_nothing_of_the_user_lies(volumes, tmp_path, monkeypatch):
    monkeypatch.setattr(stream_speed, "read_volumes", lambda data: volumes)
    monkeypatch.setattr(stream_speed, "shipped_speed", lambda folder, rounds: {"rounds": rounds})
    out = tmp_path / "stream.json"
    words = ["--data", str(tmp_path), "--out", str(out), "--rounds", "2", "--sections", "1"]
    stream_speed.main(words)
    record = json.loads(out.read_text("utf-8"))
    assert record["n_volumes"] == 2 and record["shipped"] == {"rounds": 2}
    assert len(record["stream"]["hard"]["cpu_s"]) == 2 and record["sections_a_round"] == 1
    assert "--rounds 2 --sections 1" in record["command"] and record["environment"]["python"]
    out.write_text("mine")
    with pytest.raises(UserError, match="there already"):
        stream_speed.main(words)
    assert out.read_text("utf-8") == "mine"
    with pytest.raises(UserError, match="1 or more"):
        stream_speed.main([*words[:4], "--rounds", "0"])
