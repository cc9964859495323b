"""An example of a format plugin: files that begin with STAR1, a line of JSON, and numbers.

A package makes it known in its pyproject.toml:

    [project.entry-points."modelhub.formats"]
    starfile = "starfile:StarFile"
"""

import json
from collections.abc import Mapping
from typing import BinaryIO

MAGIC = b"STAR1\n"
_LONGEST = 1 << 20


class StarFile:
    """Tells ModelHub what a STAR1 file says of itself."""

    suffixes = (".star",)

    def can_handle(self, head: bytes, name: str) -> bool:
        return head.startswith(MAGIC)

    def extract_metadata(self, stream: BinaryIO, size: int) -> Mapping[str, str]:
        stream.seek(len(MAGIC))
        told = json.loads(stream.readline(_LONGEST))
        return {f"star.{key}": str(value) for key, value in told["about"].items()}

    def list_tensors(self, stream: BinaryIO, size: int) -> Mapping[str, tuple[str, list[int]]]:
        stream.seek(len(MAGIC))
        told = json.loads(stream.readline(_LONGEST))
        return {name: (dtype, shape) for name, (dtype, shape) in told["tensors"].items()}

    def detect_modalities(self, metadata: Mapping[str, object]) -> list[str]:
        return ["AUDIO"] if metadata.get("star.hears") == "True" else ["TEXT"]
