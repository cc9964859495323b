"""One local store for all AI models: each file once, known, explained, and deployed to every app.

As a library: `modelhub.Hub.open(folder)` gives the services that the command line and the terminal interface
use; long tasks are generators of typed events (`modelhub.core.events`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelhub.services.hub import Hub

__all__ = ["Hub", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`Hub` is imported when it is used, so that `modelhub --help` stays quick."""
    if name == "Hub":
        from modelhub.services.hub import Hub  # noqa: PLC0415  (see above)

        return Hub
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
