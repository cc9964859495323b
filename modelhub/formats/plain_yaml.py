"""YAML as text only: no numbers, dates or objects are made of it, and no alias is followed, so that it cannot grow."""

from typing import Any

import yaml


class _Plain(yaml.BaseLoader):
    """Every value is a text, a list or a mapping; an alias is refused."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError
        return super().compose_node(parent, index)


def load(text: str | bytes) -> dict[str, Any]:
    """The mapping that a document is; empty if it is anything else or cannot be read."""
    try:
        told = yaml.load(text, _Plain)  # noqa: S506  (makes nothing but text, lists and mappings)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError):
        return {}
    return {str(key): value for key, value in told.items()} if isinstance(told, dict) else {}
