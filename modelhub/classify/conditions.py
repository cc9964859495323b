"""When a rule fires: conditions over a header that compose, read from data and asked of one file.

A condition is a mapping. All that it gives must hold:

    all, any, none   tensor-name patterns, or conditions again
    shapes           pattern: shape; some tensor of that name has that shape (null is any length)
    dtypes           pattern: dtype or list of dtypes; some tensor of that name has one of them
    count            pattern: [least, most]; so many tensors have such names (null is no bound)
    max_tensors      the file has no more tensors than that
    metadata         key: regular expression; the value of that key matches (a `*` in the key is any characters)
    files            pattern or list of patterns; each is the name of a file of the model
    container        format or list of formats, as `modelhub classify` names them
    regex            a regular expression found in some tensor name
    requires         keys of other rules that must fire too
    otherwise        true: only where no other rule tells a type
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from modelhub.classify.globs import NameIndex, compiled
from modelhub.core.types import Inspection, MetaValue

Shape: TypeAlias = tuple[int | None, ...]
Bounds: TypeAlias = tuple[int | None, int | None]

_MAX_DEPTH = 8
_FLAGS = re.IGNORECASE | re.MULTILINE
_MOST_SECONDS = 1.0
"""What a pattern of a user's may take for one text."""
_PROBE, _MOST_PROBED = 64, 200
"""A pattern is tried on so long a run of each of its first so many characters."""


class BadCondition(Exception):
    """What is wrong with a condition, as the end of a sentence."""


