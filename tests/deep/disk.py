"""A strict disk: which of the changes that a command made are still there when the power goes.

A file's content is durable up to its last fsync, a name as soon as its folder was fsynced after it was given or taken.
What a cut does to the rest is chosen by chance; see `Loss`.
"""

import os
import random
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from tests.deep.tracer import Event

Mode = Literal["nothing", "names", "journal", "folders", "any"]
MODES: tuple[Mode, ...] = get_args(Mode)


class Write(NamedTuple):
    """Bytes put into a file; None: its size was set."""

    at: int
    data: bytes | None


class Change(NamedTuple):
    """Names given and taken (None) in one folder, at once."""

    number: int
    names: dict[str, "Node | None"]


@dataclass(eq=False)
class Node:
    """A file, folder or link: as it is now, and as much of it as is durable."""

    kind: Literal["file", "folder", "link"]
    ino: int
    mode: int = 0
    mtime_ns: int = 0
    target: str = ""
    durable_mode: int = 0
    durable_content: bytes = b""
    writes: list[Write] = field(default_factory=list)
    names: dict[str, "Node"] = field(default_factory=dict)
    durable_names: dict[str, "Node"] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    def content(self) -> bytes:
        return written(self.durable_content, self.writes)

    def sync(self) -> None:
        self.durable_mode = self.mode
        if self.kind == "file":
            self.durable_content, self.writes = self.content(), []
        self.durable_names, self.changes = dict(self.names), []


class Left(NamedTuple):
    """What is at a path after the cut."""

    node: Node
    content: bytes
    mode: int


Tree = dict[str, Left]
"""Everything that is left, by absolute path; folders stand before what is in them."""


def written(content: bytes, writes: list[Write]) -> bytes:
    after = bytearray(content)
    for at, data in writes:
        end = at if data is None else at + len(data)
        if len(after) < end:
            after.extend(bytes(end - len(after)))
        if data is None:
            del after[at:]
        else:
            after[at:end] = data
    return bytes(after)


class Loss:
    """What a power cut takes of all that was not made durable.

    nothing: all of it, the promise of fsync to the letter. names: only contents, which get lost after their names came
    to be. journal: every name given or taken after some moment. folders: the same, with a moment for each folder.
    any: names by lot. Where contents are not lost for good, they are kept, torn, cut, full of holes or of zeros.
    """

    def __init__(self, mode: Mode, chance: random.Random, number: int) -> None:
        self._mode = mode
        self._chance = chance
        self._moment = chance.randint(0, number)
        self._left: dict[Node, Left] = {}

    def tree(self, path: str, node: Node) -> Iterator[tuple[str, Left]]:
        for name, inner in sorted(self._names(node).items()):
            inside = os.path.join(path, name)
            if inner not in self._left:
                self._left[inner] = Left(inner, self._content(inner), self._permissions(inner))
            yield inside, self._left[inner]
            yield from self.tree(inside, inner)

    def _names(self, folder: Node) -> dict[str, Node]:
        kept = folder.changes
        if self._mode == "nothing":
            kept = []
        elif self._mode == "journal":
            kept = [change for change in kept if change.number < self._moment]
        elif self._mode == "folders":
            kept = kept[: self._chance.randint(0, len(kept))]
        elif self._mode == "any":
            kept = [change for change in kept if self._chance.random() < 0.5]
        names = dict(folder.durable_names)
        for change in kept:
            for name, node in change.names.items():
                if node is None:
                    names.pop(name, None)
                else:
                    names[name] = node
        return names

    def _permissions(self, node: Node) -> int:
        lost = self._mode in ("nothing", "names") or self._chance.random() < 0.5
        return node.durable_mode if lost else node.mode

    def _content(self, file: Node) -> bytes:
        old, writes = file.durable_content, file.writes
        if not writes or self._mode == "nothing":
            return old
        ways = ("lost", "zeros") if self._mode == "names" else ("lost", "zeros", "kept", "torn", "holes")
        way = self._chance.choice(ways)
        if way == "zeros":
            return written(old, [one if one.data is None else Write(one.at, bytes(len(one.data))) for one in writes])
        if way == "kept":
            return file.content()
        if way == "torn":
            *whole, last = writes[: self._chance.randint(1, len(writes))]
            half = None if last.data is None else last.data[: self._chance.randint(0, len(last.data))]
            return written(old, [*whole, Write(last.at, half)])
        if way == "holes":
            return written(old, [one for one in writes if self._chance.random() < 0.5])
        return old


