"""What a Hub holds: repositories, each a line of commits, each commit the whole content of the repository. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch

LFS_PATTERNS = ("*.safetensors", "*.bin", "*.onnx", "*.parquet", "*.zip", "*.arrow")
ATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS).encode()


@dataclass(frozen=True)
class File:
    """One file's content; ``is_lfs`` when git holds but a pointer to it."""

    content: bytes
    is_lfs: bool

    @property
    def sha256(self) -> str:
        """The content's SHA-256, the name of an LFS object."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        """What git stores for an LFS file."""
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n".encode()
        )

    @property
    def blob_id(self) -> str:
        """Git's name for what it stores: of the pointer for an LFS file."""
        stored = self.pointer if self.is_lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()

    @property
    def etag(self) -> str:
        """What the client files it under in its cache."""
        return self.sha256 if self.is_lfs else self.blob_id


@dataclass(frozen=True)
class Commit:
    """The repository after one commit; ``revision`` is 40 hex digits."""

    revision: str
    message: str
    files: Mapping[str, File]


@dataclass
class Repository:
    """One repository; the last commit is branch main."""

    kind: str
    name: str
    is_private: bool = False
    commits: list[Commit] = field(default_factory=list)

    @property
    def head(self) -> Commit:
        """The last commit."""
        return self.commits[-1]

    def find(self, revision: str) -> Commit | None:
        """Return the commit that ``revision`` (main, HEAD or 40 hex digits) names."""
        if revision in ("main", "HEAD", "refs/heads/main"):
            return self.head
        return next((commit for commit in self.commits if commit.revision == revision), None)

    def commit(self, files: Mapping[str, File], message: str, revision: str = "") -> Commit:
        """Add a commit that leaves exactly ``files``; its name hangs on its content and its parent."""
        parent = self.head.revision if self.commits else ""
        listing = "".join(f"{path} {file.blob_id}\n" for path, file in sorted(files.items()))
        digest = hashlib.sha1(f"{parent}\n{message}\n{listing}".encode()).hexdigest()
        self.commits.append(Commit(revision or digest, message, dict(files)))
        return self.head


def make_file(path: str, content: bytes) -> File:
    """Return ``content`` as the Hub would store it at ``path``."""
    return File(content, is_lfs_path(path, len(content)))


def is_lfs_path(path: str, size: int) -> bool:
    """Return whether a file of this name and size is stored outside git."""
    return size > 0 and (size > 10_000_000 or any(fnmatch(path, pattern) for pattern in LFS_PATTERNS))


def apply_operations(
    files: Mapping[str, File], operations: list[tuple[str, dict]], objects: Mapping[str, bytes]
) -> dict[str, File]:
    """Return ``files`` after a commit's operations (key, value).

    Raises:
        KeyError: an LFS file was never uploaded, or a deleted file is absent.
    """
    result = dict(files)
    for key, value in operations:
        path = value["path"]
        if key == "file":
            result[path] = File(base64.b64decode(value["content"]), False)
        elif key == "lfsFile":
            result[path] = File(objects[value["oid"]], True)
        elif key == "deletedFile":
            del result[path]
        elif key == "deletedFolder":
            result = {name: file for name, file in result.items() if not name.startswith(path.rstrip("/") + "/")}
        else:
            raise KeyError(key)
    return result
