"""Which files are looked into at all: by their names, and by what downloaders leave beside them."""

import os
from collections.abc import Collection

from modelhub.core import plugins
from modelhub.core.names import printable
from modelhub.files import links

_PARTIAL = {".part", ".partial", ".incomplete", ".crdownload", ".download", ".aria2", ".opdownload", ".tmp"}
_CONTROL_FILES = (".aria2", ".part", ".crdownload")


def refusal(path: str, extensions: Collection[str]) -> tuple[str, str] | None:
    """Code and sentence for a file that is not looked into; None for a candidate."""
    if links.is_leftover(os.path.basename(path)):
        return "partial_download", "A file of ours that is not complete."
    suffix = os.path.splitext(os.path.basename(path))[1].lower()
    if suffix in _PARTIAL:
        return "partial_download", "An unfinished download."
    if suffix and suffix not in extensions and suffix not in plugins.suffixes():
        return "extension", f"Files ending in {printable(suffix)} are not models."
    return going_on(path)


def going_on(path: str) -> tuple[str, str] | None:
    """As `refusal`, for a file that is being downloaded."""
    if any(os.path.lexists(path + control) for control in _CONTROL_FILES):
        return "partial_download", "A download that is still going on."
    return None
