"""Runs a command and records, in order, every change it makes below one folder.

`tracer.py LOG FOLDER KIND PATH TIMES COMMAND...`: after so many changes (0: never) of a KIND at paths that begin with
PATH, the command is killed.
A small strace: Linux stops the command at each system call that changes files, also those of SQLite's C code, so that
nothing is missed and the order is the kernel's. Not seen: writes through shared memory, as to SQLite's -shm files.
"""

import ctypes
import os
import pickle
import platform
import signal
import struct
import sys
from pathlib import Path
from typing import Any, NamedTuple

REFUSED = 125
CREATING = os.O_CREAT | os.O_TRUNC
FICLONE = 0x40049409
_HERE = -100  # AT_FDCWD: the working directory
_TRACE_ME, _CONT, _SYSCALL, _SET_OPTIONS, _SYSCALL_INFO = 0, 7, 24, 0x4200, 0x420E
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000  # marks, forks, threads, exec, seccomp; all die with us
_STOPPED_BY_FILTER = 7
_ALL_CHILDREN = 0x40000000


class Event(NamedTuple):
    """One change. `at`: offset, size or mode; `ino` names the file or folder that was touched."""

    kind: str
    thread: int
    path: str = ""
    other: str = ""
    ino: int = 0
    at: int = 0
    data: bytes = b""


class Moment(NamedTuple):
    """When a command is killed: after so many changes of a kind, at paths that begin so. With `times` 0 it is not."""

    kind: str = ""
    path: str = ""
    times: int = 0


class Call(NamedTuple):
    """A system call: its numbers on x86-64 and ARM64, and which arguments are folder and name of its paths."""

    kind: str
    x86: int
    arm: int
    names: tuple[tuple[int, int], ...] = ()
    only: tuple[int, int] | None = None


_OWN = -1  # no argument names the folder
CALLS = (
    Call("write", 1, 64), Call("write", 20, 66), Call("write", 40, 71),
    Call("pwrite", 18, 68), Call("pwrite", 296, 70), Call("pwrite", 328, 287),
    Call("copy_range", 326, 285), Call("clone", 16, 29, only=(1, FICLONE)),
    Call("open", 2, -1, ((_OWN, 0),), only=(1, CREATING)), Call("open", 257, 56, ((0, 1),), only=(2, CREATING)),
    Call("sync", 74, 82), Call("sync", 75, 83), Call("sync_all", 162, 81), Call("sync_all", 306, 267),
    Call("truncate", 76, 45, ((_OWN, 0),)), Call("ftruncate", 77, 46), Call("fallocate", 285, 47),
    Call("rename", 82, -1, ((_OWN, 0), (_OWN, 1))), Call("rename", 264, 38, ((0, 1), (2, 3))),
    Call("rename", 316, 276, ((0, 1), (2, 3))),
    Call("link", 86, -1, ((_OWN, 0), (_OWN, 1))), Call("link", 265, 37, ((0, 1), (2, 3))),
    Call("symlink", 88, -1, ((_OWN, 1),)), Call("symlink", 266, 36, ((1, 2),)),
    Call("remove", 87, -1, ((_OWN, 0),)), Call("remove", 84, -1, ((_OWN, 0),)), Call("remove", 263, 35, ((0, 1),)),
    Call("mkdir", 83, -1, ((_OWN, 0),)), Call("mkdir", 258, 34, ((0, 1),)),
    Call("chmod", 90, -1, ((_OWN, 0),)), Call("chmod", 268, 53, ((0, 1),)), Call("chmod", 452, 452, ((0, 1),)),
    Call("fchmod", 91, 52),
)  # fmt: skip
_MACHINE = {"x86_64": "x86", "aarch64": "arm"}.get(platform.machine(), "")
TABLE = {getattr(call, _MACHINE): call for call in CALLS if getattr(call, _MACHINE) >= 0} if _MACHINE else {}


def _filter() -> bytes:
    """A program for the kernel's seccomp machine: stop at the calls of the table, let all others run freely."""
    load, equal, any_bit, answer = 0x20, 0x15, 0x45, 0x06
    program: list[tuple[int, int, int, int]] = [(load, 0, 0, 0)]
    for number, call in TABLE.items():
        if call.only is None:
            program += [(equal, 0, 1, number), (answer, 0, 0, 0x7FF00000)]
        else:
            index, value = call.only
            test = any_bit if call.kind == "open" else equal
            wanted = [(load, 0, 0, 16 + 8 * index), (test, 0, 1, value), (answer, 0, 0, 0x7FF00000)]
            program += [(equal, 0, 4, number), *wanted, (answer, 0, 0, 0x7FFF0000)]
    program.append((answer, 0, 0, 0x7FFF0000))
    return b"".join(struct.pack("HBBI", *line) for line in program)


