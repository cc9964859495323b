"""The audit log: every single edit, removal, insertion and swap of a line is found, and the first bad line named."""

import json
from pathlib import Path

import pytest

from modelhub.files.audit import AuditLog, Head

LINES = 6


@pytest.fixture
def log(tmp_path: Path) -> tuple[AuditLog, Path, Head]:
    path = tmp_path / "logs/audit.jsonl"
    written = AuditLog(path)
    head = Head(0, "")
    for number in range(LINES):
        head = written.append({"what": "set", "detail": {"tag": f"ä{number}"}})
    return written, path, head


def test_an_untouched_log_is_as_it_was_written(log: tuple[AuditLog, Path, Head]) -> None:
    written, _, head = log
    assert written.verify(head) == (LINES, None)
    assert [entry["detail"]["tag"] for entry in written.entries()] == [f"ä{number}" for number in range(LINES)]


@pytest.mark.parametrize("number", range(LINES))
def test_an_edited_line_is_named(log: tuple[AuditLog, Path, Head], number: int) -> None:
    written, path, head = log
    lines = path.read_bytes().split(b"\n")
    lines[number] = lines[number].replace(b"set", b"get")
    path.write_bytes(b"\n".join(lines))
    _, fault = written.verify(head)
    assert fault is not None
    assert fault.line == number + 1


@pytest.mark.parametrize("number", range(LINES))
def test_a_removed_line_is_named(log: tuple[AuditLog, Path, Head], number: int) -> None:
    written, path, head = log
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(lines[:number] + lines[number + 1 :]))
    _, fault = written.verify(head)
    assert fault is not None
    assert fault.line == number + 1


@pytest.mark.parametrize("number", range(LINES - 1))
def test_two_swapped_lines_are_found_at_the_first(log: tuple[AuditLog, Path, Head], number: int) -> None:
    written, path, head = log
    lines = path.read_bytes().split(b"\n")
    lines[number], lines[number + 1] = lines[number + 1], lines[number]
    path.write_bytes(b"\n".join(lines))
    _, fault = written.verify(head)
    assert fault is not None
    assert fault.line == number + 1


def test_an_edit_by_somebody_who_knows_the_form_breaks_the_chain(log: tuple[AuditLog, Path, Head]) -> None:
    written, path, head = log
    forged = AuditLog(path.parent / "forged.jsonl")
    for number in range(LINES):
        forged.append({"what": "set", "detail": {"tag": "forged" if number == 2 else f"ä{number}"}})
    ours, theirs = path.read_bytes().split(b"\n"), (path.parent / "forged.jsonl").read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*ours[:2], theirs[2], *ours[3:]]))
    assert written.verify(head)[1] == (3, "the line after it followed another one")
    path.write_bytes(b"\n".join(theirs))
    assert written.verify(head)[1] == (LINES, "another line was written there")


def test_a_line_that_a_crash_cut_off_is_dropped_by_the_next(log: tuple[AuditLog, Path, Head]) -> None:
    written, path, _ = log
    with path.open("ab") as stream:
        stream.write(b'{"line": 7, "what')
    head = written.append({"what": "next"})
    assert head.line == LINES + 1
    assert written.verify(head) == (LINES + 1, None)
    assert json.loads(path.read_bytes().splitlines()[-1])["what"] == "next"
