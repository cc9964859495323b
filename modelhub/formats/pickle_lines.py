"""What pickles of the first protocols write out in a line, read as C does: a number ends at a zero byte."""

import codecs
import io

from modelhub.formats.pickle_values import UnsafeError

LINES = {"INT", "LONG", "FLOAT", "GET", "PUT", "STRING"}
_LONGEST_NUMBER = 4000


def read_line(name: str, stream: io.BytesIO) -> int | float | str:
    """The argument of opcode `name`; ValueError if every unpickler would refuse it too."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise ValueError
    if name == "STRING":
        return _quoted(line.strip())
    text = line[:-1].split(b"\0", 1)[0].strip().decode("ascii")
    if len(text) > _LONGEST_NUMBER:
        raise UnsafeError("The pickle holds a number that is too long to be looked at.")
    if name == "FLOAT":
        return float(text)
    if name == "INT":
        return text == "01" if text in ("00", "01") else _integer(text)
    return int(text.removesuffix("L"), 0 if name == "LONG" else 10)


def _integer(text: str) -> int:
    """C takes the base from the first letters, and octal numbers without an o."""
    try:
        return int(text, 0)
    except ValueError:
        return int(text, 8 if text.lstrip("+-").startswith("0") else 10)


def _quoted(line: bytes) -> str:
    """Bytes beyond ASCII mean what the program that unpickles says; no name has any."""
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise ValueError
    unescaped, _ = codecs.escape_decode(line[1:-1])
    return str(unescaped, "latin-1")
