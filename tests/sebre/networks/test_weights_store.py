"""Shipped weights by name, checked before use."""

import hashlib

import platformdirs
import pytest
from local_server import LocalServer, Reply

import sebre
from mrcnn.errors import UserError
from sebre.networks.weights_store import (
    cache_dir,
    find_weights,
    is_here,
    known_networks,
    network_of,
    read_manifest,
    shipped_store,
    store_dir,
    stores,
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


def test_missing_file_without_an_address(store):
    (store / "net.h5").unlink()
    with pytest.raises(FileNotFoundError, match="net.h5: the weights 'net' are not there"):
        find_weights("net")


def test_unknown_name_lists_the_names(store):
    with pytest.raises(
        FileNotFoundError, match=r"nett: neither a file nor a name .*names: net, slicemap, "
    ):
        find_weights("nett")


def test_names_of_ones_own_come_before_those_that_ship(store):
    assert stores() == [store, shipped_store()]
    assert find_weights("slicemap").path == shipped_store() / "slicemap.h5"
    assert find_weights("slicemap").store == shipped_store()
    (store / "mine.h5").write_bytes(b"mine")
    write_entry("slicemap", store, file="mine.h5", experiment="slicemap")
    assert find_weights("slicemap").path == store / "mine.h5"
    assert list(known_networks())[:2] == ["net", "slicemap"]
    assert known_networks()["slicemap"][0] == store
    assert known_networks()["hippocampus"][0] == shipped_store()
    assert list(known_networks(store)) == ["net", "slicemap"]
    assert store_dir() == store, "what is published goes to the folder named"


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
    assert stores() == [store_dir()]


# --- Fetching ----------------------------------------------------------------------------


@pytest.fixture
def server():
    with LocalServer() as running:
        yield running


CONTENT = b"weights of a network" * 20_000


@pytest.fixture
def remote(tmp_path, monkeypatch, server):
    """A store whose only file is at an address, and a cache folder of the user."""
    folder, cache = tmp_path / "shipped", tmp_path / "cache"
    folder.mkdir()
    (folder / "net.h5").write_bytes(CONTENT)
    (folder / "net.json").write_text("{}")
    url = f"{server.address}/net.h5"
    write_entry("net", folder, file="net.h5", config="net.json", url=url)
    (folder / "net.h5").unlink()
    monkeypatch.delenv("SEBRE_WEIGHTS", raising=False)
    monkeypatch.setattr("sebre.networks.weights_store.shipped_store", lambda: folder)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name, appauthor: str(cache / name))
    server.routes["/net.h5"] = Reply(CONTENT)
    return folder


def test_weights_are_fetched_once_by_their_name(remote, server):
    assert not is_here(*known_networks()["net"])
    found = find_weights("net")
    assert found.path == cache_dir() / "net.h5"
    assert found.path.read_bytes() == CONTENT
    assert (found.config, found.store) == (remote / "net.json", remote)
    assert is_here(*known_networks()["net"])
    assert find_weights("net") == found
    assert len(server.requests) == 1


def test_a_broken_download_goes_on_where_it_was(remote, server):
    server.routes["/net.h5"] = Reply(CONTENT, cut=100_000)
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr("sebre.networks.weights_store._RETRIES", 0)
        with pytest.raises(OSError, match=r"net.h5: download failed: .*save it as .*cache.sebre"):
            find_weights("net")
    assert not (cache_dir() / "net.h5").exists()
    server.routes["/net.h5"] = Reply(CONTENT)
    assert find_weights("net").path.read_bytes() == CONTENT
    assert server.asked("/net.h5")[-1]["Range"] == "bytes=100000-"


def test_wrong_weights_are_not_taken(remote, server, monkeypatch):
    monkeypatch.setattr("sebre.networks.weights_store._RETRIES", 0)
    server.routes["/net.h5"] = Reply(CONTENT[::-1])
    with pytest.raises(UserError, match=f"wanted {hashlib.sha256(CONTENT).hexdigest()}"):
        find_weights("net")
    assert not (cache_dir() / "net.h5").exists()


def test_without_a_network_one_line_says_so(remote, server, monkeypatch):
    monkeypatch.setattr("sebre.networks.weights_store._RETRIES", 0)
    server.routes["/net.h5"] = Reply(drop=True)
    with pytest.raises(OSError) as caught:
        find_weights("net")
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)
    assert f"save it as {cache_dir() / 'net.h5'}" in str(caught.value)


def test_the_folder_of_ones_own_is_the_cache(remote, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    monkeypatch.setenv("SEBRE_WEIGHTS", str(mine))
    assert find_weights("net").path == mine / "net.h5"
