"""The Hugging Face hub, asked for a repository whose name is known, to prove a file by the SHA-256 that it lists."""

import re
from collections.abc import Mapping
from typing import Any

from modelhub.remote.client import Client

REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


def repository(client: Client, name: str) -> Mapping[str, Any] | None:
    """What the hub says of a repository, with its files; None if there is none of that name."""
    if not REPOSITORY.fullmatch(name):
        return None
    answer = client.get(f"/api/models/{name}", {"blobs": "true"})
    return answer if isinstance(answer, Mapping) and answer.get("id") else None


def holds(found: Mapping[str, Any], sha256: str) -> bool:
    """Whether the repository lists a file of that SHA-256."""
    listed = found.get("siblings")
    return any(
        isinstance(one, Mapping)
        and isinstance(one.get("lfs"), Mapping)
        and str(one["lfs"].get("sha256") or one["lfs"].get("oid") or "").lower() == sha256
        for one in (listed if isinstance(listed, list) else ())
    )
