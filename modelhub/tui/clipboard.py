"""The clipboard of the terminal's user, which need not be the clipboard of this machine."""

import os
from collections.abc import Mapping
from typing import Any

import pyperclip
from textual.app import App

_DEAF_TERMINALS = ("linux", "dumb")
_DEAF_PROGRAMS = ("Apple_Terminal",)
"""Terminals that do not take a text by OSC 52."""


def copy(app: App[Any], text: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Put a text into the clipboard, by the terminal (OSC 52) and by the desktop; False if neither can be.

    Over ssh only the terminal is asked: the desktop of this machine is not the one the user sits at.
    """
    app.copy_to_clipboard(text)
    if "SSH_CONNECTION" not in environ and "SSH_TTY" not in environ:
        try:
            pyperclip.copy(text)
        except (pyperclip.PyperclipException, OSError):
            pass
        else:
            return True
    return environ.get("TERM", "") not in _DEAF_TERMINALS and environ.get("TERM_PROGRAM", "") not in _DEAF_PROGRAMS
