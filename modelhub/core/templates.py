"""Templates of names: paths relative to a target's folder, with fields in braces."""

import os
import re

from modelhub.core.errors import InvalidInput
from modelhub.core.names import printable

FIELDS = (
    "file", "name", "clean", "model", "base", "family", "sub_type", "variant", "type", "size", "quant", "precision",
    "format", "architecture", "primary", "secondary", "specialization", "license", "publisher", "repo", "hash",
)  # fmt: skip
"""What a template may name in braces. `{sub_type|base|type}` takes the first that is not empty."""

FIELD = re.compile(r"\{([^{}]*)\}")


def check_url(url: str) -> str:
    """The address of an app without a slash at its end; raises InvalidInput if it is none."""
    if url and not url.startswith(("http://", "https://")):
        raise InvalidInput(f"{printable(url)} is no address.", hint="Write http://HOST:PORT.")
    return url.rstrip("/")


def check_naming(text: str) -> str:
    """A template of names, in which a colon parts a name and its tag; raises InvalidInput."""
    check_template(text.replace(":", "/"))
    return text


def check_folder(text: str) -> str:
    """A folder relative to a target's base, or beside it; raises InvalidInput if it cannot be filled."""
    inside = text.removeprefix("../")  # as Forge keeps its embeddings beside its models
    if inside != ".":
        check_template(inside)
    return text


def fixed_part(folder: str) -> str:
    """As much of a folder's template as is the same for all models."""
    return folder.split("{", maxsplit=1)[0].rstrip("/")


def check_template(text: str) -> str:
    """`text` if it is a template that can be filled; raises InvalidInput."""
    named = [word for group in FIELD.findall(text) for word in group.split("|")]
    unknown = [word for word in named if word not in FIELDS]
    if unknown or "{" in FIELD.sub("", text) or "}" in FIELD.sub("", text):
        what = printable(unknown[0]) if unknown else "a brace"
        raise InvalidInput(
            f"The template {printable(text)!r} names {what}, which is no field.", hint=f"Fields: {', '.join(FIELDS)}."
        )
    parts = text.removesuffix("/").split("/")
    if os.path.isabs(text) or ".." in parts or "\0" in text or not all(parts):
        raise InvalidInput(
            f"The template {printable(text)!r} leads out of the target.", hint="Write a path relative to its folder."
        )
    return text
