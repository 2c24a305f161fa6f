"""A disk that loses power: what is left of a desk when the machine stops at any moment.

A history runs once, on a real disk, while every write, truncation, sync, rename,
creation and deletion is recorded: SQLite's through a VFS that stands before the
system's (ctypes, on the very library that sqlcipher3 is), and those of
``files.py`` through the name ``os`` in it. For every prefix of the record,
:func:`crashes` then lays out the folders as power loss would leave them:

* what was synced is there;
* of what was not, a part is: none of it, all of it, or a seeded choice of
  writes in which single ones are torn at sectors of 512 bytes;
* a name (a new file, a rename, a deletion) is durable when its folder was
  synced, and is one of those parts until then.

At the end the recorded disk, all of it applied, must equal the real one: a call
that went past the recorder fails the test that made it.

:func:`full_disk` uses the same place to let writes fail instead, and
:func:`unsynced` to save the wait where durability is not what is tested.
"""

# ruff: noqa: PTH102, PTH104, PTH108 - it stands where os stands
from __future__ import annotations

import ctypes
import errno
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, cast

from sqlcipher3 import _sqlite3

from backchannel import files

SECTOR: Final = 512
CHOICES: Final = ("none", "all", "torn")

History = Callable[[Path, Callable[[object], None]], None]
"""What happens at the desk under a root; it calls its second argument when a step has returned."""


@dataclass(frozen=True, slots=True)
class Crash:
    """What a power failure left."""

    root: Path  # laid out like the history's own
    at: int  # how many operations had been carried out
    choice: str  # of what was not synced
    done: tuple[object, ...]  # the steps that had returned


@dataclass(frozen=True, slots=True)
class Op:
    """One thing done to the disk. A node is a file or folder, whatever it is called."""

    kind: str  # write, truncate, sync; link, unlink, rename (of names); done
    node: int = 0
    offset: int = 0
    data: bytes = b""
    name: str = ""
    target: str = ""
    value: object = None


def crashes(history: History, start: Path, into: Path, *, seed: int = 0) -> Iterator[Crash]:
    """Every disk that power loss during *history* may leave, one after another.

    *start* is a folder, as it was durably before; the history works in it. Each
    crash is laid out in *into*, anew; the one before is gone then. Two equal
    disks after the same steps are shown once.
    """
    tree = Tree.of(start)
    ops = record(history, start, tree.copy())
    chance = random.Random(seed)
    seen: set[int] = set()
    done: list[object] = []
    for at in range(len(ops) + 1):
        for choice in CHOICES:
            image = tree.image(choice, chance)
            key = hash((tuple(sorted(image.items())), len(done)))
            if key in seen:
                continue
            seen.add(key)
            root = into / "crash"
            lay_out(image, root)
            yield Crash(root, at, choice, tuple(done))
            files.remove_folder(root)
        if at < len(ops):
            tree.apply(ops[at])
            if ops[at].kind == "done":
                done.append(ops[at].value)


def record(history: History, root: Path, tree: Tree) -> list[Op]:
    """Run *history* in *root* and return all that it did to the disk."""
    with recording(root, tree) as disk:
        history(root, disk.done)
    found, modelled = Tree.of(root).image("all", random.Random(0)), tree.image("all", random.Random(0))
    assert found.keys() == modelled.keys(), "a name was made or taken away past the recorder"
    assert found == modelled, "something was written past the recorder"
    return disk.ops


@contextmanager
def recording(root: Path, tree: Tree | None = None) -> Iterator[Disk]:
    """Pass everything that goes to the disk under *root* by a :class:`Disk`."""
    disk = Disk(root, tree or Tree.of(root))
    with _in_place_of_the_system(Shim(disk), Os(disk)):
        yield disk


@contextmanager
def full_disk(root: Path, *, after: int) -> Iterator[Disk]:
    """A disk under *root* on which all writes fail once *after* operations have succeeded."""
    with recording(root) as disk:
        disk.room = after
        yield disk


@contextmanager
def unsynced() -> Iterator[None]:
    """Sync nothing: for tests of what is on a disk, not of when it is there."""
    with _in_place_of_the_system(Shim(None), OsWithoutSync()):
        yield


@contextmanager
def _in_place_of_the_system(shim: Shim, system: object) -> Iterator[None]:
    module = cast("Any", files)  # its own name for it, as its docstring says
    before, module.os = module.os, system
    shim.register()
    try:
        yield
    finally:
        shim.unregister()
        module.os = before
    if shim.error is not None:
        raise shim.error


