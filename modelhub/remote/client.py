"""Questions to a web API, politely: one at a time, never faster than agreed, patient with its troubles."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import httpx

from modelhub.core.errors import ConfigInvalid, Offline, RemoteRefused
from modelhub.core.names import printable

_ATTEMPTS = 4
_LONGEST_WAIT = 30.0
_LONGEST_ASKED_WAIT = 60.0
"""Seconds; a server that asks for more is told to the user instead."""

_LONGEST_EXCHANGE = 60.0
"""Seconds for a whole question and answer, however alive the server keeps the line."""

_MAX_BYTES = 24 << 20
_TROUBLE = {429, 500, 502, 503, 504}
_NOT_THERE = {404, 410}


class _Reply(NamedTuple):
    status: int
    wait: float
    content: bytes


class Client:
    """One API at `base`. `delay` and `timeout` are seconds between two questions and to wait for an answer.

    `longest` is seconds for a whole question and its answer, `agent` who asks.
    """

    def __init__(
        self,
        base: str,
        *,
        delay: float,
        timeout: float,
        agent: str,
        headers: Mapping[str, str] | None = None,
        longest: float = _LONGEST_EXCHANGE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        told = {"User-Agent": agent, "Accept": "application/json", **(headers or {})}
        try:
            self._host = httpx.URL(base).host
        except httpx.InvalidURL as error:
            raise ConfigInvalid(f"{printable(base)} is no address.", hint="Give https://HOST.") from error
        self._runner = asyncio.Runner()
        self._http = httpx.AsyncClient(base_url=base, timeout=timeout, headers=told, follow_redirects=True)
        self._delay = delay
        self._longest = longest
        self._sleep = sleep
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._http.aclose())
        self._runner.close()

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
                reply = self._runner.run(self._exchange(method, path, what))
            except TimeoutError as error:
                told = f"{self._host} did not finish its answer within {self._longest:.0f} seconds."
                raise Offline(told, hint="Try again later.") from error
            except httpx.TransportError as error:
                if last:
                    raise Offline(f"{self._host} cannot be reached.", hint="Try again later.") from error
                reply = _Reply(0, 0.0, b"")
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                told = f"{self._host} answered with something that cannot be read ({type(error).__name__})."
                raise RemoteRefused(told, hint="Check its address in the settings, or try again later.") from error
            if last or (reply.status and reply.status not in _TROUBLE):
                return self._said(reply)
            if reply.wait > _LONGEST_ASKED_WAIT:
                raise RemoteRefused(
                    f"{self._host} asks for {reply.wait:.0f} seconds of patience.", hint="Run the same command then."
                )
            pause = min(_LONGEST_WAIT, 2.0**attempt * (0.5 + random.random()))  # noqa: S311  (no secret)
            self._sleep(max(reply.wait, pause))
        raise AssertionError

    def _keep_distance(self) -> None:
        now = time.monotonic()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._delay

    async def _exchange(self, method: str, path: str, what: Mapping[str, Any]) -> _Reply:
        async with asyncio.timeout(self._longest), self._http.stream(method, path, **what) as answer:
            if answer.status_code >= 400:
                return _Reply(answer.status_code, _asked_wait(answer), b"")
            if "," in answer.headers.get("Content-Encoding", ""):
                raise httpx.DecodingError("packed more than once")
            content = bytearray()
            async for piece in answer.aiter_bytes():
                content += piece
                if len(content) > _MAX_BYTES:
                    told = f"{self._host} answered with over {_MAX_BYTES >> 20} MiB."
                    raise RemoteRefused(told, hint="Try again later.")
            return _Reply(answer.status_code, 0.0, bytes(content))

    def _said(self, reply: _Reply) -> Any:
        if reply.status in _NOT_THERE:
            return None
        if reply.status >= 400:
            raise RemoteRefused(f"{self._host} answered {reply.status}.", hint="Try again later.")
        try:
            return json.loads(reply.content)
        except (ValueError, RecursionError) as error:
            told = f"{self._host} answered with something that is no JSON."
            raise RemoteRefused(told, hint="It may be a page of a firewall; try again later.") from error


def _asked_wait(answer: httpx.Response) -> float:
    """Seconds that the server asks for; 0 if it asks for none or for a date."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0.0
