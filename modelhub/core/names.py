"""Names are data: how a path or a title is shown without acting on the terminal.

Paths travel through the program as `str` made by `os.fsdecode`, so bytes that are not UTF-8 are
lone surrogates (PEP 383). `printable` is the form for people, `path_fields` the form for JSON.
"""

import base64
import os
import unicodedata
from collections.abc import Mapping
from pathlib import PurePath

# Control, format (bidi overrides, zero width), surrogate, line and paragraph separators.
_INERT = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = {"\u200d", "\u200c"}  # needed inside emoji and Indic words, and harmless


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if char == "\n":
        return "\\n"
    if char == "\t":
        return "\\t"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def printable(text: str | PurePath) -> str:
    """`text` with every character that could act on a terminal written as an escape."""
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escape(char) if unicodedata.category(char) in _INERT and char not in _JOINERS else char for char in text
    )


def is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def storable(text: str) -> str:
    r"""`text` as SQLite and JSON can hold it: bytes that are not UTF-8 become ``\\xNN`` escapes."""
    if is_utf8(text):
        return text
    return "".join(_escape(char) if 0xD800 <= ord(char) <= 0xDFFF else char for char in text)


def path_fields(path: str | PurePath, key: str = "path") -> Mapping[str, str]:
    """`{"path": text}`, and `path_b64` with the exact bytes where they are not valid UTF-8."""
    text = str(path)
    if is_utf8(text):
        return {key: text}
    exact = base64.b64encode(os.fsencode(text)).decode("ascii")
    return {key: storable(text), f"{key}_b64": exact}


def human_size(size: int) -> str:
    """Bytes as people read them, in decimal units as drives and sites count them: ``6.94 GB``."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.3g} {unit}" if value < 999.5 else f"{value:.0f} {unit}"


def counted(number: int, noun: str) -> str:
    """`1 model`, `2 models`, `2 copies`."""
    several = noun if number == 1 else f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {several}"


def parse_size(text: str) -> int | None:
    """Bytes of ``2G``, ``500MB``, ``1.5 GiB`` or a plain number; None if it is no size."""
    units = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
    cleaned = text.strip().lower().removesuffix("b").strip()
    binary = cleaned.endswith("i")
    cleaned = cleaned.removesuffix("i").strip()
    number, unit = (cleaned[:-1], cleaned[-1]) if cleaned[-1:].isalpha() else (cleaned, "")
    try:
        factor = units[unit] if not binary else 1024 ** (list(units).index(unit))
        value = int(float(number) * factor)
    except (KeyError, ValueError, OverflowError):
        return None
    return value if value >= 0 else None
