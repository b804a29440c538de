"""Shipped weights by name, checked before use."""

import json

import pytest

import sebre
from sebre.networks.weights_store import (
    find_weights,
    network_of,
    read_manifest,
    store_dir,
    write_entry,
)


@pytest.fixture
def store(tmp_path, monkeypatch):
    (tmp_path / "net.h5").write_bytes(b"weights")
    (tmp_path / "net.json").write_text("{}")
    write_entry("net", tmp_path, file="net.h5", config="net.json", experiment="slicemap")
    monkeypatch.setenv("SEBRE_WEIGHTS", str(tmp_path))
    return tmp_path


def test_entry_has_checksum_and_size(store):
    entry = read_manifest()["net"]
    assert entry["bytes"] == 7
    assert entry["sha256"].startswith("9a129038d9a00aed")
    write_entry("other", store, file="net.json")
    assert list(read_manifest()) == ["net", "other"]


def test_a_name_gives_file_settings_and_entry(store):
    found = find_weights("net")
    assert (found.path, found.config, found.name) == (store / "net.h5", store / "net.json", "net")
    assert found.entry["experiment"] == "slicemap"


def test_a_path_takes_the_settings_beside_it(store):
    (store / "own.h5").write_bytes(b"others")
    found = find_weights(store / "own.h5")
    assert (found.config, found.name, found.entry) == (None, None, {})
    (store / "config.json").write_text("{}")
    assert find_weights(store / "own.h5").config == store / "config.json"


def test_a_path_of_shipped_weights_is_known_by_its_content(store, tmp_path):
    copy = tmp_path / "copy.h5"
    copy.write_bytes((store / "net.h5").read_bytes())
    found = find_weights(copy)
    assert (found.path, found.config, found.name) == (copy, store / "net.json", None)
    assert found.entry == read_manifest()["net"]


def test_the_settings_tell_the_kind_of_network(store):
    (store / "own.h5").write_bytes(b"others")
    assert network_of(find_weights("net")) == "mask_rcnn"
    assert network_of(find_weights(store / "own.h5")) == "mask_rcnn"
    (store / "config.json").write_text('{"UNET_WIDTH": 16}')
    assert network_of(find_weights(store / "own.h5")) == "unet"
    for damaged in ("{", "3"):
        (store / "net.json").write_text(damaged)
        with pytest.raises(ValueError, match="net.json: not a saved configuration"):
            network_of(find_weights("net"))
    (store / "net.json").unlink()
    with pytest.raises(ValueError, match="net.json: not a saved configuration"):
        sebre.load("net")


def test_damaged_file_is_refused(store):
    (store / "net.h5").write_bytes(b"weightz")
    with pytest.raises(ValueError, match="net.h5: SHA-256 .* differs from the manifest"):
        find_weights("net")
    with pytest.raises(ValueError, match="differs from the manifest"):
        sebre.load("net")


def test_missing_file_says_where_to_get_it(store):
    (store / "net.h5").unlink()
    with pytest.raises(FileNotFoundError, match="net.h5: the weights 'net' are not there"):
        find_weights("net")
    manifest = read_manifest()
    manifest["net"]["url"] = "https://example.org/net.h5"
    (store / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FileNotFoundError, match="Get them from https://example.org/net.h5"):
        find_weights("net")


def test_unknown_name_lists_the_names(store):
    with pytest.raises(FileNotFoundError, match=r"nett: neither a file nor a name .*names: net\)"):
        find_weights("nett")


def test_without_manifest(tmp_path):
    assert read_manifest(tmp_path) == {}
    with pytest.raises(FileNotFoundError, match="names: none"):
        find_weights("net", tmp_path)


@pytest.mark.parametrize("text", ["[1]", "{", '{"net": {}}', '{"net": {"file": 3}}'])
def test_damaged_manifest_is_named(store, text):
    (store / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match="manifest.json: not a manifest"):
        find_weights("net")


def test_the_store_lies_beside_the_packages(monkeypatch):
    monkeypatch.delenv("SEBRE_WEIGHTS", raising=False)
    assert store_dir().name == "weights"
    assert (store_dir().parent / "sebre" / "networks" / "weights_store.py").is_file()
