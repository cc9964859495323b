"""A target's options as JSON in its row, which people may also write by hand."""

import json
from collections.abc import Mapping
from typing import Any

from modelhub.core.apps import Options
from modelhub.core.errors import ModelHubError
from modelhub.core.rules import read_rule, written_rule
from modelhub.core.templates import check_naming, check_url

_RULES = ("include", "exclude", "rules")
_TEXTS = ("naming", "url", "config")


def read_options(text: str) -> Options:
    """The options of a row. One that cannot be right is told in `problem`; nothing is deployed by it."""
    try:
        given = json.loads(text or "{}")
        if not isinstance(given, Mapping) or set(given) - {*_RULES, *_TEXTS}:
            return Options(problem=f"only {', '.join((*_TEXTS, *_RULES))} are options")
        values: dict[str, Any] = {key: given.get(key, "") for key in _TEXTS}
        if not all(isinstance(value, str) for value in values.values()):
            return Options(problem=f"{', '.join(_TEXTS)} are texts")
        if values["naming"]:
            check_naming(values["naming"])
        check_url(values["url"])
        values |= {key: tuple(read_rule(one) for one in given.get(key, ())) for key in _RULES}
        return Options(**values)
    except ModelHubError as error:
        return Options(problem=error.message)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        return Options(problem=str(error))


def write_options(options: Options) -> str:
    """Only what is set."""
    made: dict[str, Any] = {key: getattr(options, key) for key in _TEXTS if getattr(options, key)}
    made |= {key: [written_rule(rule) for rule in getattr(options, key)] for key in _RULES if getattr(options, key)}
    return json.dumps(made, ensure_ascii=True)
