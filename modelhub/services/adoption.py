"""Files of the user's that stand where links should go, taken into the hub: a link takes their place."""

import json
import os
import stat
from collections.abc import Callable

from modelhub.core.deployment import JournalStep, Plan
from modelhub.core.events import Result, Task
from modelhub.files import links
from modelhub.files.blobs import Blobs
from modelhub.services.tally import ScanSummary


def adopt_conflicts(
    plan: Plan, scan: Callable[[str], Task[ScanSummary]], blobs: Blobs
) -> Task[tuple[JournalStep, ...]]:
    """Scan each file that is to be adopted; what was done is given as steps that can be undone."""
    done: list[JournalStep] = []
    for conflict in plan.conflicts:
        if conflict.resolution != "adopt":
            continue
        before = os.lstat(conflict.path)
        if not stat.S_ISREG(before.st_mode):
            continue
        for event in scan(conflict.path):
            if not isinstance(event, Result):
                yield event
        source = links.target_of(conflict.path)
        address = blobs.contains(source) if source else None
        if source and address:
            told = json.dumps({"mode": stat.S_IMODE(before.st_mode), "mtime_ns": before.st_mtime_ns}).encode()
            done.append(JournalStep("adopted", conflict.path, source, address, "symlink", told))
    yield Result(tuple(done))
