"""InvokeAI's registry: models are made known in place, and forgotten, over its API.

Source: invokeai/app/api/routers/model_manager.py. Its `inplace` is false by default, and then it *moves* the file away:
nothing here ever asks without it.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modelhub.core.deployment import Registry
from modelhub.core.errors import Offline, RemoteRefused
from modelhub.core.names import printable
from modelhub.remote.local import LocalServer, Reply

_MODELS = "/api/v2/models"
_LONGEST_INSTALL = 3600.0
"""Seconds; it reads the whole file for its own hash."""

_PAUSE = 0.5


class InvokeAI(Registry):
    """The running InvokeAI at a server's address."""

    def __init__(self, server: LocalServer, sleep: Callable[[float], None] = time.sleep) -> None:
        self._server = server
        self._sleep = sleep

    def register(self, path: str, name: str) -> Iterator[str]:
        if not self._server.is_here:
            told = f"{self._server.base} is another machine, which does not see this one's files."
            raise RemoteRefused(told, hint="Run ModelHub there.")
        if os.path.splitext(os.path.realpath(path))[1] == "" and not os.path.isdir(path):
            raise RemoteRefused(f"{printable(path)} leads to a file without an ending.", hint="Use hard links.")
        if self._key(path):
            return
        question = {"source": path, "inplace": "true"}
        try:
            reply = self._server.ask(
                "POST", f"{_MODELS}/install", params=question, body={"name": os.path.splitext(name)[0]}
            )
        except (Offline, RemoteRefused):
            if self._key(path):  # it was done, and only the answer was lost
                return
            raise
        if reply.status == 409 and self._key(path):
            return
        job = self._expect(reply, "install").get("id")
        yield from self._wait(path, job)

    def _wait(self, path: str, job: Any) -> Iterator[str]:
        until = time.monotonic() + _LONGEST_INSTALL
        while time.monotonic() < until:
            told = self._expect(self._server.ask("GET", f"{_MODELS}/install/{int(job)}"), "install")
            status = str(told.get("status", ""))
            if status == "completed":
                return
            if status in ("error", "cancelled"):
                if self._key(path):
                    return
                why = printable(str(told.get("error_reason") or told.get("error") or status))[:300]
                raise RemoteRefused(f"InvokeAI does not take {printable(path)}: {why}.", hint="See its own log.")
            yield printable(os.path.basename(path))
            self._sleep(_PAUSE)
        raise Offline(f"InvokeAI did not finish with {printable(path)}.", hint="Run the same command again.")

    def forget(self, path: str) -> bool:
        key = self._key(path)
        if not key:
            return False
        reply = self._server.ask("DELETE", f"{_MODELS}/i/{key}")
        if reply.status >= 400 and reply.status != 404:
            raise RemoteRefused(
                f"InvokeAI answered {reply.status} when {printable(path)} was to go.", hint="Try again."
            )
        if self._key(path):
            raise RemoteRefused(f"InvokeAI still knows {printable(path)}.", hint="Remove it in the app, or try again.")
        return True

    def known(self) -> set[str]:
        return set(self._paths())

    def _key(self, path: str) -> str:
        return self._paths().get(os.path.realpath(path), "")

    def _paths(self) -> dict[str, str]:
        """Absolute paths of what it knows and their keys. What it keeps in its own folder has relative ones."""
        listed = self._expect(self._server.ask("GET", f"{_MODELS}/"), "list").get("models")
        records = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
        return {
            str(one["path"]): str(one["key"]) for one in records if "key" in one and os.path.isabs(str(one.get("path")))
        }

    def _expect(self, reply: Reply, what: str) -> Mapping[str, Any]:
        answer = reply.json()
        if reply.status >= 400 or not isinstance(answer, Mapping):
            detail = answer.get("detail") if isinstance(answer, Mapping) else ""
            told = f": {printable(str(detail))[:200]}" if detail else ""
            raise RemoteRefused(
                f"{self._server.base} answered {reply.status} to {what}{told}.",
                hint="Is it InvokeAI, and a current one?",
            )
        return answer
