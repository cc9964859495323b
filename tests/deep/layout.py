"""Makes the tree that a power cut left of a folder's content, with as few changes as that takes.

A file that is still there, by its inode, is not made anew: what the product has noted of inodes and times stays true.
"""

import os
import shutil
import stat
from pathlib import Path

from tests.deep.disk import Left, Tree


def lay_out(tree: Tree, root: Path) -> None:
    """Make the content of `root` what `tree` says. Files in use elsewhere in it are held beside it meanwhile."""
    held = root.with_name(f"{root.name}.held")
    held.mkdir()
    _hold(tree, root, held)
    for path in sorted(_below(root), reverse=True):
        if path not in tree or not _stands(path, tree[path]):
            _remove(path)
    made: dict[int, str] = {}
    for path, left in tree.items():
        if left.node.kind == "file" and os.path.lexists(path):
            made[id(left.node)] = path
    for path, left in tree.items():
        if not os.path.lexists(path):
            _make(path, left, made, held)
    shutil.rmtree(held)


def _below(root: Path) -> list[str]:
    return [os.path.join(folder, name) for folder, folders, files in os.walk(root) for name in (*folders, *files)]


def _hold(tree: Tree, root: Path, held: Path) -> None:
    """A second name for every file that goes on, but elsewhere."""
    wanted = {left.node.ino: left for path, left in tree.items() if not (os.path.lexists(path) and _stands(path, left))}
    for path in _below(root):
        left = wanted.get(os.lstat(path).st_ino)
        name = held / str(left.node.ino) if left is not None else held
        if left is not None and not name.exists() and left.node.kind == "file" and _stands(path, left):
            os.link(path, name)


def _stands(path: str, left: Left) -> bool:
    status = os.lstat(path)
    if left.node.kind == "folder":
        return stat.S_ISDIR(status.st_mode)
    if left.node.kind == "link":
        return stat.S_ISLNK(status.st_mode) and os.readlink(path) == left.node.target
    return (
        stat.S_ISREG(status.st_mode)
        and (status.st_ino, status.st_size, stat.S_IMODE(status.st_mode))
        == (left.node.ino, len(left.content), left.mode)
        and Path(path).read_bytes() == left.content
    )


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _make(path: str, left: Left, made: dict[int, str], held: Path) -> None:
    node = left.node
    if node.kind == "folder":
        os.mkdir(path)
    elif node.kind == "link":
        os.symlink(node.target, path)
    elif id(node) in made:
        os.link(made[id(node)], path)
    elif (held / str(node.ino)).exists():
        os.link(held / str(node.ino), path)
    else:
        Path(path).write_bytes(left.content)
        os.chmod(path, left.mode)
        if node.mtime_ns:
            os.utime(path, ns=(node.mtime_ns, node.mtime_ns))
    made.setdefault(id(node), path)
