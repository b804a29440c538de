"""Downloads against a local server: resumed, checked, refused with a clear message."""

import csv
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from local_server import LocalServer, Reply
from tqdm import tqdm

from mrcnn.errors import UserError
from mrcnn.io.download import DownloadError, fetch, read_url
from mrcnn.io.files import file_sha256
from mrcnn.io.own_files import RECORD
from sebre.prepare import raw_download
from sebre.prepare.raw_download import download_source, fetch_listed, listed

BODY = bytes(range(256)) * 40
SHA = hashlib.sha256(BODY).hexdigest()
LISTED = ("ara_nissl", "ccf", "demba", "malc2012", "mouse_mri")


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as running:
        yield running


@pytest.fixture
def waits() -> list[float]:
    return []


def part(path: Path) -> Path:
    """What an earlier call left of the file."""
    return path.with_name(f".{path.name}.{SHA[:16]}.part")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != RECORD)


def test_fetches_once(server, tmp_path, waits):
    server.routes["/f"] = Reply(BODY)
    path = tmp_path / "new" / "folder" / "f.bin"
    assert fetch(f"{server.address}/f", path, SHA, len(BODY), wait=waits.append)
    assert path.read_bytes() == BODY
    assert not part(path).exists()
    assert not fetch(f"{server.address}/f", path, SHA, len(BODY), wait=waits.append)
    assert len(server.requests) == 1
    assert waits == []


def test_only_what_was_fetched_is_replaced(server, tmp_path):
    server.routes["/f"] = Reply(BODY)
    path = tmp_path / "f.bin"
    for content in (BODY[:-1] + b"!", b"the user's own"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="f.bin: there already, and not written"):
            fetch(f"{server.address}/f", path, SHA, len(BODY))
        assert path.read_bytes() == content
    assert server.requests == []
    path.unlink()
    server.routes["/f"] = [Reply(b"an older version"), Reply(BODY)]
    fetch(f"{server.address}/f", path)
    assert fetch(f"{server.address}/f", path, SHA, len(BODY))
    assert path.read_bytes() == BODY
    assert names_in(tmp_path) == ["f.bin"]


def test_files_with_the_names_of_parts_are_left_alone(server, tmp_path):
    server.routes["/f"] = [Reply(BODY), Reply(status=404)]
    (tmp_path / "f.part").write_bytes(b"mine")
    fetch(f"{server.address}/f", tmp_path / "f")
    with pytest.raises(DownloadError):
        fetch(f"{server.address}/f", tmp_path / "g", SHA)
    assert (tmp_path / "f.part").read_bytes() == b"mine"
    assert names_in(tmp_path) == ["f", "f.part"]


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_errors_that_pass_are_tried_again(server, tmp_path, waits, status):
    server.routes["/f"] = [Reply(status=status), Reply(status=status), Reply(BODY)]
    fetch(f"{server.address}/f", tmp_path / "f", wait=waits.append)
    assert (tmp_path / "f").read_bytes() == BODY
    assert waits == [1.0, 2.0]


def test_waits_as_long_as_the_server_asks(server, tmp_path, waits):
    late = [Reply(status=503, headers={"Retry-After": text}) for text in ("7", "100000", "later")]
    server.routes["/f"] = [*late, Reply(BODY)]
    fetch(f"{server.address}/f", tmp_path / "f", wait=waits.append)
    assert waits == [7.0, 60.0, 4.0]


