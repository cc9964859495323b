"""Who changes a hub, and through which door: the audit log says both."""

import getpass
from contextvars import ContextVar

DOOR: ContextVar[str] = ContextVar("door", default="library")
"""The door that is used: cli, tui, api, or the library itself."""


def who() -> str:
    """The user's name as the system knows it; empty if it does not."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