@dataclass
class File:
    durable: bytes
    pending: list[Op] = field(default_factory=list)

    def image(self, choice: str, chance: random.Random) -> bytes:
        content = bytearray(self.durable)
        for op in self.pending if choice != "none" else ():
            if choice == "torn" and chance.random() < 1 / 3:
                continue
            if op.kind == "truncate":
                del content[op.offset :]
                content.extend(bytes(op.offset - len(content)))
            else:
                tear = chance if choice == "torn" and chance.random() < 1 / 2 else None
                _write(content, op, tear)
        return bytes(content)


class Tree:
    """Files and folders, each with what is durable of it and what is not yet."""

    def __init__(self) -> None:
        self.files: dict[int, File] = {}
        self.names: dict[str, int] = {}  # as programs see them; 0 is a folder
        self.durable_names: dict[str, int] = {}
        self.pending_names: list[Op] = []
        self.last = 0

    @classmethod
    def of(cls, root: Path) -> Tree:
        tree = cls()
        for path in sorted(root.rglob("*")):
            tree.last += 1
            name = str(path.relative_to(root))
            if path.is_dir():
                tree.names[name] = 0
            else:
                tree.names[name] = tree.last
                tree.files[tree.last] = File(path.read_bytes())
        tree.durable_names = dict(tree.names)
        return tree

    def copy(self) -> Tree:
        other = Tree()
        other.files = {node: File(file.durable, list(file.pending)) for node, file in self.files.items()}
        other.names, other.durable_names = dict(self.names), dict(self.durable_names)
        other.pending_names, other.last = list(self.pending_names), self.last
        return other

    def apply(self, op: Op) -> None:
        match op.kind:
            case "write" | "truncate":
                self.files[op.node].pending.append(op)
            case "sync":
                file = self.files[op.node]
                self.files[op.node] = File(file.image("all", random.Random(0)))
            case "sync-folder":
                # Names in this folder; those in others wait for their own sync.
                here = [each for each in self.pending_names if _folder(each.target or each.name) == op.name]
                for each in here:
                    _name(self.durable_names, each)
                    self.pending_names.remove(each)
            case "link" | "unlink" | "rename":
                if op.kind == "link" and op.node:
                    self.files[op.node] = File(b"")
                    self.last = max(self.last, op.node)
                _name(self.names, op)
                self.pending_names.append(op)

    def image(self, choice: str, chance: random.Random) -> dict[str, bytes | None]:
        """Each name with its bytes, or None for a folder, after power loss now."""
        names = dict(self.durable_names)
        for op in self.pending_names:
            if choice == "all" or (choice == "torn" and chance.random() < 1 / 2):
                _name(names, op)
        return {
            name: self.files[node].image(choice, chance) if node else None
            for name, node in names.items()
            # A name in a folder that is not there is not there.
            if all(str(above) in names for above in Path(name).parents if str(above) != ".")
        }


class Disk:
    """The recorder: what the shims tell, in the order in which it happened."""

    def __init__(self, root: Path, tree: Tree) -> None:
        self.root = root.absolute()
        self.tree = tree
        self.ops: list[Op] = []
        self.room: int | None = None  # operations that still succeed; None: all

    def covers(self, path: str | os.PathLike[str]) -> bool:
        return Path(path).is_relative_to(self.root)

    def name(self, path: str | os.PathLike[str]) -> str:
        return str(Path(path).relative_to(self.root))

    def node(self, path: str | os.PathLike[str]) -> int:
        """The file at *path*, which is made now if there is none."""
        name = self.name(path)
        if name not in self.tree.names:
            self.do(Op("link", self.tree.last + 1, name=name))
        return self.tree.names[name]

    def do(self, op: Op) -> None:
        self.tree.apply(op)
        self.ops.append(op)

    def done(self, value: object) -> None:
        self.do(Op("done", value=value))

    def is_full(self) -> bool:
        """Whether the next write fails; each one asks once."""
        if self.room is None:
            return False
        self.room -= 1
        return self.room < 0


