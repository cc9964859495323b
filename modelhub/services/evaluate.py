"""How well the rules judge models whose labels are known: a folder of the user's, or headers without weights.

A labelled folder is either one whose subfolders are called after model types, or one with a `labels.json` that maps
paths to `{"type", "base"}`, with `accept_type` and `accept_base` for further right answers. Files called `*.jsonl.gz`
hold labelled headers, one a line: what `corrections export` writes.
"""

import gzip
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelhub.classify import weigh
from modelhub.core.errors import InvalidInput, ModelHubError, from_os_error
from modelhub.core.events import Progress, Result, Task
from modelhub.core.names import printable
from modelhub.core.types import NOT_A_MODEL, UNKNOWN, Classified, Inspection, Tensor, Verdict
from modelhub.services.judge import Judge
from modelhub.store.rule_forms import Row

LABELS = "labels.json"
HEADERS = ".jsonl.gz"
_BINS = 10
_SURE = 0.8
_WORD = 3


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled model: what it is called, its right answers, and how it is judged."""

    name: str
    types: frozenset[str]
    bases: frozenset[str]
    judge: Callable[[], Verdict]


@dataclass(frozen=True, slots=True)
class Miss:
    """A model that was judged wrongly. Confidence 0-1."""

    name: str
    type: str
    base: str
    judged_type: str
    judged_base: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Shares 0-1 of `models` that were judged right; `calibration_error` is the expected one over ten bins.

    `confusion` counts, by right type, what was said. `bins` holds lower bound, models and share right.
    """

    models: int
    type_right: float
    base_right: float
    both_right: float
    calibration_error: float
    confidence_right: float
    confidence_wrong: float
    sure_and_wrong: int
    bins: tuple[tuple[float, int, float], ...]
    confusion: Mapping[str, Mapping[str, int]]
    misses: tuple[Miss, ...]


def evaluate(judge: Judge, place: Path, *, blind: bool = False) -> Task[Evaluation]:
    """Judge every labelled model in a folder or file; `blind` gives headers their meaningless names."""
    cases = list(_cases(judge, place, blind=blind))
    if not cases:
        raise InvalidInput(f"{printable(place)} holds nothing labelled.", hint=f"Give it a {LABELS}; see the README.")
    judged: list[tuple[Case, Verdict, bool, bool]] = []
    for number, case in enumerate(cases):
        if number % 100 == 0:
            yield Progress("evaluate", number, len(cases), "models", case.name)
        verdict = case.judge()
        judged.append((case, verdict, verdict.type in case.types, _family_right(verdict, case)))
    yield Result(_summed_up(judged))


def labelled_header(classified: Classified, name: str, truth: Mapping[str, str], keys: Iterable[str]) -> str:
    """One line of a header file: tensors, format and size, and of the metadata only the given keys."""
    inspection = classified.inspection
    told = {key: inspection.metadata[key] for key in sorted(set(keys)) if key in inspection.metadata}
    record = {
        "name": name,
        "container": inspection.container,
        "size": inspection.size,
        "metadata": told,
        "files": inspection.files,
        "tensors": {key: [tensor.dtype, tensor.shape] for key, tensor in inspection.tensors.items()},
        "truth": dict(truth),
    }
    return json.dumps(record, ensure_ascii=False)


def _cases(judge: Judge, place: Path, *, blind: bool) -> Iterator[Case]:
    if place.name.endswith(HEADERS):
        yield from _from_headers(judge, place, blind=blind)
        return
    labels = _labels(place)
    for path in sorted(place.rglob(f"*{HEADERS}")):
        yield from _from_headers(judge, path, blind=blind)
    for name, truth in labels.items():
        yield _case(name, truth, _from_file(judge, place / name))


def _labels(place: Path) -> dict[str, Row]:
    """By relative path, what is right; from labels.json, else from the names of the subfolders."""
    stated = place / LABELS
    if stated.is_file():
        try:
            told = json.loads(stated.read_text(encoding="utf-8"))
        except OSError as error:
            raise from_os_error(error, printable(stated)) from error
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{printable(stated)} is not valid JSON.", hint="Correct it.") from error
        if not isinstance(told, dict) or not all(_is_truth(one) and "\0" not in path for path, one in told.items()):
            raise InvalidInput(f"{printable(stated)} must map paths to types.", hint='{"a.gguf": {"type": "llm"}}')
        return told
    found: dict[str, Row] = {}
    for folder in sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else ():
        for path in sorted(folder.iterdir()):
            if not path.name.startswith(".") and not path.name.endswith(HEADERS):
                found[f"{folder.name}/{path.name}"] = {"type": folder.name}
    return found


