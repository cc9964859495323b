"""Civitai, asked by hash. Nothing but hashes is sent.

Endpoints: `POST /api/v1/model-versions/by-hash/ids` (10,000 SHA-256 at once, versions' ids), `POST .../by-hash` (100,
full versions), `GET .../by-hash/{hash}` (any kind of hash). Source: the site's developer documentation.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelhub.core.errors import RemoteRefused
from modelhub.remote.client import Client

_BY_HASH = "/api/v1/model-versions/by-hash"
IDS_AT_ONCE = 10_000
VERSIONS_AT_ONCE = 100


def versions(client: Client, hashes: Sequence[str]) -> Iterator[dict[str, Mapping[str, Any] | None]]:
    """By SHA-256 (lower case), the version that each file is of, or None; batch by batch."""
    for start in range(0, len(hashes), IDS_AT_ONCE):
        batch = hashes[start : start + IDS_AT_ONCE]
        known = _known(client, batch)
        unknown = [one for one in batch if one not in known]
        if unknown:
            yield dict.fromkeys(unknown)
        listed = [one for one in batch if one in known]
        for first in range(0, len(listed), VERSIONS_AT_ONCE):
            yield _full(client, listed[first : first + VERSIONS_AT_ONCE])


def _known(client: Client, batch: Sequence[str]) -> set[str]:
    """Those of the hashes that the site knows; all of them where it cannot be asked for so many at once."""
    answer = client.post(f"{_BY_HASH}/ids", [one.upper() for one in batch])
    if answer is None:
        return set(batch)
    return {str(one.get("hash", "")).lower() for one in _listed(answer) if isinstance(one, Mapping)}


def _full(client: Client, batch: Sequence[str]) -> dict[str, Mapping[str, Any] | None]:
    answer = client.post(_BY_HASH, [one.upper() for one in batch])
    found: dict[str, Mapping[str, Any] | None] = dict.fromkeys(batch)
    for version in _listed(answer or []):
        for sha256 in _digests(version):
            if found.get(sha256, version) is None:
                found[sha256] = version
    return found


def by_hash(client: Client, digest: str) -> Mapping[str, Any] | None:
    """The version of a file by any of its hashes, such as the AutoV3 of its tensors, if it lists that hash."""
    answer = client.get(f"{_BY_HASH}/{digest.upper()}")
    return answer if any(one.startswith(digest) for one in _digests(answer)) else None


def _listed(answer: Any) -> list[Any]:
    if not isinstance(answer, list):
        raise RemoteRefused("Civitai answered in a form that is not known.", hint="Try again later.")
    return answer


def _digests(version: Any) -> Iterator[str]:
    """SHA-256 and AutoV3 of each file of a version, in lower case."""
    files = version.get("files") if isinstance(version, Mapping) and version.get("id") else None
    for file in files if isinstance(files, list) else ():
        hashes = file.get("hashes") if isinstance(file, Mapping) else None
        if isinstance(hashes, Mapping):
            yield from (str(hashes[kind]).lower() for kind in ("SHA256", "AutoV3") if hashes.get(kind))
