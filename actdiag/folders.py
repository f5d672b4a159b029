"""Replace folders and files as a whole, so that a reader finds the old one or the new one, never half.

What is new is written in a workspace: a hidden folder beside what it replaces, whose short name fits beside
names of 255 bytes and is no other run's. A run holds a lock on its workspace; one that nobody holds was left
by a run that was killed, and the next run that writes there removes it.

Nothing is forced onto the disk but single files (`replace_file`): a power cut may leave a report's last files
empty, which `Recording.load` tells; to wait for the disk cost 25 ms of a scan, which is repeated in 2 s.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from actdiag import interrupts
from actdiag.errors import ActdiagError

PREFIX = ".actdiag-"
_OWN = re.compile(re.escape(PREFIX) + "[0-9a-f]{16}")
_NEW, _OLD = "new", "old"
"""In a workspace: what is being written, and a folder that holds the one moved aside, under its name."""
_NO_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM}
_AGAIN = 10
"""How often others may put a folder of theirs in the place between two renames."""


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write into; put it in the place of `folder` when the block ends well.

    Links are followed. After an exception `folder` is as it was, and parents made for it are gone. Linux puts
    the new folder in the old one's place in a single operation, so that at no instant there is none.
    Where the platform or the file system has no such operation, the old one is moved aside first: a run
    that is killed between the two renames leaves none, and `sweep` brings the old one back.

    Raises:
        ActdiagError: the folder cannot be written.
    """
    place = _followed(folder)
    with _telling(folder, "Name another with --out."), _workspace(place.parent) as workspace:
        if place.exists() and not place.is_dir():
            raise ActdiagError(f"{folder} is a file, expected a folder: name another")
        _check_replaceable(folder, place)
        (workspace / _NEW).mkdir()
        yield workspace / _NEW
        interrupts.check()
        _put(workspace, place)


def check_writable(place: Path) -> None:
    """Raise now where a folder or file cannot be put into its place later; nothing is left there.

    Permissions do not tell: the superuser has them all, and neither /proc nor a full disk asks for them. So
    a workspace is made in the nearest folder that exists, and removed.

    Raises:
        ActdiagError: nothing can be made there.
    """
    with _telling(place, "Name another with --out."):
        _check_replaceable(place, _followed(place))
        near = next(folder for folder in _followed(place).parents if folder.exists())
        if not near.is_dir():
            raise ActdiagError(f"cannot write {place}: {near} is a file. Name another with --out.")
        with _workspace(near):
            pass


def _check_replaceable(folder: Path, place: Path) -> None:
    """Raise where a folder cannot be exchanged for another, or the next run would take it for a left-over."""
    if place.is_mount():
        raise ActdiagError(f"{folder} is a mount point, which cannot be replaced: name a folder in it")
    if is_left_over(place.name):
        raise ActdiagError(f"{folder} has a name that actdiag keeps for itself: name another folder")


def replace_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, each as a whole, beside what else is there.

    All are written before the first one is put in its place: a full disk leaves all as they were.

    Raises:
        ActdiagError: the folder cannot be written.
    """
    place = _followed(folder)
    with _telling(folder, "Name another with --out."), _workspace(place) as workspace:
        for name, content in files.items():
            _write_through(workspace / name, content)
        interrupts.check()
        for name in files:
            (workspace / name).replace(place / name)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old content or the new, never half; a link to it is followed.

    Raises:
        ActdiagError: the file cannot be written, or is a device.
    """
    place = _followed(path)
    with _telling(path, "Name another file."), _workspace(place.parent) as workspace:
        if place.exists() and not place.is_file():
            raise ActdiagError(f"cannot write {path}: it is no regular file. Name another file.")
        _write_through(workspace / _NEW, content)
        interrupts.check()
        (workspace / _NEW).replace(place)


def remove(folder: Path) -> None:
    """Remove a folder so that a reader finds all of it or nothing."""
    with _telling(folder, "Remove it by hand."), _workspace(folder.parent) as workspace:
        folder.rename(workspace / _NEW)


