"""Apps that are running on this machine: found by their answers, asked for their models, told to look again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from modelhub.core.apps import App, Target
from modelhub.core.deployment import Registry
from modelhub.core.errors import InvalidInput, Offline, RemoteRefused


@dataclass(frozen=True, slots=True)
class Running:
    """An app that answered at an address."""

    app: str
    display_name: str
    url: str


@contextmanager
def registry(url: str) -> Iterator[Registry]:
    """The registry of the app at an address."""
    from modelhub.remote.invokeai import InvokeAI  # noqa: PLC0415  (only what is spoken to needs it)
    from modelhub.remote.local import LocalServer  # noqa: PLC0415

    with LocalServer(url, timeout=30.0) as server:
        yield InvokeAI(server)


def registered(app: App, target: Target) -> set[str] | None:
    """The paths that a target's running app knows; None if it keeps no such list, is not there or does not say."""
    if app.layout != "invokeai" or not target.options.url:
        return None
    from modelhub.remote.invokeai import InvokeAI  # noqa: PLC0415
    from modelhub.remote.local import LocalServer  # noqa: PLC0415

    try:
        with LocalServer(target.options.url) as server:
            return InvokeAI(server).known()
    except (Offline, RemoteRefused):
        return None


def running(apps: Mapping[str, App], ports: Mapping[int, int] | None = None) -> list[Running]:
    """Every known app that answers on one of its usual ports. `ports` moves them, for those who have others."""
    from modelhub.remote.local import LocalServer, is_it, listens  # noqa: PLC0415  (imports httpx)

    found: list[Running] = []
    asked = [app for app in apps.values() if app.server is not None]
    for port in sorted({port for app in asked if app.server for port in app.server.ports}):
        there = (ports or {}).get(port, port)
        if not listens(there):
            continue
        url = f"http://127.0.0.1:{there}"
        here = [app for app in asked if app.server and port in app.server.ports]
        here.sort(key=lambda app: not (app.server and app.server.imitates))
        known: set[object] = set()
        with LocalServer(url) as server:
            for app in here:
                if app.server is None or app.server in known:
                    continue
                if is_it(server, app.server):
                    found.append(Running(app.name, app.display_name, url))
                    known.add(app.server)
                    if app.server.imitates:
                        break
    return found


def models_of(app: App, url: str = "") -> list[str]:
    """The models that a running app lists; raises InvalidInput for one that cannot be asked, Offline if it is away."""
    from modelhub.remote.local import LocalServer, model_names  # noqa: PLC0415

    if app.server is None or not app.server.models:
        raise InvalidInput(
            f"{app.display_name} cannot be asked for its models.", hint="`modelhub apps` shows the others."
        )
    with LocalServer(url or f"http://127.0.0.1:{app.server.ports[0]}", timeout=10.0) as server:
        return model_names(server, app.server)


def refresh(app: App, target: Target) -> bool:
    """Make a running app look at its folders again; False if it has nothing to be asked for that."""
    from modelhub.remote.local import LocalServer, refresh  # noqa: PLC0415

    if app.server is None or not app.server.refresh:
        return False
    with LocalServer(target.options.url or f"http://127.0.0.1:{app.server.ports[0]}", timeout=30.0) as server:
        refresh(server, app.server)
    return True
