"""Every benchmark, one after the other: `make bench`."""

import sys

from benchmarks import headers, ingest, rescan, startup

if __name__ == "__main__":
    kept = [benchmark.main() for benchmark in (startup, headers, ingest, rescan)]
    sys.exit(not all(kept))
