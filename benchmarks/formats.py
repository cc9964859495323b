"""Reading headers: large LoRAs against safetensors' own reader, PyTorch files, and Hugging Face folders."""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from safetensors import safe_open

from benchmarks.measure import best, verdict, workplace
from modelhub.formats.inspect import inspect
from modelhub.samples import architectures, library, writers
from modelhub.services.judge import Judge

FILES = 40
FOLDERS = 100


def inspect_file(path: Path) -> None:
    with path.open("rb", buffering=0) as stream:
        inspect(stream, path.stat().st_size, path.name)


def open_with_library(path: Path) -> None:
    with ExitStack() as stack:
        opened = stack.enter_context(safe_open(path, framework="numpy"))
        opened.metadata()
        list(opened.keys())


def for_each(work: Callable[[Path], None], paths: Sequence[Path]) -> None:
    for path in paths:
        work(path)


def main() -> bool:
    kept = True
    with workplace() as place:
        names = dict(list(architectures.kohya_sdxl().items())[:2100])  # 700 modules: down, up and alpha
        loras = [writers.safetensors(place / f"{n}.safetensors", names, mark=str(n)) for n in range(FILES)]
        ours = best(lambda: for_each(inspect_file, loras)) / FILES
        theirs = best(lambda: for_each(open_with_library, loras)) / FILES
        print(f"LoRA of 700 modules: ours {ours * 1e3:.2f} ms, safetensors.safe_open and keys {theirs * 1e3:.2f} ms")
        kept &= verdict("the same, library/ours", theirs / ours, ">= 0.8", kept=theirs / ours >= 0.8)

        shapes = {f"model.diffusion_model.input_blocks.{n}.attn.to_q.weight": (4, 4, 3, 3) for n in range(1000)}
        pickles = [writers.torch_zip(place / f"{n}.ckpt", shapes) for n in range(10)]
        rate = len(pickles) / best(lambda: for_each(inspect_file, pickles))
        kept &= verdict("PyTorch files of 1,000 tensors, files/s", rate, ">= 100", kept=rate >= 100)

        folders = [library.language_folder(place / "hf" / f"{n}") for n in range(FOLDERS)]
        judge = Judge(0.5)
        judge.at(str(folders[0]))
        rate = FOLDERS / best(lambda: [judge.at(str(folder)) for folder in folders])
        kept &= verdict("Hugging Face folders, inspected and classified, folders/s", rate, ">= 200", kept=rate >= 200)
    return kept


if __name__ == "__main__":
    sys.exit(not main())