class Pattern:
    """A regular expression over lines that ignores case, compiled when it is first asked: most rules never are."""

    __slots__ = ("_compiled", "_seconds", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._compiled: Any = None
        self._seconds: float | None = None

    def search(self, text: str) -> re.Match[str] | None:
        """Where it is found first. One of a user's that takes too long is given up and found nowhere."""
        if self._compiled is None:
            self._compiled = re.compile(self.text, _FLAGS)
        if self._seconds is None:
            found: re.Match[str] | None = self._compiled.search(text)
            return found
        try:
            return self._compiled.search(text, timeout=self._seconds) if self._seconds else None
        except TimeoutError:
            self._seconds = 0.0
            return None

    def check(self) -> None:
        """Make it one of a user's. Raises BadCondition for one that is no regular expression, or may never end."""
        import regex  # noqa: PLC0415  (only rules of the user's need it: unlike re, it can be told to stop)

        try:
            re.compile(self.text, _FLAGS)
            self._compiled = regex.compile(self.text, regex.IGNORECASE | regex.MULTILINE)
        except (re.error, regex.error, RecursionError, OverflowError) as error:
            raise BadCondition(f"the pattern {self.text!r} is not valid ({error})") from error
        self._seconds = _MOST_SECONDS
        for char in sorted({*"a1_. ", *self.text[:_MOST_PROBED]}):
            self.search(char * _PROBE + "\0")
            if not self._seconds:
                raise BadCondition(f"the pattern {self.text!r} takes too long: it repeats what repeats")


@dataclass(frozen=True, slots=True)
class Conditions:
    """When a rule fires. Empty conditions are true; all that are given must hold."""

    all: tuple["str | Conditions", ...] = ()
    any: tuple["str | Conditions", ...] = ()
    none: tuple["str | Conditions", ...] = ()
    shapes: tuple[tuple[str, Shape], ...] = ()
    dtypes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    count: tuple[tuple[str, Bounds], ...] = ()
    max_tensors: int | None = None
    metadata: tuple[tuple[str, Pattern], ...] = ()
    files: tuple[str, ...] = ()
    container: tuple[str, ...] = ()
    regex: Pattern | None = None
    requires: tuple[str, ...] = ()
    otherwise: bool = False

    def patterns(self) -> Iterator[Pattern]:
        """All regular expressions in it, those of inner conditions too."""
        yield from (wanted for _, wanted in self.metadata)
        if self.regex is not None:
            yield self.regex
        for inner in self._inner():
            yield from inner.patterns()

    def metadata_keys(self) -> Iterator[str]:
        """All keys of the metadata that it asks about, in inner conditions too."""
        yield from (key for key, _ in self.metadata)
        for inner in self._inner():
            yield from inner.metadata_keys()

    @property
    def reads_tensors(self) -> bool:
        """Whether tensors are asked about; a rule that does not ask about them speaks by metadata."""
        inner = (*self.all, *self.any, *self.none)
        return bool(self.shapes or self.dtypes or self.count or self.regex or self.requires) or any(
            isinstance(one, str) or one.reads_tensors for one in inner
        )

    @property
    def tensors_alone(self) -> bool:
        """Whether nothing but tensors is asked about."""
        told = (self.metadata, self.files, self.container)
        return self.reads_tensors and not any(told) and all(one.tensors_alone for one in self._inner())

    def _inner(self) -> "Iterator[Conditions]":
        """The conditions among its branches."""
        return (one for one in (*self.all, *self.any, *self.none) if isinstance(one, Conditions))


def parse(given: Any, *, depth: int = 0) -> Conditions:
    """Conditions from what YAML or JSON gave. Raises BadCondition."""
    if not isinstance(given, Mapping):
        raise BadCondition("a condition must be a mapping")
    if depth > _MAX_DEPTH:
        raise BadCondition(f"conditions are nested more than {_MAX_DEPTH} deep")
    unknown = set(map(str, given)) - set(_READERS)
    if unknown:
        raise BadCondition(f"unknown condition {min(unknown)!r}")
    return Conditions(**{key: _READERS[key](value, depth) for key, value in given.items()})


def words(value: Any) -> tuple[str, ...]:
    """One word or a list of them. Raises BadCondition."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise BadCondition(f"{value!r} must be a word or a list of words")
    return tuple(value)


def _branches(value: Any, depth: int) -> tuple[str | Conditions, ...]:
    listed = value if isinstance(value, list | tuple) else [value]
    return tuple(_glob(one) if isinstance(one, str) else parse(one, depth=depth + 1) for one in listed)


def _glob(text: str) -> str:
    try:
        compiled(text)
    except re.error as error:
        raise BadCondition(f"the pattern {text!r} is not valid ({error})") from error
    return text


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadCondition(f"{value!r} must be a mapping")
    return {str(key): inner for key, inner in value.items()}


def _numbers(value: Any) -> tuple[int | None, ...]:
    if not isinstance(value, list | tuple) or not all(
        one is None or (isinstance(one, int) and not isinstance(one, bool) and one >= 0) for one in value
    ):
        raise BadCondition(f"{value!r} must be a list of whole numbers or null")
    return tuple(value)


def _bounds(value: Any) -> Bounds:
    numbers = _numbers(value)
    if len(numbers) != 2 or (None not in numbers and numbers[0] > numbers[1]):  # type: ignore[operator]
        raise BadCondition(f"{value!r} must be [least, most]")
    return numbers[0], numbers[1]


def _pattern(value: Any) -> Pattern:
    if not isinstance(value, str | int | float):
        raise BadCondition(f"{value!r} must be a regular expression")
    return Pattern(str(value))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadCondition(f"{value!r} must be true or false")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadCondition(f"{value!r} must be a whole number")
    return value


_READERS: Mapping[str, Callable[[Any, int], Any]] = {
    "all": _branches,
    "any": _branches,
    "none": _branches,
    "shapes": lambda value, _: tuple((_glob(key), _numbers(one)) for key, one in _mapping(value).items()),
    "dtypes": lambda value, _: tuple((_glob(key), words(one)) for key, one in _mapping(value).items()),
    "count": lambda value, _: tuple((_glob(key), _bounds(one)) for key, one in _mapping(value).items()),
    "max_tensors": lambda value, _: _whole(value),
    "metadata": lambda value, _: tuple((key, _pattern(one)) for key, one in _mapping(value).items()),
    "files": lambda value, _: tuple(_glob(one) for one in words(value)),
    "container": lambda value, _: words(value),
    "regex": lambda value, _: _pattern(value),
    "requires": lambda value, _: words(value),
    "otherwise": lambda value, _: _flag(value),
}


def holds(when: Conditions, inspection: Inspection, names: NameIndex) -> bool:
    """Whether every condition given is true; cheap ones are asked first. `requires` is the asker's to see to."""
    if when.container and inspection.container not in when.container:
        return False
    if when.max_tensors is not None and len(inspection.tensors) > when.max_tensors:
        return False
    if not all(_metadata_has(inspection.metadata, key, wanted) for key, wanted in when.metadata):
        return False
    if when.files and not _files_found(when.files, inspection.files):
        return False

    return (
        all(met(branch, inspection, names) for branch in when.all)
        and (not when.any or any(met(branch, inspection, names) for branch in when.any))
        and not any(met(branch, inspection, names) for branch in when.none)
        and all(_shape_found(names, glob, shape) for glob, shape in when.shapes)
        and all(any(tensor.dtype in dtypes for tensor in names.matching(glob)) for glob, dtypes in when.dtypes)
        and all(_within(names.count(glob), bounds) for glob, bounds in when.count)
        and (when.regex is None or names.search(when.regex))
    )


def met(branch: str | Conditions, inspection: Inspection, names: NameIndex) -> bool:
    """Whether some tensor has such a name, or the inner conditions hold."""
    return branch in names if isinstance(branch, str) else holds(branch, inspection, names)


def _metadata_has(metadata: Mapping[str, MetaValue], key: str, wanted: Pattern) -> bool:
    if "*" in key:
        return any(wanted.search(str(value)) for name, value in metadata.items() if fnmatchcase(name, key))
    value = metadata.get(key)
    return value is not None and wanted.search(str(value)) is not None


def _files_found(globs: tuple[str, ...], files: tuple[str, ...]) -> bool:
    text = "\n".join(files)
    return all(compiled(glob)[1].search(text) for glob in globs)


def _shape_found(names: NameIndex, glob: str, wanted: Shape) -> bool:
    return any(
        len(shape) == len(wanted)
        and all(want is None or want == have for want, have in zip(wanted, shape, strict=True))
        for shape in names.shapes(glob)
    )


def _within(number: int, bounds: Bounds) -> bool:
    least, most = bounds
    return (least is None or number >= least) and (most is None or number <= most)