def test_gives_up_with_one_clear_message(server, tmp_path, waits):
    server.routes["/f"] = Reply(status=500)
    path = tmp_path / "f.bin"
    with pytest.raises(DownloadError) as caught:
        fetch(f"{server.address}/f", path, retries=2, wait=waits.append)
    message = str(caught.value)
    for wanted in (f"{server.address}/f", "HTTP 500", "3 tries", f"save it as {path}"):
        assert wanted in message
    assert "\n" not in message
    assert waits == [1.0, 2.0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_lasting_errors_are_not_tried_again(server, tmp_path, waits, status):
    server.routes["/f"] = Reply(status=status)
    with pytest.raises(DownloadError, match=f"HTTP {status}"):
        fetch(f"{server.address}/f", tmp_path / "f", wait=waits.append)
    assert len(server.requests) == 1
    assert waits == []


def test_resumes_after_a_break(server, tmp_path, waits):
    tag = {"ETag": '"v1"'}
    server.routes["/f"] = [
        Reply(BODY, headers=tag, cut=3000),
        Reply(drop=True),
        Reply(BODY, headers=tag, cut=2000),
        Reply(BODY, headers=tag),
    ]
    with tqdm(disable=True) as bar:
        fetch(f"{server.address}/f", tmp_path / "f", SHA, progress=bar, wait=waits.append)
    assert (tmp_path / "f").read_bytes() == BODY
    asked = server.asked("/f")
    assert [a.get("Range") for a in asked] == [None, "bytes=3000-", "bytes=3000-", "bytes=5000-"]
    assert [a.get("If-Range") for a in asked] == [None, '"v1"', '"v1"', '"v1"']
    assert len(waits) == 3


def test_the_bar_counts_every_byte_once(server, tmp_path, capsys):
    server.routes["/f"] = [Reply(BODY, cut=3000), Reply(BODY, ranges=False)]
    with tqdm(total=None) as bar:
        fetch(f"{server.address}/f", tmp_path / "f", progress=bar, wait=lambda s: None)
        assert bar.n == bar.total == len(BODY)
    capsys.readouterr()
    fetch(f"{server.address}/f", tmp_path / "g", progress=True)
    assert capsys.readouterr() == ("", "")  # not a terminal


@pytest.mark.parametrize(
    "second",
    [
        Reply(BODY, ranges=False),
        Reply(BODY, headers={"ETag": '"v2"'}),
        Reply(BODY[5:], 206, {"Content-Range": f"bytes 5-{len(BODY) - 1}/{len(BODY)}"}),
        Reply(status=416),
    ],
    ids=["no ranges", "new version", "another range", "refused"],
)
def test_begins_anew_when_the_server_cannot_resume(server, tmp_path, second):
    first = Reply(b"old" + BODY[3:], headers={"ETag": '"v1"'}, cut=3000)
    server.routes["/f"] = [first, second, Reply(BODY)]
    fetch(f"{server.address}/f", tmp_path / "f", wait=lambda s: None)
    assert (tmp_path / "f").read_bytes() == BODY


def test_goes_on_with_what_an_earlier_call_left_only_under_a_checksum(server, tmp_path):
    server.routes["/f"] = Reply(BODY)
    path = tmp_path / "f"
    part(path).write_bytes(BODY[:1000])
    fetch(f"{server.address}/f", path, SHA)
    part(tmp_path / "g").write_bytes(b"of another file")
    fetch(f"{server.address}/f", tmp_path / "g", size=len(BODY))
    assert [h.get("Range") for h in server.asked("/f")] == ["bytes=1000-", None]
    assert path.read_bytes() == (tmp_path / "g").read_bytes() == BODY


def test_a_rotten_beginning_is_thrown_away(server, tmp_path):
    server.routes["/f"] = Reply(BODY)
    for name, left in (("f", b"x" * 1000), ("g", b"x" * len(BODY)), ("h", b"x" * 20000)):
        part(tmp_path / name).write_bytes(left)
        fetch(f"{server.address}/f", tmp_path / name, SHA, len(BODY), wait=lambda s: None)
        assert (tmp_path / name).read_bytes() == BODY


def test_a_beginning_longer_than_the_file_is_thrown_away(server, tmp_path, waits):
    server.routes["/f"] = Reply(BODY)
    part(tmp_path / "f").write_bytes(BODY + b"more")
    fetch(f"{server.address}/f", tmp_path / "f", SHA, wait=waits.append)  # the size is not known
    assert (tmp_path / "f").read_bytes() == BODY
    assert waits == [1.0]


def test_a_complete_rest_needs_no_request(server, tmp_path):
    path = tmp_path / "f"
    part(path).write_bytes(BODY)
    assert fetch(f"{server.address}/f", path, SHA, len(BODY))
    assert server.requests == []


def test_a_wrong_checksum_is_refused(server, tmp_path, waits):
    server.routes["/f"] = Reply(BODY)
    path = tmp_path / "f"
    with pytest.raises(DownloadError, match=f"SHA-256 {SHA}, wanted {'0' * 64}.*save it as"):
        fetch(f"{server.address}/f", path, "0" * 64, wait=waits.append)
    assert waits == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_size_is_refused_before_it_is_fetched(server, tmp_path):
    server.routes["/f"] = Reply(BODY)
    with pytest.raises(DownloadError, match=f"has {len(BODY)} bytes, wanted 99"):
        fetch(f"{server.address}/f", tmp_path / "f", size=99)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_cut_short_without_a_length_is_noticed(server, tmp_path, waits):
    server.routes["/f"] = [Reply(BODY, length=False, cut=100), Reply(BODY, length=False)]
    fetch(f"{server.address}/f", tmp_path / "f", SHA, len(BODY), wait=waits.append)
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_check_refuses_the_content(server, tmp_path, waits):
    def check(path: Path) -> None:
        if not path.read_bytes().startswith(b"good"):
            raise ValueError("it is not good")

    server.routes["/f"] = Reply(b"<html>busy</html>")
    with pytest.raises(DownloadError, match="it is not good"):
        fetch(f"{server.address}/f", tmp_path / "f", check=check, wait=waits.append)
    assert waits == []
    # Without a length the bad answer may be one that was cut short.
    server.routes["/f"] = [Reply(b"", length=False), Reply(b"good", length=False)]
    fetch(f"{server.address}/f", tmp_path / "f", check=check, wait=waits.append)
    assert waits == [1.0]


def test_no_server(tmp_path, waits, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DownloadError, match=f"127.0.0.1:{port}/f: .*refused.*2 tries"):
        fetch(f"http://127.0.0.1:{port}/f", tmp_path / "f", retries=1, wait=waits.append)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["file:///etc/hosts", "ftp://x/y", "f.bin"])
