"""Inspecting and classifying without hashing: files a second, growth with their number, and a large vocabulary."""

import os
import sys
from functools import partial
from pathlib import Path

import gguf

from benchmarks.measure import best, verdict, workplace
from modelhub.core import config
from modelhub.services.judge import Judge, model_files
from tests import build

COUNTS = (500, 5_000)
VOCABULARY = 128_000
MERGES = 280_000


def fill(folder: Path, count: int) -> None:
    for number in range(count):
        if number % 2:
            build.safetensors(folder / f"{number}.safetensors", build.SDXL_LORA, mark=str(number))
        else:
            build.gguf(folder / f"{number}.gguf", build.llm_pairs("llama", str(number)), build.LLM_TENSORS)


def classify(folder: Path) -> None:
    settings = config.load({})
    judge = Judge(settings.confidence_threshold)
    for path in model_files([str(folder)], settings):
        judge.named(path, os.path.basename(path))


def main() -> bool:
    kept = True
    with workplace() as place:
        seconds = {}
        for count in COUNTS:
            fill(place / str(count), count)
            seconds[count] = best(partial(classify, place / str(count))) / count
            rate = 1 / seconds[count]
            kept &= verdict(f"scan and classify {count} small files, files/s", rate, ">= 400", kept=rate >= 400)
        growth = seconds[COUNTS[1]] / seconds[COUNTS[0]]
        kept &= verdict("growth per file from 500 to 5,000", growth, "<= 1.3", kept=growth <= 1.3)
        pairs = build.llm_pairs("llama", "large") | {
            "tokenizer.ggml.tokens": [f"token number {number}" for number in range(VOCABULARY)],
            "tokenizer.ggml.merges": [f"ab {number}" for number in range(MERGES)],
        }
        path = build.gguf(place / "vocabulary.gguf", pairs)
        judge = Judge(0.5)
        judge.named(str(path), path.name)
        ours, library = best(lambda: judge.named(str(path), path.name)), best(lambda: gguf.GGUFReader(path), rounds=1)
        print(f"GGUF with {VOCABULARY} tokens and {MERGES} merges: ours {ours:.3f} s, gguf.GGUFReader {library:.2f} s")
        kept &= verdict("the same, seconds", ours, "<= 0.1", kept=ours <= 0.1)
        kept &= verdict("the same, library/ours", library / ours, "> 1", kept=library > ours)
    return kept


if __name__ == "__main__":
    sys.exit(not main())
