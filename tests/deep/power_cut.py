"""Cuts the power while a command runs, and looks at what a strict disk has left of it.

The command runs once, to its end, and what it did is recorded; see `tracer.py`. Then, for any moment of it, the state
that the disk may show after a cut is made (`disk.py`), the promises are looked at, and the command is run again there.
"""

import copy
import functools
import hashlib
import json
import os
import pickle
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.deep.disk import MODES, Disk, Mode, Tree
from tests.deep.layout import lay_out
from tests.deep.tracer import REFUSED, TABLE, Event, Moment

ROOT = Path(__file__).parent.parent.parent
TRACER = Path(__file__).with_name("tracer.py")
KILLED = 128 + 9
NEVER = Moment()
DATABASES = ("modelhub.db", "classification.db")
FILES_OF_SQLITE = ("", "-wal", "-journal")
Rows = Mapping[str, frozenset[tuple[object, ...]]]
"""The rows of a database, by table."""
When = tuple[int, Mode]
"""After how many events the power is cut, and what is lost then."""


class CannotTrace(Exception):
    """This system has no way to see what a command does."""


@dataclass(frozen=True)
class Play:
    """A command whose run is to be cut, and what holds when it has come to its end.

    All that lies below `root` is on the disk that loses power. `contents` are the users' files with their SHA-256;
    `before` is Python that runs in the command's process before it begins. A command that takes links away
    does not make them (`makes_links`): rows may speak of them until they are gone.
    """

    root: Path
    hub: Path
    words: tuple[str, ...]
    contents: Mapping[Path, str]
    finished: Callable[[], None]
    before: str = ""
    makes_links: bool = True

    def command(self) -> list[str]:
        code = f"{self.before}\nfrom modelhub.__main__ import main\nmain()"
        return [sys.executable, "-c", code, "--hub", str(self.hub), *self.words]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.root / "home"), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(), env=self.environment(), capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class Recording:
    """A command that came to its end: the disk before it, and what it did."""

    play: Play
    start: Disk
    events: list[Event]
    mains: frozenset[int]

    def moments(self, count: int, seed: int) -> list[When]:
        """When to cut: half of them at any event, half where more happens than that a database writes a page.

        Of each mode as many.
        """
        chance = random.Random(seed)
        rare = [number for number, event in enumerate(self.events, 1) if event.kind != "write"]
        some = chance.sample(rare, min(count // 2, len(rare)))
        some += [chance.randint(0, len(self.events)) for _ in range(count - len(some))]
        return [(number, MODES[index % len(MODES)]) for index, number in enumerate(chance.sample(some, count))]

    def after(self, kind: str, path: str) -> list[int]:
        """The moments after changes of a kind at paths that end so."""
        found = enumerate(self.events, 1)
        return [number for number, event in found if event.kind == kind and event.path.endswith(path)]


def record(play: Play, *, killed_at: Moment = NEVER) -> Recording:
    """Run the command and see what it does; CannotTrace where that is not possible.

    With `killed_at` it is killed there first, and then run again.
    """
    if not sys.platform.startswith("linux") or not TABLE:
        raise CannotTrace("system calls are traced on Linux, x86-64 and ARM64 only")
    start = Disk(play.root)
    runs = [_traced(play, last) for last in ((killed_at, NEVER) if killed_at.times else (NEVER,))]
    play.finished()
    return Recording(play, start, [event for run in runs for event in run], frozenset(run[0].thread for run in runs))


def _traced(play: Play, last: Moment) -> list[Event]:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        words = [sys.executable, "-I", "-S", str(TRACER), str(log), str(play.root), *map(str, last), *play.command()]
        said = subprocess.run(words, env=play.environment(), capture_output=True, text=True, check=False)
        if said.returncode == REFUSED:
            raise CannotTrace("this system lets no program trace another")
        if said.returncode != (KILLED if last.times else 0):
            raise AssertionError(said.stdout + said.stderr)
        return [Event(*values) for values in pickle.loads(log.read_bytes())]


@dataclass
class Cut:
    """The disk at one moment: what was acknowledged until then, and what is left after the cut."""

    number: int
    mode: Mode
    last: Event | None
    tree: Tree
    said: bytes
    databases: Mapping[str, list[dict[str, bytes]]]
    makes_links: bool

    def __str__(self) -> str:
        after = "the start" if self.last is None else f"{self.last.kind} {self.last.path}"
        return f"cut {self.number} ({self.mode}) after {after}"


@dataclass
class _Database:
    """Every state that a database may be in after a cut: the last acknowledged one, and those that came later.

    A transaction is acknowledged when the thread that committed it does something else on the disk, or says something.
    """

    path: str
    may_be: list[dict[str, bytes]] = field(default_factory=list)
    written: bool = True

    def owns(self, path: str) -> bool:
        return path.startswith(self.path) or path == os.path.dirname(self.path)  # SQLite makes its names durable

    def files(self, disk: Disk) -> dict[str, bytes]:
        nodes = {end: disk.at(self.path + end) for end in FILES_OF_SQLITE}
        return {end: node.content() for end, node in nodes.items() if node is not None}

    def happen(self, event: Event, disk: Disk, mains: frozenset[int]) -> None:
        """`event` is about to happen."""
        if self.owns(event.path):
            if event.kind == "sync" and self.written:
                self.may_be.append(self.files(disk))
            self.written = True
        elif event.thread in mains and self.written:
            self.may_be = [self.files(disk)]
            self.written = False


def cuts(recording: Recording, moments: Sequence[When], seed: int) -> Iterator[Cut]:
    """What is left at these moments, in their order."""
    chance = random.Random(seed)
    disk = copy.deepcopy(recording.start)
    hub, events = recording.play.hub, recording.events
    databases = [_Database(os.path.join(os.path.realpath(hub), name)) for name in DATABASES]
    said = b""
    for moment, mode in sorted(moments):
        for event in events[disk.number : moment]:
            for database in databases:
                database.happen(event, disk, recording.mains)
            said += event.data if event.kind == "said" else b""
            disk.happen(event)
        may_be = {database.path: [*database.may_be, database.files(disk)] for database in databases}
        last = events[moment - 1] if moment else None
        yield Cut(moment, mode, last, disk.after_cut(mode, chance), said, may_be, recording.play.makes_links)


def broken_promises(play: Play, cut: Cut) -> Iterator[str]:
    """What is lost or torn after the cut, before anything else runs."""
    hub = os.path.realpath(play.hub)
    models = os.path.join(hub, "models", "")
    stored = {path: left for path, left in cut.tree.items() if path.startswith(models) and left.node.kind == "file"}
    whole = set()
    for path, left in stored.items():
        address = os.path.basename(os.path.dirname(path))
        if sha256(left.content) == address:
            whole.add(address)
        else:
            yield f"torn: {path} has {len(left.content)} bytes that are not its own"
    for source, address in play.contents.items():
        found = _followed(cut.tree, str(source))
        if address not in whole and (found is None or sha256(found) != address):
            yield f"lost: the content of {source} is nowhere"
    lost = list(_lost_rows(cut))
    yield from lost
    if not any(one.startswith("torn") for one in lost):
        with opened(left_of(cut.tree, os.path.join(hub, "modelhub.db"))) as database:
            yield from _rows_without_their_files(database, cut, models)
            yield from _lost_lines(database, cut, os.path.join(hub, "logs", "audit.jsonl"))


def _rows_without_their_files(database: sqlite3.Connection, cut: Cut, models: str) -> Iterator[str]:
    tables = tables_of(database)
    rows = list(database.execute("SELECT sha256, name_bytes, stored FROM blobs")) if "blobs" in tables else []
    for address in acknowledged(cut.said) - {row[0] for row in rows}:
        yield f"lost: {address} was said to be taken, and has no row"
    for address, name, is_stored in rows:
        path = os.path.join(models, address, os.fsdecode(name))
        if is_stored and path not in cut.tree:
            yield f"lost: a row says that {path} is stored"
    query = "SELECT deploy_path, source_path FROM deploy_links WHERE is_deployed"
    for path, source in database.execute(query) if cut.makes_links and "deploy_links" in tables else ():
        if path not in cut.tree:
            yield f"lost: a row says that {path} is deployed"
        elif _followed(cut.tree, path) != _followed(cut.tree, source):
            yield f"torn: {path} is deployed, but not its content"


def _lost_lines(database: sqlite3.Connection, cut: Cut, log: str) -> Iterator[str]:
    """The log of changes has every line up to the one that the database knows of."""
    query = "SELECT value FROM meta WHERE key = 'audit_head'"
    heads = list(database.execute(query)) if "meta" in tables_of(database) else []
    content = cut.tree[log].content if log in cut.tree else b""
    for (head,) in heads:
        number, _, address = head.partition(" ")
        lines = content.split(b"\n")[: int(number)]
        if len(lines) < int(number) or address.encode("ascii") not in lines[-1]:
            yield f"lost: line {number} of {log}"


def acknowledged(said: bytes) -> set[str]:
    """What a scan with --json said of files that it took."""
    lines = [json.loads(line) for line in said.splitlines() if line.startswith(b'{"kind": "file"')]
    return {line["sha256"] for line in lines if line["outcome"] in ("added", "duplicate", "restored")}


def _lost_rows(cut: Cut) -> Iterator[str]:
    for path, may_be in cut.databases.items():
        try:
            found = rows_of(left_of(cut.tree, path))
        except sqlite3.DatabaseError as error:
            yield f"torn: {path}: {error}"
            continue
        if not any(found == rows_of(files) for files in may_be):
            told = rows_of(may_be[0])
            lost = {name: len(rows - found.get(name, frozenset())) for name, rows in told.items()}
            yield f"lost: rows of {path}: { ({name: count for name, count in lost.items() if count}) }"


def left_of(tree: Tree, path: str) -> dict[str, bytes]:
    return {end: tree[path + end].content for end in FILES_OF_SQLITE if path + end in tree}


@contextmanager
def opened(files: Mapping[str, bytes]) -> Iterator[sqlite3.Connection]:
    """A copy of a database, as SQLite finds it after the cut."""
    with tempfile.TemporaryDirectory() as folder:
        for end, content in files.items():
            Path(folder, f"db{end}").write_bytes(content)
        with closing(sqlite3.connect(Path(folder, "db"))) as database:
            yield database


def tables_of(database: sqlite3.Connection) -> list[str]:
    return [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def rows_of(files: Mapping[str, bytes]) -> Rows:
    return _read(tuple(files.items()))


@functools.lru_cache(maxsize=32)
def _read(files: tuple[tuple[str, bytes], ...]) -> Rows:
    with opened(dict(files)) as database:
        return {name: frozenset(database.execute(f'SELECT * FROM "{name}"')) for name in tables_of(database)}


def _followed(tree: Tree, path: str) -> bytes | None:
    """The content at a path, through links."""
    left = tree.get(path)
    if left is None or left.node.kind == "folder":
        return None
    if left.node.kind == "file":
        return left.content
    return _followed(tree, os.path.normpath(os.path.join(os.path.dirname(path), left.node.target)))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def run_again(play: Play, cut: Cut) -> Iterator[str]:
    """The same command after the cut comes to its end, and everything is in its place."""
    lay_out(cut.tree, Path(os.path.realpath(play.root)))
    ran = play.run()
    if ran.returncode:
        yield f"again: exit {ran.returncode}: {ran.stdout[-500:]}{ran.stderr[-500:]}"
        return
    try:
        play.finished()
    except AssertionError as error:
        yield f"again: {error}"


def violations(recording: Recording, moments: Sequence[When], *, seed: int = 0, again: int = 1) -> list[str]:
    """What cuts at these moments break; after every `again`-th the command is run again (0: never)."""
    found = []
    for number, cut in enumerate(cuts(recording, moments, seed)):
        broken = list(broken_promises(recording.play, cut))
        if again and number % again == 0:
            broken += run_again(recording.play, cut)
        found += [f"{cut}: {one}" for one in broken]
    return found
