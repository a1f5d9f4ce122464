"""Where an archive lies: a path, or an address it is downloaded from. Either may be held against a SHA-256.

A download needs that SHA-256, is bounded in size and time, and reaches no private address. It goes to a temporary
folder that vanishes with the run.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from urllib3.exceptions import MaxRetryError
from urllib3.response import BaseHTTPResponse

from .archive import SUFFIXES
from .config import FetchSettings
from .errors import ArchiveError, ConfigError, FeedError
from .fetch import SURVIVABLE
from .model_folder import hash_file
from .transport import Exchange, open_pool, plan_retries

MAX_BYTES = 4 * 2**30
DEADLINE_S = 3600.0
"""Longest time one download may take."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PIECE_BYTES = 2**20


@contextmanager
def open_archive(place: str, sha256: str, settings: FetchSettings, max_bytes: int = MAX_BYTES) -> Iterator[Path]:
    """Yield the path of the archive at ``place``, a path or an http(s) address; ``sha256`` "" checks nothing.

    Raises:
        ConfigError: ``sha256`` is not 64 hex digits, or is missing for an address.
        ArchiveError: the archive has another SHA-256, cannot be downloaded, or is larger than ``max_bytes``.
    """
    if sha256 and not _SHA256.fullmatch(sha256):
        raise ConfigError(f"--sha256 {sha256}: expected 64 hex digits in lower case")
    if not is_address(place):
        if sha256 and Path(place).is_file():
            _require(place, hash_file(Path(place)), sha256)
        yield Path(place)
        return
    name = PurePosixPath(urlsplit(place).path).name
    if not name.endswith(SUFFIXES):
        raise ArchiveError(f"{place}: expected an address of a file that ends in {', '.join(SUFFIXES)}")
    if not sha256:
        raise ConfigError(f"{place}: an archive that is downloaded needs --sha256, 64 hex digits")
    with tempfile.TemporaryDirectory(prefix="archive-") as folder:
        path = Path(folder) / name
        _require(place, download(place, path, settings, max_bytes), sha256)
        yield path


def is_address(place: str) -> bool:
    """Say whether ``place`` is an http(s) address and no path."""
    return place.startswith(("https://", "http://"))


def download(url: str, path: Path, settings: FetchSettings, max_bytes: int) -> str:
    """Write what ``url`` answers to ``path``, byte for byte, and return its SHA-256.

    Raises:
        ArchiveError: there is no whole answer of at most ``max_bytes``; says why in one line.
    """
    limits = replace(settings, deadline_s=DEADLINE_S)
    headers = {"User-Agent": limits.user_agent, "Accept-Encoding": "identity"}
    try:
        host = urlsplit(url).hostname or ""
        with Exchange(host, limits.deadline_s, limits.allow_private_addresses) as exchange:
            answer = open_pool(limits).request(
                "GET", url, headers=headers, retries=plan_retries(limits), preload_content=False
            )
            try:
                return _write(answer, path, max_bytes)
            finally:
                answer.close()
                exchange.check()
    except SURVIVABLE as error:
        raise ArchiveError(f"{url}: {_describe(error)}") from error


def _write(answer: BaseHTTPResponse, path: Path, max_bytes: int) -> str:
    if answer.status != 200:
        raise FeedError(f"HTTP {answer.status}")
    digest, byte_count = hashlib.sha256(), 0
    with path.open("wb") as file:
        while piece := answer.read1(_PIECE_BYTES, decode_content=False):
            byte_count += len(piece)
            if byte_count > max_bytes:
                raise FeedError(f"larger than {max_bytes:,} bytes")
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _require(place: str, found: str, expected: str) -> None:
    if found != expected:
        raise ArchiveError(f"{place}: SHA-256 is {found}, expected {expected}")


def _describe(error: Exception) -> str:
    if isinstance(error, MaxRetryError) and error.reason:
        error = error.reason
    return " ".join(str(error).split())[:200] or type(error).__name__
