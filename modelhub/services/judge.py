"""The rules in force, from the hub's classification.db or, without a hub, as shipped; and judging by them."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

from modelhub.classify import rulebook, weigh
from modelhub.classify.rulebook import RuleBook
from modelhub.core.config import Settings
from modelhub.core.errors import NotFound, Unreadable, from_os_error
from modelhub.core.names import printable
from modelhub.core.places import bundled
from modelhub.core.types import Classified
from modelhub.files.digest import open_regular
from modelhub.files.walk import Found, walk
from modelhub.store import seed
from modelhub.store.rules import Rules


@dataclass
class Judge:
    """Inspects and classifies files. The rules are loaded once, when first needed."""

    threshold: float
    rules: Rules | None = None

    @cached_property
    def book(self) -> RuleBook:
        if self.rules is None:
            shipped = seed.load(bundled("classification_seed"))
            return rulebook.build(shipped.rows, shipped.digest)
        return rulebook.build(*self.rules.rows())

    def stream(self, stream: BinaryIO, size: int, name: str) -> Classified:
        """Judge an open file of `size` bytes that is called `name`."""
        from modelhub.formats.inspect import inspect  # noqa: PLC0415  (the parsers are not needed to list models)

        return weigh.classify(inspect(stream, size, name), name, self.book, self.threshold)

    def file(self, path: str) -> Classified:
        """What the file at `path` is. Raises NotFound or Unreadable; a damaged file is a verdict, not an error."""
        return self.named(path, os.path.basename(path))

    def named(self, path: str, name: str) -> Classified:
        """As `file`, for a file that is called `name` whatever its path says."""
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise Unreadable(f"{printable(path)} is not a regular file.", hint="Name a model file or a folder.")
            with open_regular(os.path.realpath(path)) as stream:
                size = os.fstat(stream.fileno()).st_size
                return self.stream(stream, size, name)
        except OSError as error:
            raise from_os_error(error, printable(path)) from error


def require_exists(path: str) -> str:
    """`path` made absolute, if something is there."""
    absolute = os.path.abspath(os.path.expanduser(path))
    if not os.path.lexists(absolute):
        raise NotFound(f"{printable(absolute)} does not exist.", hint="Check the path.")
    return absolute


def model_files(roots: Sequence[str], settings: Settings) -> Iterator[str]:
    """Files that are named themselves, and files with a model's ending in folders. What cannot be read is left out."""
    for root in roots:
        for found in walk(root, exclude=settings.exclude):
            if isinstance(found, Found) and (
                found.path == root or os.path.splitext(found.path)[1].lower() in settings.extensions
            ):
                yield found.path
