"""Files that attack whoever reads models, and sound ones that must not be taken for them.

`python -m tests.hostile FOLDER` writes them all, with a `cases.json` that says what must become of each.
"""

from collections.abc import Iterator
from pathlib import Path

from tests.hostile import benign, bundled, calls, gadgets, graphs, headers, malformed, zips
from tests.hostile.case import Case

_SOURCES = (calls, gadgets, malformed, zips, bundled, headers, graphs, benign)


def every_case() -> Iterator[Case]:
    for source in _SOURCES:
        yield from source.cases()


def write(folder: Path) -> list[dict[str, object]]:
    """Write every case; what `cases.json` says of each."""
    (folder / "canaries").mkdir(parents=True, exist_ok=True)
    told: list[dict[str, object]] = []
    for case in every_case():
        path = case.write(folder)
        told.append({
            "file": str(path.relative_to(folder)), "class": case.kind, "expected": case.expected, "armed": case.armed,
            "canary": str(case.canary(folder).relative_to(folder)),
        })  # fmt: skip
    return told