class Tracer:
    """One traced command and the log of what it did below `root`."""

    def __init__(self, root: str, last: Moment) -> None:
        self._last = last
        self._killed = False
        self._child = 0
        self.root = os.path.realpath(root)
        self.log: list[Event] = []
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self._libc.ptrace.restype = ctypes.c_long
        self._met: set[int] = set()

    def run(self, words: list[str]) -> int:
        """The command's exit code, below 0 for a signal; REFUSED where tracing is not allowed."""
        program = _filter()
        child = os.fork()
        if child == 0:
            self._become(words, program)
        _, status = os.waitpid(child, 0)
        if not os.WIFSTOPPED(status):
            return REFUSED
        self._ptrace(_SET_OPTIONS, child, _OPTIONS)
        self._ptrace(_CONT, child, 0)
        self._met.add(child)
        self._child = child
        code = REFUSED
        while True:
            try:
                thread, status = os.waitpid(-1, _ALL_CHILDREN)
            except ChildProcessError:
                return code
            if os.WIFSTOPPED(status):
                self._stopped(thread, status)
            elif thread == child:
                code = os.waitstatus_to_exitcode(status)

    def _become(self, words: list[str], program: bytes) -> None:
        held = ctypes.create_string_buffer(program)
        told = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(held))
        if self._libc.ptrace(_TRACE_ME, 0, None, None):
            os._exit(126)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._libc.prctl(38, 1, 0, 0, 0)  # no new privileges, which the filter asks for
        if self._libc.prctl(22, 2, ctypes.c_char_p(told), 0, 0):
            os._exit(126)
        os.execvp(words[0], words)

    def _ptrace(self, request: int, thread: int, value: int) -> None:
        self._libc.ptrace(request, thread, None, value)

    def _stopped(self, thread: int, status: int) -> None:
        number = os.WSTOPSIG(status)
        if status >> 16 == _STOPPED_BY_FILTER:
            self._call(thread)
            number = 0
        elif status >> 16 or (number == signal.SIGSTOP and thread not in self._met):
            number = 0
        self._met.add(thread)
        self._ptrace(_CONT, thread, number)

    def _info(self, thread: int) -> tuple[int, ...]:
        held = ctypes.create_string_buffer(88)
        self._libc.ptrace(_SYSCALL_INFO, thread, len(held), ctypes.addressof(held))
        return struct.unpack_from("q6q", held.raw, 24)

    def _call(self, thread: int) -> None:
        """Look at the arguments, let the call run while every other call waits, and note what it did."""
        number, *arguments = self._info(thread)
        call = TABLE[number]
        paths = [self._path(thread, arguments, *names) for names in call.names]
        stood = bool(paths) and os.path.lexists(paths[-1])
        self._ptrace(_SYSCALL, thread, 0)
        while True:
            _, status = os.waitpid(thread, _ALL_CHILDREN)
            if not os.WIFSTOPPED(status):
                return
            if os.WSTOPSIG(status) == signal.SIGTRAP | 0x80:
                break
            self._ptrace(_SYSCALL, thread, os.WSTOPSIG(status))
        result = self._info(thread)[0]
        if result < 0:
            return
        if call.names:
            self._named(thread, call, arguments, paths, stood=stood, result=result)
        else:
            self._open_file(thread, call, arguments, result)

    def _note(self, kind: str, thread: int, **more: Any) -> None:
        if self._killed:
            return
        event = Event(kind, thread, **more)
        self.log.append(event)
        wanted, start, times = self._last
        if times and kind == wanted and event.path.startswith(start):
            self._last = Moment(wanted, start, times - 1)
            if times == 1:
                self._killed = True
                os.kill(self._child, signal.SIGKILL)

    def _inside(self, path: str) -> bool:
        return path == self.root or path.startswith(self.root + os.sep)

    def _named(
        self, thread: int, call: Call, arguments: list[int], paths: list[str], *, stood: bool, result: int
    ) -> None:
        """A call that names its files by paths."""
        path, kind = paths[-1], call.kind
        if not any(map(self._inside, paths)):
            return
        if kind == "open":
            ino = os.stat(f"/proc/{thread}/fd/{result}").st_ino
            if not stood:
                self._note("create", thread, path=path, ino=ino, at=os.stat(path).st_mode & 0o7777)
            elif arguments[(call.only or (0, 0))[0]] & os.O_TRUNC:
                self._note("truncate", thread, path=path, ino=ino)
        elif kind == "rename":
            if len(arguments) > 4 and call.x86 == 316 and arguments[4] & 2:
                raise ValueError("two names were exchanged, which is not modelled")
            self._note(kind, thread, path=path, other=paths[0])
        elif kind == "symlink":
            text = os.fsdecode(self._text(thread, arguments[0]))
            self._note(kind, thread, path=path, other=text, ino=os.lstat(path).st_ino)
        elif kind == "remove":
            self._note(kind, thread, path=path)
        elif kind in ("link", "mkdir"):
            status = os.lstat(path)
            self._note(kind, thread, path=path, ino=status.st_ino, at=status.st_mode & 0o7777)
        else:
            status = os.stat(path)
            at = status.st_size if kind == "truncate" else status.st_mode & 0o7777
            self._note(kind, thread, path=path, ino=status.st_ino, at=at)

    def _open_file(self, thread: int, call: Call, arguments: list[int], result: int) -> None:
        """A call on a file that is open."""
        handle = f"/proc/{thread}/fd/{arguments[2] if call.kind == 'copy_range' else arguments[0]}"
        if call.kind == "sync_all":
            self._note(call.kind, thread)
            return
        path = os.readlink(handle)
        if not self._inside(path):
            if arguments[0] == 1 and call.kind == "write":
                self._note("said", thread, data=self._memory(thread, arguments[1], result))
            return
        status = os.stat(handle)
        ino, size = status.st_ino, status.st_size
        if call.kind == "sync":
            self._note(call.kind, thread, path=path, ino=ino)
        elif call.kind in ("ftruncate", "fallocate"):
            self._note("truncate", thread, path=path, ino=ino, at=size)
        elif call.kind == "fchmod":
            self._note("chmod", thread, path=path, ino=ino, at=status.st_mode & 0o7777)
        else:
            at, count = self._written(thread, call, arguments, result, size)
            with Path(handle).open("rb", buffering=0) as stream:
                self._note("write", thread, path=path, ino=ino, at=at, data=os.pread(stream.fileno(), count, at))

    def _written(self, thread: int, call: Call, arguments: list[int], result: int, size: int) -> tuple[int, int]:
        """Offset and length of what was written."""
        if call.kind == "clone":
            return 0, size
        if call.kind == "pwrite":
            return arguments[3], result
        if call.kind == "copy_range" and arguments[3]:
            (end,) = struct.unpack("q", self._memory(thread, arguments[3], 8))
        else:
            handle = arguments[2] if call.kind == "copy_range" else arguments[0]
            told = Path(f"/proc/{thread}/fdinfo/{handle}").read_text(encoding="ascii")
            end = int(told.split("pos:")[1].split()[0])
        return end - result, result

    def _path(self, thread: int, arguments: list[int], folder: int, name: int) -> str:
        """The path that a call names, with the links in its folders resolved."""
        text = os.fsdecode(self._text(thread, arguments[name]))
        handle = ctypes.c_int(arguments[folder]).value if folder != _OWN else _HERE
        base = os.readlink(f"/proc/{thread}/cwd" if handle == _HERE else f"/proc/{thread}/fd/{handle}")
        whole = os.path.join(base, text).rstrip(os.sep)
        return os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))

    def _memory(self, thread: int, address: int, count: int) -> bytes:
        with Path(f"/proc/{thread}/mem").open("rb", buffering=0) as memory:
            return os.pread(memory.fileno(), count, address)

    def _text(self, thread: int, address: int) -> bytes:
        found = b""
        while b"\0" not in found:
            start = address + len(found)
            found += self._memory(thread, start, 4096 - start % 4096)
        return found.partition(b"\0")[0]


if __name__ == "__main__":
    tracer = Tracer(sys.argv[2], Moment(sys.argv[3], sys.argv[4], int(sys.argv[5])))
    ended = tracer.run(sys.argv[6:])
    Path(sys.argv[1]).write_bytes(pickle.dumps([tuple(event) for event in tracer.log]))
    sys.exit(ended if ended >= 0 else 128 - ended)
