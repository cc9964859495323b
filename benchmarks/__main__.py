"""Every benchmark, one after the other: `make bench`."""

import sys

from benchmarks import classification, deployment, formats, headers, ingest, interface, rescan, startup

if __name__ == "__main__":
    kept = [
        benchmark.main()
        for benchmark in (startup, classification, headers, formats, interface, deployment, ingest, rescan)
    ]
    sys.exit(not all(kept))
