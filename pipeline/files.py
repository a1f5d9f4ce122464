"""The disk below the feature store: where dated files lie, replacing a file as a whole, one writer at a time."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

from .errors import StoreError
from .schema import Table, dated_path


def list_dated(root: Path, table: Table) -> dict[tuple[date, int], Path]:
    """Return the dated files of ``table`` that lie where they belong, by session and revision; others are not data."""
    found = {}
    for path in (root / table.folder).glob("*/*.csv"):
        day, _, revision = path.stem.partition(".r")
        try:
            key = date.fromisoformat(day), int(revision or 1)
        except ValueError:
            continue
        if path == root / dated_path(table, *key):
            found[key] = path
    return dict(sorted(found.items()))


def write_atomically(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` so that, whenever the machine stops, the old file or the new one is there, whole.

    Makes the folders above. What a killed write leaves is a hidden ``.NAME.tmp`` beside it, which the next overwrites.
    """
    write_all({path: content})


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write each file as :func:`write_atomically` does, in this order; all are on the disk when this returns."""
    touched: dict[Path, None] = {}
    for path, content in contents.items():
        touched |= dict.fromkeys([path.parent, *_make_folders(path.parent)])
        temporary = path.with_name(f".{path.name}.tmp")
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    for directory in touched:
        _sync_directory(directory)


def remove_all(paths: Sequence[Path]) -> None:
    """Remove files, and the folders that this leaves empty; all are off the disk when this returns."""
    for path in paths:
        path.unlink()
    for directory in sorted({path.parent for path in paths}):
        _sync_directory(directory)
        with suppress(OSError):  # not empty
            directory.rmdir()


def compute_sha256(content: bytes) -> str:
    """Return the SHA-256 of ``content`` as 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def read_sealed(path: Path, sha256: str) -> bytes:
    """Return the content of a sealed file.

    Raises:
        StoreError: it is missing, or its SHA-256 is not ``sha256``.
    """
    if not path.exists():
        raise StoreError(f"{path}: missing, though its session is sealed; restore it")
    content = path.read_bytes()
    if (found := compute_sha256(content)) != sha256:
        raise StoreError(f"{path}: changed since it was sealed: SHA-256 {found[:12]}..., sealed was {sha256[:12]}...")
    return content


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Hold ``directory`` for one writer; the lock goes with the process and leaves no file, nor an empty directory.

    Raises:
        StoreError: another process, or this one, holds it.
    """
    is_new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StoreError(f"{directory}: another run is writing to this store; try again when it has ended") from error
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that is just being started may hold a copy of it
        os.close(descriptor)
        if is_new:
            with suppress(OSError):  # not empty: something was written
                directory.rmdir()


def _make_folders(folder: Path) -> list[Path]:
    """Make ``folder`` and those above it; return the folders that hold a new one, so that they can be synced."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return [path.parent for path in missing]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
