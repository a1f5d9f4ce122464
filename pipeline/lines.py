"""A digest of every line of what is sealed, so that a later hand edit is named by its line. Pure: bytes in, words out.

The manifest's SHA-256 says whether a file changed; the digests say where. Eight hex digits are enough for that: two
different lines share them once in four thousand million.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from itertools import zip_longest

from .schema import LINE_TABLE
from .tables import Cells, encode_cells

_TICKER = re.compile(rb"\d{4}-\d\d-\d\d,([A-Z0-9.]+),")
_SHOWN = 5


def encode_digests(contents: Mapping[str, bytes]) -> bytes:
    """Return the file of the digests of ``contents``, sealed files by the name of their table."""
    return encode_cells(LINE_TABLE, [row for table in sorted(contents) for row in digest_lines(table, contents[table])])


def digest_lines(table: str, content: bytes) -> Cells:
    """Return table, line, ticker and digest of every line of ``content``, as cells of schema.LINES."""
    return [
        [table, str(number), _read_ticker(line), hashlib.sha256(line).hexdigest()[:8]]
        for number, line in enumerate(io.BytesIO(content), 1)
    ]


def name_changes(sealed: Cells, content: bytes) -> list[str]:
    """Return in words how the lines of a file differ from those that were ``sealed``; nothing if none does.

    ``sealed`` is what :func:`digest_lines` gave, of this file alone. The first few lines are named, then how many more
    there are.
    """
    found = list(_compare(sealed, digest_lines("", content)))
    more = len(found) - _SHOWN
    return found[:_SHOWN] + [f"{more} more lines changed, added or removed since it was sealed"] * (more > 0)


def name_resaving(sealed: Cells, content: bytes) -> str:
    """Return in words that another program has saved the whole file, if its line ends or all its rows say so."""
    lines = list(io.BytesIO(content))
    if lines and all(line.endswith(b"\r\n") for line in lines):
        count = sum(1 for _ in _compare(sealed, digest_lines("", content.replace(b"\r\n", b"\n"))))
        besides = f"{count} lines differ besides" if count else "nothing else is different"
        return f"changed since it was sealed: another program has saved it, every line ends with CRLF; {besides}"
    same = {row[3] for row in digest_lines("", content)[1:]} & {row[3] for row in sealed[1:]}
    if lines and not same and len(sealed) > _SHOWN:
        return "changed since it was sealed: no row is as it was, another program may have saved it anew"
    return ""


def name_false_digests(table: str, digests: Cells, content: bytes) -> list[str]:
    """Return in words that ``digests`` are not those of ``content``, a file that is as it was sealed; nothing if so."""
    pairs = zip_longest(digests, digest_lines(table, content))
    wrong = [number for number, (found, expected) in enumerate(pairs, 1) if found != expected]
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return [f"the digest of line {wrong[0]} of {table}{more} is not that of what was sealed"] if wrong else []


def _compare(sealed: Cells, now: Cells) -> Iterator[str]:
    matcher = SequenceMatcher(None, [row[3] for row in sealed], [row[3] for row in now], autojunk=False)
    for tag, first, end, now_first, now_end in matcher.get_opcodes():
        if tag != "equal":
            yield from _name_block(sealed[first:end], now[now_first:now_end])


def _name_block(sealed: Cells, now: Cells) -> Iterator[str]:
    """Pair the lines of a block that differs: what has no partner was added or removed."""
    for before, after in zip_longest(sealed, now):
        if before is None:
            yield f"line {after[1]}{_of(after)}: added since it was sealed"
        elif after is None:
            yield f"line {before[1]} as sealed{_of(before)}: removed since"
        else:
            yield f"line {after[1]}{_of(before)}: changed since it was sealed"


def _of(row: list[str]) -> str:
    return f" ({row[2]})" if row[2] else ""


def _read_ticker(line: bytes) -> str:
    """Return the ticker of the row that begins on ``line``; empty for a header and within a cell of many lines."""
    found = _TICKER.match(line)
    return found.group(1).decode() if found else ""
