"""A small double of Civitai and of the Hugging Face hub: answers by hash and by repository, and fails on request."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Double:
    """What the site knows, what it was asked, and how it is to fail: `failures` are taken one for each question."""

    def __init__(self) -> None:
        self.versions: dict[str, dict[str, Any]] = {}
        self.repositories: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str, Any]] = []
        self.failures: list[tuple[int, bytes, dict[str, str]]] = []
        self.has_ids = True
        self.url = ""

    def knows(self, sha256: str, *, kind: str, base: str, words: tuple[str, ...] = (), **further: Any) -> None:
        number = len(self.versions) + 1
        self.versions[sha256.upper()] = {
            "id": number, "modelId": number, "name": "v1", "baseModel": base, "trainedWords": list(words),
            "model": {"name": f"model {number}", "type": kind}, "files": [{"hashes": {"SHA256": sha256.upper()}}],
        } | further  # fmt: skip

    def answer(self, method: str, path: str, body: Any) -> Any:
        if method == "POST" and path.endswith("/by-hash/ids"):
            known = [{"modelVersionId": one["id"], "hash": key} for key, one in self.versions.items() if key in body]
            return known if self.has_ids else None
        if method == "POST" and path.endswith("/by-hash"):
            return [one for key, one in self.versions.items() if key in body]
        if "/by-hash/" in path:
            return self.versions.get(path.rsplit("/", 1)[1])
        return self.repositories.get(path.split("?", maxsplit=1)[0].removeprefix("/api/models/"))


@contextmanager
def site() -> Iterator[Double]:
    double = Double()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"null")
            double.asked.append((self.command, self.path, body))
            if double.failures:
                status, content, headers = double.failures.pop(0)
            else:
                found = double.answer(self.command, self.path, body)
                status, content, headers = 200 if found is not None else 404, json.dumps(found).encode(), {}
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = respond  # noqa: N815  (the names that http.server calls)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    double.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
