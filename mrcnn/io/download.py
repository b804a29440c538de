"""Downloads that are checked, go on after a break, and are complete or not there at all.

Ours stays beside pooch, which neither goes on where a break was nor waits as a server asks.
"""

import http.client
import itertools
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from mrcnn.errors import UnavailableError, UserError
from mrcnn.io.files import file_sha256, part_of
from mrcnn.io.own_files import demand_own, note

RETRIES = 4  # further tries after the first
TIMEOUT_S = 60.0  # without a single byte
MAX_PAUSE_S = 60.0

_CHUNK = 1 << 18
_MAY_PASS = {408, 425, 429, 500, 502, 503, 504}
_HEADERS = {"User-Agent": "mrcnn", "Accept-Encoding": "identity"}

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class DownloadError(UserError, OSError):
    """A download that did not succeed; `code` is the HTTP status given as the reason, or 0."""

    code = 0


class _Trouble(Exception):
    """One try has failed: whether another may help, and after how long if the server says so."""

    def __init__(
        self, reason: str, may_pass: bool = True, pause: float | None = None, code: int = 0
    ):
        super().__init__(reason)
        self.may_pass, self.pause, self.code = may_pass, pause, code


def fetch(
    url: str,
    path: str | Path,
    sha256: str | None = None,
    size: int | None = None,
    retries: int = RETRIES,
    progress: bool | tqdm = True,
    *,
    check: Callable[[Path], None] | None = None,
    wait: Callable[[float], Any] = time.sleep,
) -> bool:
    """Download a file; it appears at its place when it is complete and right.

    The bytes go to a file of its own beside it. After a break the rest is asked for; what is left
    of an earlier call is used only with `sha256`, since nothing else shows that it is of the same
    file. What may pass (broken connections, 5xx, 429) is tried again, after 1, 2, 4, ... seconds or
    as the server asks.

    Args:
        url: http or https.
        path: file to write; nothing is fetched if it is there and right, as far as is known. One
            that is not right is replaced if it is as it was fetched; else that is an error.
        sha256: checksum wanted, in hex.
        size: wanted, in bytes.
        retries: further tries.
        progress: draw a progress bar (on a terminal), or the bar to move on.
        check: called with the complete file, before it is in its place; a ValueError refuses it.
        wait: called with the seconds to wait before another try.

    Returns:
        Whether it was fetched; False if it was there.
    """
    path = Path(path)
    if not what_is_wrong(path, sha256, size):
        return False
    demand_own([path])
    advice = f"Try again later, or get the file by other means and save it as {path}."
    # A beginning that a later call goes on with is known by the checksum of the whole.
    part = path.with_name(f".{path.name}.{sha256[:16]}.part") if sha256 else part_of(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with byte_bar(path.name, size, progress) as bar:
            transfer = _Transfer(url, part, sha256, size, check, bar)
            _try(transfer.run, url, retries, wait, advice)
        with writing(path):
            note(path, sha256 or file_sha256(part))
            part.replace(path)
    finally:
        if not sha256:
            part.unlink(missing_ok=True)
    return True


def read_url(
    url: str, retries: int = RETRIES, *, wait: Callable[[float], Any] = time.sleep
) -> bytes:
    """A short answer of a web address, tried as often as `fetch` does."""

    def once() -> bytes:
        with _open(url, {}) as response:
            total = _length(response)
            body = b"".join(_chunks(response))
        _demand_whole(len(body), total)
        return body

    return _try(once, url, retries, wait, "Try again later.")


@dataclass
class _Transfer:
    """The tries to get one file into `part`."""

    url: str
    part: Path
    sha256: str | None
    size: int | None
    check: Callable[[Path], None] | None
    bar: tqdm
    tag: str | None = None  # of the version whose beginning is in `part`
    shown: int = 0  # bytes of this file that the bar counts

    def run(self) -> None:
        """One try."""
        offset = self.part.stat().st_size if self.part.is_file() else 0
        if self.size is not None and offset > self.size:
            offset = 0
        sure = True
        if offset == 0 or offset != self.size:
            sure = self._receive(offset)
        if problem := what_is_wrong(self.part, self.sha256, self.size):
            # A beginning from an earlier time may be at fault; and without a length, an answer
            # cut short looks complete.
            self._refuse(problem, may_pass=offset > 0 or not sure)
        if self.check:
            try:
                self.check(self.part)
            except ValueError as error:
                self._refuse(str(error), may_pass=not sure)

    def _receive(self, offset: int) -> bool:
        """Append to `part`, or start it anew; returns whether the server gave the length."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and self.tag:
            headers["If-Range"] = self.tag
        try:
            response = _open(self.url, headers)
        except _Trouble as trouble:
            if trouble.code == 416:  # it has nothing from there on
                self._drop()
            raise
        with response:
            if response.status != 206:
                offset = 0  # the server sends the whole file
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                self._refuse("the server sent another part of the file than asked for")
            tag = response.headers.get("ETag", "")
            self.tag = tag if tag and not tag.startswith("W/") else None
            length = _length(response)
            total = None if length is None else offset + length
            if self.size is not None and total not in (None, self.size):
                self._refuse(
                    f"the file at this address has {total} bytes, wanted {self.size}", False
                )
            if self.bar.total is None:
                self.bar.total = total
            self._show(done := offset)
            with writing(self.part), self.part.open("ab" if offset else "wb") as file:
                for chunk in _chunks(response):
                    file.write(chunk)
                    done += len(chunk)
                    self._show(done)
        _demand_whole(done, total)
        return total is not None

    def _show(self, done: int) -> None:
        self.bar.update(done - self.shown)
        self.shown = done

    def _drop(self) -> None:
        with writing(self.part):
            self.part.unlink(missing_ok=True)

    def _refuse(self, problem: str, may_pass: bool = True) -> None:
        self._drop()
        raise _Trouble(problem, may_pass)


def _demand_whole(done: int, total: int | None) -> None:
    if total not in (None, done):
        raise _Trouble(f"the connection ended after {done} of {total} bytes")


def _try(
    action: Callable[[], _T], url: str, retries: int, wait: Callable[[float], Any], advice: str
) -> _T:
    if not url.startswith(("http://", "https://")):
        raise UserError(
            f"{url}: not an address of the web; it must start with http:// or https://."
        )
    for attempt in itertools.count():
        try:
            return action()
        except _Trouble as trouble:
            if not trouble.may_pass or attempt >= retries:
                tries = f" ({attempt + 1} tries)" if attempt else ""
                failure = DownloadError(f"{url}: download failed: {trouble}{tries}. {advice}")
                failure.code = trouble.code
                raise failure from trouble
            pause = min(2.0**attempt if trouble.pause is None else trouble.pause, MAX_PAUSE_S)
            _log.warning("%s: %s; trying again in %g s", url, trouble, pause)
            wait(pause)


def _open(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers=_HEADERS | headers)
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        asked = error.headers.get("Retry-After", "")
        raise _Trouble(
            f"HTTP {error.code} {error.reason}",
            error.code in _MAY_PASS or (error.code == 416 and "Range" in headers),
            float(asked) if asked.isdigit() else None,
            error.code,
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Trouble(_reason(error)) from error


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _Trouble(_reason(error)) from error
        if not chunk:
            return
        yield chunk


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", None) or error
    return str(inner) or type(inner).__name__


def _length(response: http.client.HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def what_is_wrong(path: Path, sha256: str | None, size: int | None) -> str:
    """What is wrong with a file; empty if it is right, as far as is known."""
    if not path.is_file():
        return "it is not there"
    found = path.stat().st_size
    if size is not None and found != size:
        return f"got {found} bytes, wanted {size}"
    if sha256 is not None and (checksum := file_sha256(path)) != sha256:
        return f"got {found} bytes with the SHA-256 {checksum}, wanted {sha256}"
    return ""


@contextmanager
def byte_bar(name: str, total: int | None, progress: bool | tqdm) -> Iterator[tqdm]:
    """The bar given, or a new one that counts bytes; nothing is drawn but on a terminal."""
    if isinstance(progress, tqdm):
        yield progress
        return
    with tqdm(
        desc=name, total=total, unit="B", unit_scale=True, disable=None if progress else True
    ) as bar:
        yield bar


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says what to do when the disk refuses."""
    try:
        yield
    except OSError as error:
        if isinstance(error, DownloadError):
            raise
        raise UnavailableError(
            f"{path}: cannot be written ({error.strerror or error}). Check the folder, its "
            "permissions and the room on the disk, or choose another folder."
        ) from error
