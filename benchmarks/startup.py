"""Start-up against `hf --help` of huggingface_hub, in the same run."""

import sys
from pathlib import Path

from benchmarks.measure import MODELHUB, best, run, verdict, workplace
from tests import build

MODELS = 1_000


def main() -> bool:
    hf = Path(sys.executable).parent / "hf"
    with workplace() as place:
        for number in range(MODELS):
            build.safetensors(place / "in" / f"{number}.safetensors", {"emb_params": (1, 8)}, mark=f"{number:08}")
        run(*MODELHUB, "--hub", place / "hub", "scan", place / "in", "--adopt", "reference", "--quiet")
        theirs = best(lambda: run(hf, "--help"), rounds=5)
        helped = best(lambda: run(*MODELHUB, "--help"), rounds=5)
        listed = best(lambda: run(*MODELHUB, "--hub", place / "hub", "list"), rounds=5)
    print(f"hf --help {theirs:.3f} s, modelhub --help {helped:.3f} s, modelhub list of {MODELS} {listed:.3f} s")
    kept = verdict("modelhub --help / hf --help", helped / theirs, "<= 0.35", kept=helped / theirs <= 0.35)
    return verdict("modelhub list / hf --help", listed / theirs, "<= 1", kept=listed / theirs <= 1) and kept


if __name__ == "__main__":
    sys.exit(not main())