def _is_truth(given: Any) -> bool:
    """Whether something says a type, and a base or further right answers only as texts."""
    return (
        isinstance(given, Mapping)
        and bool(given.get("type"))
        and all(isinstance(given.get(name) or "", str) for name in ("type", "base"))
        and all(
            isinstance(given.get(name, []), list) and all(isinstance(one, str) for one in given.get(name, []))
            for name in ("accept_type", "accept_base")
        )
    )


def _from_file(judge: Judge, path: Path) -> Callable[[], Verdict]:
    def told() -> Verdict:
        try:
            return judge.at(str(path)).verdict
        except ModelHubError:
            return Verdict(UNKNOWN, "", "", "", 0.0, (), (), {})

    return told


def _from_headers(judge: Judge, path: Path, *, blind: bool) -> Iterator[Case]:
    if not path.is_file():
        raise InvalidInput(f"{printable(path)} is no regular file.", hint="Name a file of headers.")
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                yield _header_case(judge, json.loads(line), f"{path.name}:{number}", blind=blind)
    except (OSError, EOFError) as error:
        raise InvalidInput(f"{printable(path)} cannot be read as headers.", hint="It must be gzip'd JSON.") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"{printable(path)} holds a line that is no header.", hint="Export it anew.") from error


def _header_case(judge: Judge, record: Any, where: str, *, blind: bool) -> Case:
    name = str((blind and record.get("blind_name")) or record["name"])
    tensors = {key: Tensor(str(dtype), tuple(map(int, shape))) for key, (dtype, shape) in record["tensors"].items()}
    inspection = Inspection(
        str(record["container"]), int(record["size"]), tensors=tensors, metadata=dict(record["metadata"]),
        files=tuple(record.get("files", ())),
    )  # fmt: skip
    truth = dict(record["truth"])
    if blind:
        truth |= {key.removeprefix("blind_"): truth[key] for key in truth if key.startswith("blind_")}
    if not _is_truth(truth):
        raise ValueError
    return _case(
        f"{where} {record['name']}",
        truth,
        lambda: weigh.classify(inspection, name, judge.book, judge.threshold).verdict,
    )


def _case(name: str, truth: Row, judge: Callable[[], Verdict]) -> Case:
    types = {truth["type"], *truth.get("accept_type", ())}
    types |= {NOT_A_MODEL} if UNKNOWN in types else set()
    bases = {truth.get("base") or "", *truth.get("accept_base", ())}
    return Case(name, frozenset(types), frozenset(bases), judge)


def _family_right(verdict: Verdict, case: Case) -> bool:
    """The same family, or one whose name shares a word: Llama 3.1 is a Llama."""
    if "*" in case.bases or verdict.base in case.bases or verdict.sub_type in case.bases:
        return True
    said, plain = _words(verdict.base), _plain(verdict.base)
    return any(plain == _plain(base) or said & _words(base) for base in case.bases)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _words(text: str) -> set[str]:
    return {word for word in re.split(r"[^a-z]+", text.lower()) if len(word) >= _WORD}


def _summed_up(judged: Sequence[tuple[Case, Verdict, bool, bool]]) -> Evaluation:
    total = len(judged)
    right = [verdict.confidence for _, verdict, kind, base in judged if kind and base]
    wrong = [verdict.confidence for _, verdict, kind, base in judged if not (kind and base)]
    bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    for case, verdict, kind, base in judged:
        bins[min(_BINS - 1, int(verdict.confidence * _BINS))].append((verdict.confidence, kind and base))
        confusion[verdict.type if kind else min(case.types)][verdict.type] += 1
    error = sum(abs(sum(sure for sure, _ in one) - sum(well for _, well in one)) for one in bins.values()) / total
    return Evaluation(
        models=total,
        type_right=sum(kind for _, _, kind, _ in judged) / total,
        base_right=sum(base for _, _, _, base in judged) / total,
        both_right=len(right) / total,
        calibration_error=error,
        confidence_right=sum(right) / len(right) if right else 0.0,
        confidence_wrong=sum(wrong) / len(wrong) if wrong else 0.0,
        sure_and_wrong=sum(sure >= _SURE for sure in wrong),
        bins=tuple(
            (key / _BINS, len(one), sum(well for _, well in one) / len(one)) for key, one in sorted(bins.items())
        ),
        confusion={kind: dict(said.most_common()) for kind, said in sorted(confusion.items())},
        misses=tuple(
            Miss(case.name, min(case.types), min(case.bases), verdict.type, verdict.base, verdict.confidence)
            for case, verdict, kind, base in judged
            if not (kind and base)
        ),
    )
