"""A hundred thousand models and a million: import, filter at each letter, statistics, plans; and flat memory."""

import hashlib
import resource
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import best, verdict, workplace
from modelhub.core import config
from modelhub.core.query import parse
from modelhub.core.types import ModelFilter
from modelhub.services.hub import Hub, open_hub
from modelhub.services.search import Narrowing
from modelhub.services.verify import Scope
from modelhub.store.engine import Database
from modelhub.store.transfer import Row, Transfer
from modelhub.tui.entries import Entry

LARGE, HUGE = 100_000, 1_000_000
AT_ONCE = 2000
WORD = "dream"
_MODEL: Row = {
    "primary_type": "lora", "sub_type": "sdxl", "base": "sdxl", "variant": "", "confidence": 0.9, "triggers": "",
    "classification_method": "tensors", "file_extension": ".safetensors", "file_format": "safetensors",
    "parameters": 1, "context_length": 0, "state": "ok", "state_code": "", "state_message": "", "missing": False,
    "deleted": False, "notes": "", "candidates": "[]", "rules_digest": "x", "category_primary": "", "facts": "",
    "category_secondary": "", "category_specialization": "", "modalities": "", "capabilities": "", "license": "",
    "languages": "", "reclassify": "", "classified_at": "2026-01-01 00:00:00", "created_at": "2026-01-01 00:00:00",
}  # fmt: skip


def name_of(number: int) -> str:
    return f"{WORD if not number % 5 else 'style'} model {number}.safetensors"


def rows(start: int, end: int, *, metadata: int) -> Iterator[Row]:
    """Models as a bundle has them."""
    for number in range(start, end):
        sha256, name = hashlib.sha256(str(number).encode()).hexdigest(), name_of(number)
        file = {
            "relative_path": name, "role": "main", "sha256": sha256, "name": name, "size": 1000 + number,
            "blake3": "", "autov1": "", "autov3": "", "crc32": "", "stored": False, "verified_at": "",
            "created_at": "2026-01-01 00:00:00",
        }  # fmt: skip
        told = [
            {"metadata_type": "safetensors", "key": f"key {key}", "value": f"value {key} of {number}"}
            for key in range(metadata)
        ]
        model = _MODEL | {"file_hash": sha256, "filename": name, "file_size": 1000 + number}
        yield {"model": model, "files": [file], "model_metadata": told}


def raw_import(place: Path, hub: Hub, told: list[Row]) -> float:
    """Seconds that sqlite3's own `executemany` needs for the same models and metadata."""
    raw = sqlite3.connect(place / "raw.db", isolation_level=None)
    with sqlite3.connect(hub.places.library) as ours:
        query = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name IN ('models', 'model_metadata')"
        for (statement,) in ours.execute(query):
            raw.execute(statement)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = FULL")
    columns = list(told[0]["model"])
    started = time.perf_counter()
    raw.execute("BEGIN")
    marks = ", ".join("?" * len(columns))
    raw.executemany(
        f"INSERT INTO models ({', '.join(columns)}) VALUES ({marks})", [tuple(one["model"].values()) for one in told]
    )
    raw.executemany(
        "INSERT INTO model_metadata (model_id, metadata_type, key, value) VALUES (?, ?, ?, ?)",
        [(number, *row.values()) for number, one in enumerate(told, 1) for row in one["model_metadata"]],
    )
    raw.execute("COMMIT")
    taken = time.perf_counter() - started
    raw.close()
    return taken


def take(transfer: Transfer, told: list[Row]) -> float:
    started = time.perf_counter()
    for at in range(0, len(told), AT_ONCE):
        transfer.take(told[at : at + AT_ONCE], {})
    return time.perf_counter() - started


def per_letter(fit: Any) -> float:
    """The slowest letter of a word typed from nothing, in milliseconds; best of three."""

    def slowest() -> float:
        taken = []
        for end in range(1, len(WORD) + 1):
            started = time.perf_counter()
            fit(WORD[:end])
            taken.append((time.perf_counter() - started) * 1000)
        return max(taken)

    return min(slowest() for _ in range(3))


def main() -> bool:
    kept = True
    with workplace() as place, open_hub(config.load({}, hub=str(place / "hub"))) as hub:
        database = Database(hub.places.library)
        transfer = Transfer(database)
        told = list(rows(0, LARGE, metadata=20))
        ours, raw = take(transfer, told), raw_import(place, hub, told)
        print(f"{LARGE} models with 20 metadata each: executemany {raw:.2f} s, import {ours:.2f} s")
        kept &= verdict("import, executemany/ours", raw / ours, ">= 0.4", kept=raw / ours >= 0.4)
        del told

        narrowing = Narrowing[Entry]()
        narrowing.take([Entry(one) for one in hub.models.listed()])
        slow = per_letter(lambda word: narrowing.fit(parse(word)))
        kept &= verdict(f"filter on {LARGE} rows, slowest letter, ms", slow, "<= 15", kept=slow <= 15)
        counted = best(hub.models.statistics) * 1000
        scope = Scope(part=(1, 1000), quick=True)
        checked = best(lambda: [*hub.verifier.verify(scope)], rounds=1)
        print(f"{LARGE} models: statistics {counted:.0f} ms; a thousandth verified {checked:.2f} s")

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for start in range(LARGE, HUGE, LARGE):
            take(transfer, list(rows(start, start + LARGE, metadata=0)))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / peak
        kept &= verdict("memory, importing nine times as many more, peak/peak", grown, "<= 1.2", kept=grown <= 1.2)
        started = time.perf_counter()
        hub.models.find(ModelFilter(text=WORD), limit=100)
        print(f"index of {HUGE} models made in {time.perf_counter() - started:.1f} s, once")
        slow = per_letter(lambda word: hub.models.find(ModelFilter(text=word), limit=100))
        missed = best(lambda: hub.models.find(ModelFilter(text="no such model"), limit=100)) * 1000
        kept &= verdict(f"filter on {HUGE} rows, slowest letter, ms", slow, "<= 120", kept=slow <= 120)
        kept &= verdict(f"filter on {HUGE} rows that fits none, ms", missed, "<= 120", kept=missed <= 120)
        database.close()
    return kept


if __name__ == "__main__":
    sys.exit(not main())