class Disk:
    """All that lies below `root`, which is durable when the command begins; then event by event."""

    def __init__(self, root: Path) -> None:
        self.path = os.path.realpath(root)
        self.number = 0
        self._by_ino: dict[int, Node] = {}
        self._root = self._load(self.path)

    def _load(self, path: str) -> Node:
        status = os.lstat(path)
        if status.st_ino in self._by_ino:
            return self._by_ino[status.st_ino]
        kind: Literal["file", "folder", "link"] = "file"
        if stat.S_ISDIR(status.st_mode):
            kind = "folder"
        elif stat.S_ISLNK(status.st_mode):
            kind = "link"
        node = Node(kind, status.st_ino, stat.S_IMODE(status.st_mode), status.st_mtime_ns)
        self._by_ino[node.ino] = node
        if kind == "link":
            node.target = os.readlink(path)
        elif kind == "file":
            node.durable_content = Path(path).read_bytes()
        else:
            node.names = {entry.name: self._load(entry.path) for entry in os.scandir(path)}
        node.sync()
        return node

    def at(self, path: str) -> Node | None:
        """What stands there now, as the command sees it."""
        node: Node | None = self._root
        for name in os.path.relpath(path, self.path).split(os.sep) if path != self.path else ():
            node = node.names.get(name) if node is not None else None
        return node

    def happen(self, event: Event) -> None:
        self.number += 1
        if event.kind in ("create", "mkdir", "symlink"):
            kind: Literal["file", "folder", "link"] = "file"
            if event.kind != "create":
                kind = "folder" if event.kind == "mkdir" else "link"
            node = Node(kind, event.ino, event.at, target=event.other, durable_mode=event.at)
            self._by_ino[event.ino] = node
            self._name(event.path, node)
        elif event.kind == "link":
            self._name(event.path, self._by_ino[event.ino])
        elif event.kind == "remove":
            self._name(event.path, None)
        elif event.kind == "rename":
            self._rename(event.other, event.path)
        elif event.kind == "sync_all":
            for node in self._by_ino.values():
                node.sync()
        elif event.kind != "said":
            self._touch(event, self._by_ino[event.ino])

    def _touch(self, event: Event, node: Node) -> None:
        if event.kind == "sync":
            node.sync()
        elif event.kind == "chmod":
            node.mode = event.at
        elif event.kind == "write":
            node.writes.append(Write(event.at, event.data))
        elif event.kind == "truncate":
            node.writes.append(Write(event.at, None))

    def _folder(self, path: str) -> Node:
        folder = self.at(os.path.dirname(path))
        if folder is None:
            raise AssertionError(f"{path} was changed, but its folder was never made")
        return folder

    def _name(self, path: str, node: Node | None) -> None:
        self._change(self._folder(path), {os.path.basename(path): node})

    def _rename(self, old: str, new: str) -> None:
        """At once in one folder; two folders each have to be made durable."""
        node, away, here = self.at(old), self._folder(old), self._folder(new)
        if away is here:
            self._change(here, {os.path.basename(old): None, os.path.basename(new): node})
        else:
            self._change(here, {os.path.basename(new): node})
            self._change(away, {os.path.basename(old): None})

    def _change(self, folder: Node, names: dict[str, Node | None]) -> None:
        folder.changes.append(Change(self.number, names))
        for name, node in names.items():
            if node is None:
                folder.names.pop(name, None)
            else:
                folder.names[name] = node

    def after_cut(self, mode: Mode, chance: random.Random) -> Tree:
        return dict(Loss(mode, chance, self.number).tree(self.path, self._root))