class Os:
    """What ``files.py`` calls ``os``: the same, told to the disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._open: dict[int, list[int]] = {}  # descriptor: node, position
        self._folders: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        if self._disk.covers(path) and flags & os.O_CREAT:
            self._refuse()
        descriptor = os.open(path, flags, mode)
        if flags & os.O_DIRECTORY:
            self._folders[descriptor] = str(path)
        elif self._disk.covers(path):
            self._open[descriptor] = [self._disk.node(path), 0]
        return descriptor

    def write(self, descriptor: int, data: bytes) -> int:
        self._refuse()
        written = os.write(descriptor, data)
        node, at = self._open[descriptor]
        self._disk.do(Op("write", node, at, bytes(data[:written])))
        self._open[descriptor][1] += written
        return written

    def fsync(self, descriptor: int) -> None:
        self._refuse()
        folder = self._folders.get(descriptor)
        if folder is None:
            self._disk.do(Op("sync", self._open[descriptor][0]))
        elif self._disk.covers(folder):
            self._disk.do(Op("sync-folder", name=self._disk.name(folder)))

    def close(self, descriptor: int) -> None:
        os.close(descriptor)
        self._open.pop(descriptor, None)
        self._folders.pop(descriptor, None)

    def unlink(self, path: Path) -> None:
        os.unlink(path)
        if self._disk.covers(path):
            self._disk.do(Op("unlink", name=self._disk.name(path)))

    def rename(self, old: Path, new: Path) -> None:
        self._refuse()
        os.rename(old, new)
        name = self._disk.name(old)
        self._disk.do(Op("rename", self._disk.tree.names[name], name=name, target=self._disk.name(new)))

    def mkdir(self, path: Path, mode: int) -> None:
        self._refuse()
        os.mkdir(path, mode)
        self._disk.do(Op("link", 0, name=self._disk.name(path)))

    def _refuse(self) -> None:
        if self._disk.is_full():
            raise OSError(errno.ENOSPC, "No space left on device")


class OsWithoutSync:
    """The same as ``os``, without waiting for the disk."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fsync(self, descriptor: int) -> None:
        pass


class Vfs(ctypes.Structure):
    """``sqlite3_vfs``, to the first three methods that matter here (sqlite3.h)."""

    _fields_: ClassVar = [
        ("iVersion", ctypes.c_int),
        ("szOsFile", ctypes.c_int),
        ("mxPathname", ctypes.c_int),
        ("pNext", ctypes.c_void_p),
        ("zName", ctypes.c_char_p),
        ("pAppData", ctypes.c_void_p),
        ("xOpen", ctypes.c_void_p),
        ("xDelete", ctypes.c_void_p),
        ("rest", ctypes.c_void_p * 14),
    ]


class Methods(ctypes.Structure):
    """``sqlite3_io_methods``, version 3 (sqlite3.h)."""

    _fields_: ClassVar = [
        ("iVersion", ctypes.c_int),
        ("xClose", ctypes.c_void_p),
        ("xRead", ctypes.c_void_p),
        ("xWrite", ctypes.c_void_p),
        ("xTruncate", ctypes.c_void_p),
        ("xSync", ctypes.c_void_p),
        ("rest", ctypes.c_void_p * 13),
    ]


X_OPEN = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p
)
X_DELETE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
X_CLOSE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
X_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64)
X_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)
X_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)

OPEN_CREATE, OPEN_MAIN_JOURNAL = 0x4, 0x800
IOERR_WRITE, IOERR_FSYNC, FULL = 10 | 3 << 8, 10 | 4 << 8, 13


@dataclass
class OpenFile:
    node: int
    folder_to_sync: str | None


