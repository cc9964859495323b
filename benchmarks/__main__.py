"""Every benchmark, one after the other: `make bench`."""

import sys

from benchmarks import (
    classification,
    copies,
    deployment,
    formats,
    headers,
    ingest,
    interface,
    rescan,
    scale,
    startup,
    verification,
)  # fmt: skip

BENCHMARKS = (
    startup, classification, headers, formats, interface, deployment, ingest, verification, rescan, copies, scale,
)  # fmt: skip

if __name__ == "__main__":
    kept = [benchmark.main() for benchmark in BENCHMARKS]
    sys.exit(not all(kept))
