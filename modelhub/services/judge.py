"""The rules in force, from the hub's classification.db or, without a hub, as shipped; and judging by them."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from modelhub.classify import rulebook, weigh
from modelhub.classify.rulebook import RuleBook
from modelhub.core import plugins
from modelhub.core.config import Settings
from modelhub.core.errors import InvalidInput, NotFound, Unreadable, from_os_error
from modelhub.core.names import printable
from modelhub.core.places import bundled
from modelhub.core.types import Classified, External
from modelhub.files.digest import open_regular
from modelhub.files.walk import Found, walk
from modelhub.services.units import Unit, Units
from modelhub.store import rule_files, rule_rows, seed
from modelhub.store.rules import Rules


@dataclass
class Judge:
    """Inspects and classifies files. The rules are loaded once, when first needed."""

    threshold: float
    rules: Rules | None = None
    folders: tuple[Path, ...] = ()

    @cached_property
    def book(self) -> RuleBook:
        rows: rulebook.Rows
        if self.rules is None:
            shipped = seed.load(bundled("classification_seed"))
            rows, digest = shipped.rows, shipped.digest
        else:
            rows, digest = self.rules.rows()
        rows, wrong = rule_rows.sound(rows)
        own, problems = rule_files.folder_rows(self.folders)
        if own or problems:
            rows = {table: rule_files.over(table, found, own.get(table, ())) for table, found in rows.items()}
            digest = rule_files.digest(digest, own)
        book = rulebook.build(rows, digest)
        return replace(book, problems=(*problems, *wrong, *book.problems))

    def stream(self, stream: BinaryIO, size: int, name: str, known: Sequence[External] = ()) -> Classified:
        """Judge an open file of `size` bytes that is called `name`."""
        from modelhub.formats.inspect import inspect  # noqa: PLC0415  (the parsers are not needed to list models)

        return weigh.classify(inspect(stream, size, name), name, self.book, self.threshold, known)

    def unit(self, unit: Unit, known: Sequence[External] = ()) -> Classified:
        """Judge a model of several files as one."""
        from modelhub.formats.whole import inspect_bundle  # noqa: PLC0415  (as above)

        inspection = inspect_bundle(unit.bundle, unit.described, unit.sizes, unit.open)
        every = (*known, *unit.sidecars)
        return weigh.classify(inspection, printable(unit.bundle.name), self.book, self.threshold, every)

    def either(self, unit: Unit) -> Classified:
        """Judge a model of one file or of several, with what other programs wrote beside it."""
        if unit.is_composite:
            return self.unit(unit)
        return self.named(unit.lead, os.path.basename(unit.lead), unit.sidecars)

    def at(self, path: str) -> Classified:
        """What the file or folder at `path` is, with the files that make up one model with it."""
        unit = Units(path).folder(path) or Units(path).only(path) if os.path.isdir(path) else Units(path).of(path)
        if unit is None:
            raise _no_one_model(path)
        try:
            return self.either(unit)
        except OSError as error:
            raise from_os_error(error, printable(path)) from error

    def named(self, path: str, name: str, known: Sequence[External] = ()) -> Classified:
        """What the file at `path` is, called `name` whatever its path says.

        Raises NotFound or Unreadable; a damaged file is a verdict, not an error.
        """
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise Unreadable(f"{printable(path)} is not a regular file.", hint="Name a model file or a folder.")
            with open_regular(os.path.realpath(path)) as stream:
                size = os.fstat(stream.fileno()).st_size
                return self.stream(stream, size, name, known)
        except OSError as error:
            raise from_os_error(error, printable(path)) from error


def _no_one_model(path: str) -> InvalidInput:
    held = Units(path).any_weights(path)
    told = "holds several models" if held else "holds no model that is known"
    return InvalidInput(f"{printable(path)} {told}.", hint="Name a model in it." if held else "Name another folder.")


def require_exists(path: str) -> str:
    """`path` made absolute, if something is there."""
    absolute = os.path.abspath(os.path.expanduser(path))
    if not os.path.lexists(absolute):
        raise NotFound(f"{printable(absolute)} does not exist.", hint="Check the path.")
    return absolute


def model_files(roots: Sequence[str], settings: Settings) -> Iterator[str]:
    """Paths of models: files that are named themselves, and in folders what has a model's ending or is one whole.

    Of the files of one model only its own path is given. What cannot be read is left out.
    """
    for root in roots:
        units, given = Units(root), set[str]()
        extensions = {*settings.extensions, *plugins.suffixes()}
        for found in walk(root, exclude=settings.exclude):
            if not isinstance(found, Found):
                continue
            unit = units.of(found.path)
            path = unit.shown if unit.is_composite else unit.lead
            ending = os.path.splitext(found.path)[1].lower() in extensions
            if path not in given and (unit.is_composite or found.path == root or (ending and found.path == path)):
                given.add(path)
                yield path