class Shim:
    """A VFS that does what the system's does, and tells the disk; without one, it only does not sync.

    It is a copy of the system's structure with two functions of its own. A file
    that it opens gets a copy of the system's methods with four of ours before
    them; the file itself is the system's, so that every other method works.
    """

    _kept: ClassVar[list[object]] = []  # SQLite keeps pointers; nothing here is ever freed

    def __init__(self, disk: Disk | None) -> None:
        self._disk = disk
        self._open: dict[int, OpenFile] = {}
        self._methods: dict[int, Methods] = {}
        self.error: BaseException | None = None
        self._library = ctypes.CDLL(_sqlite3.__file__)
        self._library.sqlite3_vfs_find.restype = ctypes.POINTER(Vfs)
        self._library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
        self._real = self._library.sqlite3_vfs_find(b"unix")
        self._vfs = Vfs.from_buffer_copy(self._real.contents)
        self._vfs.zName = b"backchannel-crash"
        self._vfs.pNext = None
        self._vfs.xOpen = self._pointer(X_OPEN, self._on_open)
        self._vfs.xDelete = self._pointer(X_DELETE, self._on_delete)
        self._kept.append(self)

    def register(self) -> None:
        self._before = self._library.sqlite3_vfs_find(None)
        self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)

    def unregister(self) -> None:
        self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs))
        self._library.sqlite3_vfs_register(self._before, 1)

    def _pointer(self, kind: Any, function: Callable[..., int]) -> int | None:
        def guarded(*arguments: Any) -> int:
            # An exception cannot cross SQLite: it is kept, and the call fails.
            try:
                return function(*arguments)
            except BaseException as error:  # noqa: BLE001
                self.error = self.error or error
                return IOERR_WRITE

        callback = kind(guarded)
        self._kept.append(callback)
        return ctypes.cast(callback, ctypes.c_void_p).value

    def _on_open(self, vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        real = X_OPEN(self._real.contents.xOpen)
        # The address of the name goes on as it came: SQLite reads what stands
        # behind its end.
        code = real(vfs, name, file, flags, out)
        path = os.fsdecode(ctypes.string_at(name)) if name else ""
        if code == 0 and self._disk is None:
            self._wrap(file)
        if code == 0 and path and self._disk is not None and self._disk.covers(path):
            # The system's VFS syncs the folder of a journal it may have made
            # when it first syncs the journal (os_unix.c, UNIXFILE_DIRSYNC).
            journal = flags & OPEN_CREATE and flags & OPEN_MAIN_JOURNAL
            self._open[file] = OpenFile(self._disk.node(path), str(Path(path).parent) if journal else None)
            self._wrap(file)
        return int(code)

    def _wrap(self, file: int) -> None:
        slot = ctypes.c_void_p.from_address(file)
        original = cast("int", slot.value)
        if original not in self._methods:
            real = Methods.from_address(original)
            ours = Methods.from_buffer_copy(real)
            if self._disk is None:
                ours.xSync = self._pointer(X_SYNC, lambda _file, _flags: 0)
            else:
                self._tell(ours, real, self._disk)
            self._kept.append(ours)
            self._methods[original] = ours
        slot.value = ctypes.addressof(self._methods[original])

    def _tell(self, ours: Methods, real: Methods, disk: Disk) -> None:
        close, write, truncate = X_CLOSE(real.xClose), X_WRITE(real.xWrite), X_TRUNCATE(real.xTruncate)

        def on_close(file: int) -> int:
            self._open.pop(file, None)
            return int(close(file))

        def on_write(file: int, data: int, size: int, offset: int) -> int:
            if disk.is_full():
                return FULL
            code = int(write(file, data, size, offset))
            if code == 0:
                disk.do(Op("write", self._open[file].node, offset, ctypes.string_at(data, size)))
            return code

        def on_truncate(file: int, size: int) -> int:
            code = int(truncate(file, size))
            if code == 0:
                disk.do(Op("truncate", self._open[file].node, size))
            return code

        def on_sync(file: int, flags: int) -> int:
            del flags
            if disk.is_full():
                return IOERR_FSYNC
            # Not passed on: what is durable is what the record says.
            disk.do(Op("sync", self._open[file].node))
            folder, self._open[file].folder_to_sync = self._open[file].folder_to_sync, None
            if folder is not None:
                disk.do(Op("sync-folder", name=disk.name(folder)))
            return 0

        ours.xClose = self._pointer(X_CLOSE, on_close)
        ours.xWrite = self._pointer(X_WRITE, on_write)
        ours.xTruncate = self._pointer(X_TRUNCATE, on_truncate)
        ours.xSync = self._pointer(X_SYNC, on_sync)

    def _on_delete(self, vfs: int, name: bytes, sync_folder: int) -> int:
        code = int(X_DELETE(self._real.contents.xDelete)(vfs, name, sync_folder))
        path = os.fsdecode(name)
        if code == 0 and self._disk is not None and self._disk.covers(path):
            self._disk.do(Op("unlink", name=self._disk.name(path)))
            if sync_folder:
                self._disk.do(Op("sync-folder", name=self._disk.name(Path(path).parent)))
        return code


def lay_out(image: dict[str, bytes | None], root: Path) -> None:
    """Write *image* under *root*, which is made."""
    root.mkdir(parents=True)
    for name, content in sorted(image.items()):
        if content is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(content)


def _write(content: bytearray, op: Op, tear: random.Random | None) -> None:
    end = op.offset + len(op.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    at = op.offset
    while at < end:
        stop = min(end, (at // SECTOR + 1) * SECTOR)
        if tear is None or tear.random() < 1 / 2:
            content[at:stop] = op.data[at - op.offset : stop - op.offset]
        at = stop


def _name(names: dict[str, int], op: Op) -> None:
    if op.kind == "link":
        names[op.name] = op.node
    elif op.kind == "unlink":
        names.pop(op.name, None)
    elif op.node:
        # A name is of a file, not of whatever was called so: a rename that is
        # durable before the file's first name is gives it its second.
        names[op.target] = op.node
        if names.get(op.name) == op.node:
            del names[op.name]
    else:
        inside = [name for name in names if name == op.name or name.startswith(op.name + "/")]
        names.update({op.target + name[len(op.name) :]: names.pop(name) for name in inside})


def _folder(name: str) -> str:
    return str(Path(name).parent)
