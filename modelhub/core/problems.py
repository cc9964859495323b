"""The catalogue of problems: what each code means and what to do, and the troubleshooting page made of it."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from modelhub.core.errors import NotFound
from modelhub.core.names import printable


class Known(NamedTuple):
    """One problem: its code, what it means, what to do."""

    code: str
    means: str
    do: str


@cache
def _document() -> Any:
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def every() -> list[Known]:
    """All known problems, by code."""
    return [Known(code, *told) for code, told in sorted(_document()["problems"].items())]


def explain(code: str) -> Known:
    """Raises NotFound for a code that is none."""
    for one in every():
        if one.code == code:
            return one
    raise NotFound(f"There is no problem {printable(code)!r}.", hint="`modelhub doctor --page` lists all.")


def page() -> str:
    """The troubleshooting page, in Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Troubleshooting"
    yield ""
    yield "Made by `modelhub doctor --page` from `modelhub/core/problems.yaml`. `modelhub doctor` checks a hub and says"
    yield "what to do; `modelhub doctor --bundle FILE` collects what a bug report needs, without secrets."
    for symptom in _document()["symptoms"]:
        yield from ("", f"## {symptom['title']}", "")
        yield from (f"- {step}" for step in symptom["steps"])
    yield from ("", "## Problems by their codes", "", "`--json` gives the code of each; so do the logs.", "")
    yield from ("| code | what it means | what to do |", "|---|---|---|")
    yield from (f"| `{one.code}` | {one.means} | {one.do} |" for one in every())
