"""The bytes of a store's files, from a folder or over HTTP, each held against its SHA-256. Nothing is parsed here."""

from __future__ import annotations

import hashlib
import http.client
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from time import sleep
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from .errors import FeatureStoreError

WORKERS = 8
TIMEOUT_S = 30.0
TRIES = 4
PAUSE_S = 0.5
"""Before the first retry; doubled before each further one."""
MAX_PAUSE_S = 30.0
MAX_BYTES = 64 * 1024 * 1024
"""No file is read beyond this; a session of 500 tickers has some 100 kB."""
_PASSING = frozenset({429, 500, 502, 503, 504})
_HEADERS = {"User-Agent": "feature-store-reader", "Accept-Encoding": "gzip"}
_GZIP = 31
"""zlib's sign for gzip with the largest window."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A store on this machine."""

    root: Path

    def locate(self, path: str) -> str:
        """Return what an error calls the file ``path``."""
        return str(self.root / path)

    def read_all(self, paths: Sequence[str]) -> Iterator[bytes]:
        """Yield the content of each file, in order. Raises FeatureStoreError if one is missing or unreadable."""
        for path in paths:
            try:
                yield (self.root / path).read_bytes()
            except FileNotFoundError:
                raise FeatureStoreError(f"{self.root / path}: missing") from None
            except OSError as error:
                raise FeatureStoreError(f"{self.root / path}: unreadable ({error.strerror})") from error


@dataclass(frozen=True, slots=True)
class WebFolder:
    """A store below an address, as raw files."""

    base: str

    def locate(self, path: str) -> str:
        """Return the URL of ``path``."""
        return f"{self.base}/{path}"

    def read_all(self, paths: Sequence[str]) -> Iterator[bytes]:
        """Yield the content of each file, in order; ``WORKERS`` are read at once.

        Raises:
            FeatureStoreError: an answer other than 200, a connection that fails ``TRIES`` times, a body that is too
                long, a redirect to another scheme; names the URL.
        """
        with ThreadPoolExecutor(WORKERS) as pool:
            yield from pool.map(lambda path: _fetch(self.locate(path)), paths)


Folder = LocalFolder | WebFolder


def open_folder(root: str | os.PathLike[str]) -> Folder:
    """Return the folder of ``root``: a path (~ is home), an https:// address, or an http:// one of this machine.

    Raises:
        FeatureStoreError: it is neither, or a malformed address.
    """
    if isinstance(root, os.PathLike) or (isinstance(root, str) and "://" not in root):
        return LocalFolder(Path(os.path.expanduser(root)))
    if not isinstance(root, str) or not _is_allowed(root):
        raise FeatureStoreError(f"root {root!r}: expected a folder or an https:// address (http:// for localhost only)")
    return WebFolder(root.rstrip("/"))


def read_sealed(folder: Folder, files: dict[str, str], cache: Path | None) -> list[bytes]:
    """Return the content of ``files``, a SHA-256 by path, in order; every one is what was sealed.

    With a ``cache``, files of a web folder are kept there under their SHA-256, and read from there the next time.

    Raises:
        FeatureStoreError: a file cannot be read, or its SHA-256 is another one.
    """
    kept = _read_kept(cache, files.values()) if cache and isinstance(folder, WebFolder) else {}
    needed = [path for path, sha256 in files.items() if sha256 not in kept]
    for path, content in zip(needed, folder.read_all(needed), strict=True):
        found = hashlib.sha256(content).hexdigest()
        if found != files[path]:
            raise FeatureStoreError(
                f"{folder.locate(path)}: changed since it was sealed: SHA-256 {found[:12]}..., "
                f"expected {files[path][:12]}..."
            )
        kept[found] = content
        if cache and isinstance(folder, WebFolder):
            _keep(cache, found, content)
    return [kept[sha256] for sha256 in files.values()]


def _read_kept(cache: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """Return what the cache holds of ``wanted``, by SHA-256; a damaged file there counts as absent."""
    paths = {sha256: cache / f"{sha256}.csv" for sha256 in wanted}
    contents = {sha256: path.read_bytes() for sha256, path in paths.items() if path.is_file()}
    return {sha256: content for sha256, content in contents.items() if hashlib.sha256(content).hexdigest() == sha256}


def _keep(cache: Path, sha256: str, content: bytes) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=cache, prefix=".", suffix=".tmp", delete=False) as file:
            file.write(content)
        os.replace(file.name, cache / f"{sha256}.csv")
    except OSError as error:
        raise FeatureStoreError(f"cache {cache}: cannot be written ({error.strerror})") from error


def _fetch(url: str) -> bytes:
    """Return the body of ``url``; faults that pass are tried ``TRIES`` times."""
    for attempt in range(TRIES):
        pause_s = PAUSE_S * 2**attempt
        try:
            return _fetch_once(url)
        except HTTPError as error:
            fault = f"HTTP {error.code} {error.reason}"
            asked = error.headers.get("Retry-After", "")
            pause_s = float(asked) if asked.isdecimal() else pause_s
            error.close()
            if error.code not in _PASSING:
                break
        except (OSError, http.client.HTTPException, zlib.error) as error:
            fault = f"no whole answer in {TRIES} attempts: {str(error) or type(error).__name__}"
        if attempt < TRIES - 1:
            sleep(min(pause_s, MAX_PAUSE_S))
    raise FeatureStoreError(f"{url}: {' '.join(fault.split())}")


def _fetch_once(url: str) -> bytes:
    with build_opener(_SameScheme).open(Request(url, headers=_HEADERS), timeout=TIMEOUT_S) as answer:  # noqa: S310
        body: bytes = answer.read(MAX_BYTES + 1)
        if answer.length and len(body) <= MAX_BYTES:
            raise http.client.IncompleteRead(body, answer.length)
        content = _decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body
    if len(content) > MAX_BYTES:
        raise FeatureStoreError(f"{url}: longer than {MAX_BYTES} bytes, expected a file of a feature store")
    return content


def _decompress(body: bytes) -> bytes:
    """Return the first ``MAX_BYTES`` + 1 bytes of what was compressed: however little it was, it may unfold to much."""
    stream = zlib.decompressobj(wbits=_GZIP)
    content = stream.decompress(body, MAX_BYTES + 1)
    if not stream.eof and len(content) <= MAX_BYTES:
        raise http.client.IncompleteRead(body)
    return content


class _SameScheme(HTTPRedirectHandler):
    """Follows a redirect only where :func:`open_folder` would go, and never from https to http."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        if not _is_allowed(newurl) or urlsplit(newurl).scheme != req.type:
            raise FeatureStoreError(f"{req.full_url}: redirected to {newurl}: expected {req.type}://")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_allowed(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0 and url.isascii() and url.isprintable() and " " not in url
    except ValueError:  # a port that is no number, a bracket that is not closed
        return False
    return is_whole and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK))