def keep_others(old: Path, fresh: Path, is_own: Callable[[str], bool]) -> None:
    """Take over what somebody else put into a folder that is being replaced: the files themselves, or copies.

    Args:
        old: the folder, which may not be there.
        fresh: what comes in its place.
        is_own: returns whether a file of this name is written anew, or goes with the old folder.
    """
    for path in old.iterdir() if old.exists() else ():
        if is_own(path.name) or is_left_over(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, fresh / path.name, symlinks=True, copy_function=_link)
        else:
            _link(path, fresh / path.name)


def is_left_over(name: str) -> bool:
    """Return whether a name is a workspace's, of a run that goes on or of one that was killed."""
    return _OWN.fullmatch(name) is not None


def sweep(parent: Path) -> None:
    """Bring back or remove what runs that were killed left in a folder; those that go on keep theirs."""
    for place in sorted(parent.glob(f"{PREFIX}*")):
        if is_left_over(place.name):
            with suppress(OSError):
                lock = _lock(place)
                if lock is not None:
                    _settle(place)
                    os.close(lock)


@contextmanager
def _workspace(parent: Path) -> Iterator[Path]:
    """Yield an empty folder of this run's own in `parent`, which is made; remove it with what is left."""
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    places: list[Path] = []
    lock: int | None = None
    try:
        sweep(parent)
        parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = _claim(parent, places)
            yield places[-1]
        finally:
            _settle(*places)
    except BaseException:  # which may have come in the middle of settling
        _settle(*places)
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _claim(parent: Path, places: list[Path]) -> int | None:
    """Make a workspace and hold it; its name is in `places` before it is there."""
    while True:
        places.append(parent / f"{PREFIX}{secrets.token_hex(8)}")
        places[-1].mkdir(mode=0o700)
        with suppress(BlockingIOError, FileNotFoundError):
            lock = _lock(places[-1])
            if places[-1].is_dir():
                return lock
        # another run took it for a left-over before it was held


def _lock(place: Path) -> int | None:
    """Return a descriptor that holds a folder as long as it is open, None where folders have no locks.

    Raises:
        BlockingIOError: another holds it.
    """
    if sys.platform == "win32":  # what killed runs left stays until somebody removes it
        return None
    import fcntl

    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor


def _settle(*places: Path) -> None:
    """Remove workspaces, once a folder that was moved aside is back where nothing took its place."""
    for place in places:
        for aside in (place / _OLD).glob("*"):
            with suppress(OSError):
                if not (place.parent / aside.name).exists():
                    aside.rename(place.parent / aside.name)
        shutil.rmtree(place, ignore_errors=True)


def _put(workspace: Path, folder: Path) -> None:
    """Put a workspace's new folder in the place of `folder`, which then lies in the workspace."""
    for _ in range(_AGAIN):
        if _exchanged(workspace / _NEW, folder):
            return
        try:
            _rename_aside(folder, workspace / _OLD)
            (workspace / _NEW).rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
    raise OSError(errno.EBUSY, "other runs write the same folder")


def _rename_aside(folder: Path, old: Path) -> None:
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        old.mkdir()
        with suppress(FileNotFoundError):
            folder.rename(old / folder.name)


def _exchanged(fresh: Path, folder: Path) -> bool:
    """Let two folders change places in one operation; return False where there is none, or one folder.

    Raises:
        OSError: the file system refuses.
    """
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if rename is None:
        return False
    current, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if rename(current, os.fsencode(fresh), current, os.fsencode(folder), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE or code == errno.ENOENT:
        return False
    raise OSError(code, os.strerror(code), str(folder))


def _followed(path: Path) -> Path:
    """Return the absolute path behind links; a loop of links stays, and cannot be written.

    Raises:
        ActdiagError: a path that holds a NUL.
    """
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:
        raise ActdiagError(f"cannot write {str(path)!r}: {error}. Name another.") from error


def _link(source: str | Path, target: str | Path) -> None:
    """Give a file a second name, so that it stays itself; copy it where the file system has no links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _write_through(path: Path, content: bytes) -> None:
    """Write a file and wait for the disk: else a power cut could leave an empty one after the rename."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _telling(what: Path, remedy: str) -> Iterator[None]:
    """Say in one line that something cannot be written, why, and what to do."""
    try:
        yield
    except OSError as error:
        raise ActdiagError(f"cannot write {what}: {error.strerror or error}. {remedy}") from error
