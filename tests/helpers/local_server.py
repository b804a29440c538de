"""A web server for tests, on this machine only: it answers, errs and breaks off as told."""

import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from unittest import mock


@dataclass
class Reply:
    """What the server does with a request.

    `cut`: bytes of the body after which the connection is closed. `drop`: close without an
    answer. `ranges`: honour the Range header. `length`: send Content-Length.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    drop: bool = False
    ranges: bool = True
    length: bool = True


Route = Reply | list[Reply] | Callable[[str], Reply]


class LocalServer:
    """Serves `routes` (path without the query -> what to do) while it is used as a context.

    A list of replies is used up one by one, its last one stays. A function is given the path
    with the query. `requests` holds (path with the query, headers) of all that was asked.
    While it runs, no proxy is asked.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._lock = threading.Lock()
        self._no_proxy = mock.patch.dict(os.environ, no_proxy="*")

    def __enter__(self) -> "LocalServer":
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner._answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()
        self._no_proxy.start()
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._no_proxy.stop()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def asked(self, path: str) -> list[dict[str, str]]:
        """Headers of the requests for a path (without the query)."""
        return [headers for asked, headers in self.requests if asked.partition("?")[0] == path]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path
        with self._lock:
            self.requests.append((path, dict(handler.headers)))
            route = self.routes.get(path.partition("?")[0], Reply(b"nothing here", 404))
            if isinstance(route, list):
                reply = route.pop(0) if len(route) > 1 else route[0]
            elif callable(route):
                reply = route(path)
            else:
                reply = route
        handler.close_connection = True
        if reply.drop:
            return
        status, body, headers = reply.status, reply.body, dict(reply.headers)
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        wanted_tag = handler.headers.get("If-Range")
        if asked and reply.ranges and status == 200 and wanted_tag in (None, headers.get("ETag")):
            start = int(asked[1])
            if start >= len(body):
                status, body = 416, b""
            else:
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                status, body = 206, body[start:]
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        if reply.length:
            handler.send_header("Content-Length", str(len(body)))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(body if reply.cut is None else body[: reply.cut])
