"""Apps that run on this machine, asked over HTTP: briefly, and without believing what answers."""

import json
import re
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import httpx

from modelhub.core.apps import Server
from modelhub.core.errors import ConfigInvalid, Offline, RemoteRefused
from modelhub.core.names import printable

_MAX_BYTES = 16 << 20
_LONGEST = 20.0
"""Seconds for a question and its answer, however alive the server keeps the line."""

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Reply(NamedTuple):
    status: int
    body: bytes

    def json(self) -> Any:
        """The answer as JSON; None if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class LocalServer:
    """The server at `base`; `timeout` in seconds for each step of an exchange. Never follows a redirect."""

    def __init__(self, base: str, *, timeout: float = 2.0) -> None:
        self.base = base.rstrip("/")
        try:
            self._http = httpx.Client(base_url=self.base, timeout=timeout, follow_redirects=False, trust_env=False)
        except (httpx.InvalidURL, ValueError) as error:
            raise ConfigInvalid(f"{printable(base)} is no address.", hint="Give http://HOST:PORT.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine, so that our paths are its paths."""
        return urlsplit(self.base).hostname in _LOOPBACK

    def ask(self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Any = None) -> Reply:
        """Its answer, whatever it says; raises Offline if there is none, RemoteRefused if it is no answer to read."""
        until = time.monotonic() + _LONGEST
        try:
            with self._http.stream(method, path, params=params, json=body) as answer:
                content = bytearray()
                for piece in answer.iter_bytes():
                    content += piece
                    if len(content) > _MAX_BYTES or time.monotonic() > until:
                        raise RemoteRefused(f"{self.base} does not finish its answer.", hint="Is it the right address?")
                return Reply(answer.status_code, bytes(content))
        except httpx.TransportError as error:
            raise Offline(
                f"{self.base} cannot be reached.", hint="Start the app, or give its address: --url."
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise RemoteRefused(f"{self.base} answers something that cannot be read.", hint="Check --url.") from error


def listens(port: int) -> bool:
    """Whether anything is there at all; most ports are closed, and a closed one need not be asked many questions."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False


def is_it(server: LocalServer, known: Server) -> bool:
    """Whether the running server is the app that `known` describes, by what it answers."""
    method, path = question(known.ask)
    try:
        reply = server.ask(method, path, body={} if method == "POST" else None)
    except (Offline, RemoteRefused):
        return False
    if reply.status >= 400:
        return False
    if known.text and not re.search(known.text, reply.body.decode("utf-8", "replace")):
        return False
    answer = reply.json()
    if known.keys and not all(_has(answer, key) for key in known.keys):
        return False
    return not any(_has(answer, key) for key in known.lacks)


def model_names(server: LocalServer, known: Server) -> list[str]:
    """The models that a running app lists, by the names it gives them; raises Offline or RemoteRefused."""
    method, path = question(known.models)
    reply = server.ask(method, path)
    if reply.status in (401, 403):
        raise RemoteRefused(f"{server.base} wants a key for its list of models.", hint="Look into the app itself.")
    if reply.status >= 400:
        raise RemoteRefused(f"{server.base} answered {reply.status}.", hint="Is it the right app?")
    return sorted(dict.fromkeys(_names(reply.json(), known.names)))


def refresh(server: LocalServer, known: Server) -> None:
    """Make a running app look at its folders again; raises Offline or RemoteRefused."""
    for one in known.refresh:
        method, path = question(one)
        reply = server.ask(method, path)
        if reply.status >= 400:
            raise RemoteRefused(f"{server.base}{path} answered {reply.status}.", hint="Use the app's own button.")


def question(text: str) -> tuple[str, str]:
    """``POST /path`` or ``/path`` as method and path."""
    method, _, path = text.rpartition(" ")
    return method or "GET", path


def _has(answer: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(answer, Mapping) or part not in answer:
            return False
        answer = answer[part]
    return True


def _names(answer: Any, key: str) -> Sequence[str]:
    """Names out of a list of texts, a list of objects, or an object that holds such a list."""
    if isinstance(answer, Mapping):
        if isinstance(answer.get(key), str):
            return [answer[key]]
        lists = [
            value for value in (answer.get(key), answer.get("models"), answer.get("data")) if isinstance(value, list)
        ]
        answer = lists[0] if lists else []
    if not isinstance(answer, list):
        return []
    found = [one.get(key) if isinstance(one, Mapping) else one for one in answer]
    return [printable(one) for one in found if isinstance(one, str)]
