"""What `doctor` finds."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Check:
    """One finding of `doctor`."""

    name: str
    status: Literal["ok", "warning", "problem"]
    message: str
    hint: str = ""
    sha256: str = ""
