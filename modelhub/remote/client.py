"""Questions to a web API, politely: one at a time, never faster than agreed, patient with its troubles."""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import httpx

from modelhub.core.errors import Offline, RemoteRefused

_ATTEMPTS = 4
_LONGEST_WAIT = 30.0
_LONGEST_ASKED_WAIT = 60.0
"""Seconds; a server that asks for more is told to the user instead."""

_MAX_BYTES = 64 << 20
_TROUBLE = {429, 500, 502, 503, 504}
_NOT_THERE = {404, 410}


class Client:
    """One API at `base`. `delay` and `timeout` are seconds between two questions and to wait for an answer.

    `agent` is who asks.
    """

    def __init__(
        self,
        base: str,
        *,
        delay: float,
        timeout: float,
        agent: str,
        headers: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        told = {"User-Agent": agent, "Accept": "application/json", **(headers or {})}
        self._http = httpx.Client(base_url=base, timeout=timeout, headers=told, follow_redirects=True)
        self._host = httpx.URL(base).host
        self._delay = delay
        self._sleep = sleep
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The JSON at `path`; None if there is nothing. Raises Offline or RemoteRefused."""
        return self._ask("GET", path, params=params)

    def post(self, path: str, body: Sequence[Any]) -> Any:
        """The JSON that answers `body`; None if there is no such question. Raises Offline or RemoteRefused."""
        return self._ask("POST", path, json=body)

    def _ask(self, method: str, path: str, **what: Any) -> Any:
        for attempt in range(_ATTEMPTS):
            self._keep_distance()
            last = attempt == _ATTEMPTS - 1
            try:
                with self._http.stream(method, path, **what) as answer:
                    if answer.status_code not in _TROUBLE or last:
                        return self._read(answer)
                    wait = _asked_wait(answer)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                if last:
                    raise Offline(f"{self._host} cannot be reached.", hint="Try again later.") from error
                wait = 0.0
            if wait > _LONGEST_ASKED_WAIT:
                raise RemoteRefused(
                    f"{self._host} asks for {wait:.0f} seconds of patience.", hint="Run the same command then."
                )
            self._sleep(max(wait, min(_LONGEST_WAIT, 2.0**attempt * (0.5 + random.random()))))  # noqa: S311  (no secret)
        raise AssertionError

    def _keep_distance(self) -> None:
        now = time.monotonic()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._delay

    def _read(self, answer: httpx.Response) -> Any:
        if answer.status_code in _NOT_THERE:
            return None
        if answer.status_code >= 400:
            raise RemoteRefused(f"{self._host} answered {answer.status_code}.", hint="Try again later.")
        content = bytearray()
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > _MAX_BYTES:
                raise RemoteRefused(f"{self._host} answered with over {_MAX_BYTES} bytes.", hint="Try again later.")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            told = f"{self._host} answered with something that is no JSON."
            raise RemoteRefused(told, hint="It may be a page of a firewall; try again later.") from error


def _asked_wait(answer: httpx.Response) -> float:
    """Seconds that the server asks for; 0 if it asks for none or for a date."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0.0
