"""What a scan counts as it goes on, and its totals."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelhub.core.events import FileSeen, Outcome


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """Totals of one scan. Bytes are of files; `missing` counts models of which nothing can be reached."""

    files: int
    outcomes: Mapping[Outcome, int]
    bytes_stored: int
    bytes_duplicate: int
    missing: int
    seconds: float
    dry_run: bool


@dataclass
class Tally:
    """What has happened so far."""

    files: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    bytes: Counter[Outcome] = field(default_factory=Counter)
    missing: int = 0

    def summary(self, seconds: float, *, dry_run: bool) -> ScanSummary:
        return ScanSummary(
            files=self.files,
            outcomes={outcome: count for outcome, count in self.outcomes.items() if count},
            bytes_stored=self.bytes["added"],
            bytes_duplicate=self.bytes["duplicate"],
            missing=self.missing,
            seconds=round(seconds, 3),
            dry_run=dry_run,
        )

    def count(self, seen: FileSeen) -> None:
        outcome = seen.outcome
        self.outcomes[outcome] += 1
        if outcome in ("added", "duplicate"):
            self.bytes[outcome] += seen.size