def test_only_addresses_of_the_web(tmp_path, url):
    with pytest.raises(ValueError, match="http"):
        fetch(url, tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_a_place_that_cannot_be_written(server, tmp_path, waits):
    server.routes["/f"] = Reply(BODY)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="file: is not a folder"):
        fetch(f"{server.address}/f", tmp_path / "file" / "f", wait=waits.append)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="folder: is a folder"):
        fetch(f"{server.address}/f", tmp_path / "folder", wait=waits.append)
    assert waits == [] and server.requests == []


def test_a_full_disk_is_not_taken_for_a_broken_line(server, tmp_path, waits):
    server.routes["/f"] = Reply(BODY)
    part(tmp_path / "f").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        fetch(f"{server.address}/f", tmp_path / "f", SHA, wait=waits.append)
    assert waits == []


def test_reads_an_answer(server, waits):
    server.routes["/a"] = [Reply(status=502), Reply(b"12345", cut=3), Reply(b"12345")]
    assert read_url(f"{server.address}/a", wait=waits.append) == b"12345"
    assert len(waits) == 2
    with pytest.raises(DownloadError, match="HTTP 404"):
        read_url(f"{server.address}/b", wait=waits.append)


@pytest.fixture
def a_list(server, tmp_path, monkeypatch) -> list[dict[str, str]]:
    bodies = {"a.nii.gz": BODY, "folder/b.txt": b"text", "LICENSE": b"free"}
    rows = []
    for name, body in bodies.items():
        server.routes[f"/{name}"] = Reply(body)
        checksum = hashlib.sha256(body).hexdigest()
        url = f"{server.address}/{name}"
        rows.append({"file": name, "url": url, "sha256": checksum, "bytes": str(len(body))})
    folder = tmp_path / "lists"
    folder.mkdir()
    with (folder / "some_brains.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    monkeypatch.setattr(raw_download, "LISTS", folder)
    return rows


def test_fetches_what_is_missing_or_wrong(server, a_list, tmp_path):
    raw = tmp_path / "raw"
    assert fetch_listed("some-brains", raw) == [raw / row["file"] for row in a_list]
    for row in a_list:
        assert file_sha256(raw / row["file"]) == row["sha256"]
    assert fetch_listed("some_brains", raw) == []
    assert len(server.requests) == 3

    (raw / "a.nii.gz").unlink()
    (raw / "folder/b.txt").write_bytes(b"tex!")
    (raw / "notes.txt").write_bytes(b"the user's own")
    with pytest.raises(UserError, match="b.txt: there already, and not written"):
        fetch_listed("some_brains", raw)
    assert len(server.requests) == 3
    (raw / "folder/b.txt").unlink()
    assert fetch_listed("some_brains", raw) == [raw / "a.nii.gz", raw / "folder/b.txt"]
    assert (raw / "notes.txt").read_bytes() == b"the user's own"


def test_download_source_takes_the_list(a_list, tmp_path):
    download_source("some-brains", tmp_path / "raw", {"plane": "coronal"})
    assert (tmp_path / "raw" / "LICENSE").read_bytes() == b"free"


def test_a_break_in_a_list_leaves_what_is_complete(server, a_list, tmp_path):
    server.routes["/folder/b.txt"] = [Reply(status=404), Reply(b"text")]
    with pytest.raises(DownloadError, match="b.txt.*404.*save it as"):
        fetch_listed("some_brains", tmp_path / "raw")
    assert (tmp_path / "raw/a.nii.gz").read_bytes() == BODY
    assert [p.name for p in fetch_listed("some_brains", tmp_path / "raw")] == ["b.txt", "LICENSE"]


def test_too_little_room(a_list, tmp_path, monkeypatch):
    monkeypatch.setattr(raw_download.shutil, "disk_usage", lambda path: SimpleNamespace(free=9))
    with pytest.raises(OSError, match="free on the disk"):
        fetch_listed("some_brains", tmp_path / "raw")


@pytest.mark.parametrize("name", ["slicemap", "sebre-figures", "allen_ish", "colour-code"])
def test_sources_without_a_list_say_so(name, tmp_path):
    with pytest.raises(ValueError, match="no list of files.*by hand.*ara_nissl, ccf, demba"):
        fetch_listed(name, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_a_list_cannot_write_outside_the_folder(a_list, tmp_path):
    text = (raw_download.LISTS / "some_brains.csv").read_text()
    (raw_download.LISTS / "some_brains.csv").write_text(text.replace("LICENSE,", "../LICENSE,"))
    with pytest.raises(ValueError, match="outside"):
        listed("some_brains")


@pytest.mark.parametrize("name", LISTED)
def test_the_lists_are_well_formed(name):
    files = listed(name)
    assert len({f.file for f in files}) == len(files) > 2
    for f in files:
        assert f.url.startswith("https://raw.githubusercontent.com/")
        # A commit, not a branch that moves on.
        assert len(f.url.split("/")[5]) == 40
        assert len(f.sha256) == 64 and int(f.sha256, 16) and f.bytes > 0
    assert [p.stem for p in sorted(raw_download.LISTS.glob("*.csv"))] == list(LISTED)


def test_the_lists_fit_the_data(data_dir):
    folders = {"ara_nissl": "ara_nissl_hippocampus", "demba": "demba_200um"}
    for name in LISTED:
        # All is there and right: nothing is asked for.
        assert fetch_listed(name, data_dir / folders.get(name, name)) == []
