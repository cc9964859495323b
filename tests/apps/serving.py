"""An HTTP server on a free port for the doubles of apps, which fails on request."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Protocol
from urllib.parse import parse_qsl, urlsplit

Fault = Literal["500", "html", "half", "hang up"]
"""An error; a web page with status 200; an answer that breaks off; no answer at all."""

Answer = tuple[int, Any]
"""Status, and what is sent: text as it is, None as nothing, all else as JSON."""


class Service(Protocol):
    asked: list[tuple[str, str, Any]]
    faults: list[Fault]

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer: ...


@contextmanager
def serving(service: Service) -> Iterator[str]:
    """The address of a running server that asks `service`; `faults` are taken one for each question."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def respond(self) -> None:
            with lock:
                self._respond()

        def _respond(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
            service.asked.append((self.command, self.path, body))
            fault = service.faults.pop(0) if service.faults else None
            if fault == "hang up":
                self.close_connection = True
            elif fault == "500":
                self._send(500, {"error": "on request", "detail": "on request"})
            elif fault == "html":
                self._send(200, "<!doctype html><title>Sign in</title>", kind="text/html")
            else:
                url = urlsplit(self.path)
                status, said = service.answer(self.command, url.path, dict(parse_qsl(url.query)), body)
                self._send(status, said, half=fault == "half")

        def _send(self, status: int, said: Any, *, kind: str = "", half: bool = False) -> None:
            text = "" if said is None else said if isinstance(said, str) else json.dumps(said)
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind or ("text/plain" if isinstance(said, str) else "application/json"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[: len(content) // 2] if half else content)

        do_GET = do_POST = do_DELETE = do_HEAD = respond  # noqa: N815  (the names that http.server calls)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
