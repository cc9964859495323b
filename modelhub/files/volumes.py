"""Volumes: which disk, drive or share a path is on, by an id that a remount or another mount point does not change.

Linux tells in `/proc/self/mountinfo`; elsewhere the mount point and the file system's own number stand for it.
"""

import os
import re
import sys
from functools import cached_property
from typing import NamedTuple

_MOUNTS = "/proc/self/mountinfo"
_BY_UUID = "/dev/disk/by-uuid"
_NETWORK = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "9p", "fuse.sshfs", "fuse.rclone", "fuse.davfs", "davfs", "ceph",
    "fuse.ceph", "glusterfs", "fuse.glusterfs", "lustre", "afs", "ncpfs", "webdav", "fuse.s3fs", "virtiofs", "vboxsf",
}  # fmt: skip
_ESCAPED = re.compile(r"\\([0-7]{3})")


class Volume(NamedTuple):
    """One mounted file system. `kind` is its type; `network`: other machines may write to it as well.

    `tells_opening`: it notes when files are read, if only once a day.
    """

    id: str
    kind: str
    label: str
    mount: str
    network: bool = False
    tells_opening: bool = True


class Volumes:
    """What is mounted, as one look saw it."""

    def __init__(self, mounts: str = _MOUNTS) -> None:
        self._mounts = mounts

    def of(self, path: str) -> Volume:
        """The volume on which `path` is, or would be if it existed."""
        real = os.path.realpath(path)
        if not self.all:
            return _by_number(real)
        inside = (one for one in self.all if _is_below(real, one.mount))
        return max(inside, key=lambda one: len(one.mount), default=_by_number(real))

    def below(self, root: str) -> list[Volume]:
        """The volume of `root`, and those that are mounted below it."""
        real = os.path.realpath(root)
        return [self.of(root), *(one for one in self.all if one.mount != real and _is_below(one.mount, real))]

    def is_online(self, volume_id: str) -> bool:
        """Whether a volume of that id is mounted anywhere; of systems that cannot tell, that it is."""
        return not self.all or any(one.id == volume_id for one in self.all)

    @cached_property
    def all(self) -> list[Volume]:
        """Every mounted volume; empty where the system does not tell."""
        if not sys.platform.startswith("linux") and self._mounts == _MOUNTS:
            return []
        try:
            with open(self._mounts, encoding="utf-8", errors="surrogateescape") as told:
                lines = told.readlines()
        except OSError:
            return []
        names = _uuids()
        found: dict[str, Volume] = {}
        for line in lines:
            volume = _read(line, names)
            if volume is not None:
                found[volume.mount] = volume  # a later line is mounted over an earlier one
        return list(found.values())


def _read(line: str, names: dict[str, str]) -> Volume | None:
    """A line of mountinfo: id, parent, device, root, mount point, options, ... `-`, type, source, options."""
    before, _, after = line.rstrip("\n").partition(" - ")
    fields, told = before.split(" "), after.split(" ")
    if len(fields) < 6 or len(told) < 2:
        return None
    root, mount, options = _plain(fields[3]), _plain(fields[4]), fields[5].split(",")
    kind, source = told[0], _plain(told[1])
    network = kind in _NETWORK or source.startswith("//") or (kind.startswith("fuse") and ":/" in source)
    if network:
        name = source
    elif source.startswith("/"):
        name = names.get(os.path.realpath(source), source)
    else:
        name = mount  # tmpfs, overlay and the like have no name of their own
    identity = f"{kind}:{name}" + (f"[{root}]" if root != "/" and source.startswith("/") else "")
    label = os.path.basename(mount) or "/"
    return Volume(identity, kind, label, mount, network, "noatime" not in options)


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)


def _uuids() -> dict[str, str]:
    try:
        entries = sorted(os.listdir(_BY_UUID))
    except OSError:
        return {}
    return {os.path.realpath(os.path.join(_BY_UUID, entry)): f"uuid={entry}" for entry in entries}


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _by_number(path: str) -> Volume:
    """A volume by its mount point, where nothing more is told: macOS, Windows, the BSDs."""
    place = path
    while not os.path.exists(place) and os.path.dirname(place) != place:
        place = os.path.dirname(place)
    mount = place
    while not os.path.ismount(mount) and os.path.dirname(mount) != mount:
        mount = os.path.dirname(mount)
    network = mount.startswith("\\\\")
    return Volume(f"device:{os.stat(place).st_dev:x}", "unknown", os.path.basename(mount) or mount, mount, network)
