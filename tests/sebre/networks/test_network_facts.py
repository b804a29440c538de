"""What is known of the networks at hand."""

import json

import pytest
from paths import ROOT

from sebre.networks.network_facts import facts_of_data, list_networks, network_facts
from sebre.networks.weights_store import add_to_entry, read_manifest, shipped_store, write_entry


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEBRE_WEIGHTS", str(tmp_path))
    return tmp_path


def test_what_ships_is_described():
    networks = {network.name: network for network in list_networks()}
    assert list(networks) == list(read_manifest(shipped_store()))
    for name, network in networks.items():
        assert network.here and network.species and network.stain and network.licence
        assert network.card.is_file()
        assert 0 < network.thumbnail.stat().st_size <= 20_000
        assert json.loads(json.dumps(network.to_json()))["name"] == name
        score = network.score
        if name == "any_section":
            assert score.text().startswith(
                f"Dice {score.dice:.3f} on real sections of five sources"
            )
            continue
        if name == "neurites":
            assert (network.kind, score) == ("3-D U-Net", None)  # it has no Dice
            continue
        if network.kind == "backbone":
            assert score is None
            continue
        result = json.loads((ROOT / "results" / f"{name}.json").read_text())
        assert (score.dice, score.n_sections) == (result["dice_mean"], result["n_sections"])
        interval = result["intervals"]["dice_mean"]  # None of a single section
        assert score.interval == (interval and tuple(interval))
        assert score.min_confidence == result["detection_min_confidence"]
        assert (score.unit, score.n_units) == (result["interval_unit"], result["n_interval_units"])
        assert network.plane == result["plane"]
        assert network.pixel_um == result["pixel_size_um"]
        assert result["network"].startswith(network.kind)


def test_a_score_says_what_it_holds_for():
    assert network_facts("extended_mouse_mri").score.text() == (
        "Dice 0.846 (0.83-0.86) on the test part of mouse_mri: 424 sections, 6 subjects from a "
        "score of 0.3 on"
    )
    assert network_facts("hippocampus_unet").score.text() == (
        "Dice 0.663 (0.58-0.74) on the test part of ara_nissl: 7 sections"
    )


def test_what_nobody_recorded_is_not_made_up(store):
    (store / "mine.h5").write_bytes(b"weights")
    write_entry("mine", store, file="mine.h5", experiment="slicemap", regions=["a", "b"])
    found = network_facts("mine")
    assert found.regions == ("a", "b")
    unknown = (found.plane, found.stain, found.age, found.pixel_um, found.score, found.thumbnail)
    assert unknown == (None,) * 6
    assert found.card is None and not found.trust
    assert list_networks()[0] == found
    add_to_entry("mine", store, stain="Nissl", trust={"file": "mine.trust.json"})
    assert network_facts("mine").stain == "Nissl"
    assert network_facts("mine").trust
    (store / "mine.h5").unlink()
    assert not network_facts("mine").here


def test_an_unknown_name_lists_the_names():
    with pytest.raises(FileNotFoundError, match="nobody: not a name .*slicemap"):
        network_facts("nobody")


def _data(root, record, rows):
    (root / "dataset.json").write_text(json.dumps(record))
    lines = ["section,subset,marker,age", *rows]
    (root / "sections.csv").write_text("\n".join(lines) + "\n")
    return facts_of_data(root)


def test_facts_come_from_the_data_set(tmp_path):
    rows = ["0,train,Gad1,P4", "1,train,Nissl,P14", "2,train,Nissl,adult", "3,val,T1,P56"]
    assert _data(tmp_path, {"plane": "coronal", "pixel_size_um": 25}, rows) == {
        "species": None,
        "plane": "coronal",
        "stain": "Gad1, Nissl",
        "age": "P4-P14, adult",
        "pixel_um": 25,
    }
    record = {"pixel_size_um": [10, 20], "species": "rat", "stain": "DAB", "age": "young"}
    found = _data(tmp_path, record, ["0,train,,19", "1,train,,34"])
    assert found == {
        **{"species": "rat", "plane": None, "stain": "DAB", "age": "young"},
        "pixel_um": None,
    }
    del record["age"]
    assert _data(tmp_path, record, ["0,train,,19", "1,train,,34"])["age"] == "19-34"
    assert facts_of_data(ROOT / "datasets" / "slicemap")["stain"] == "fluorescence"
