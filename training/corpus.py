"""Unlabelled texts -> a sample without our held-out texts, each with a name that stands in it, if any does."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from random import Random
from typing import Any

from pipeline.text import clean_text, fold_text

from .readers import DataError

COLUMN = "headline"
LONGEST_HEADLINE = 160
"""Characters; what is longer is a paragraph, of which the first sentence is taken."""
_SENTENCE_END = re.compile(r"(?<=[a-z0-9%)][.!?]) (?=[A-Z\"'])")
_DESK = re.compile(r"^[A-Z][A-Z0-9/&. ]*-(?=\S)")
"""What a wire puts before its headline: "UPDATE 2-", "RPT-"."""
_NAME = re.compile(r"\b[A-Z][\w&.]*(?:['’-]\w+)*(?: (?:[A-Z][\w&.]*|&|of|and)(?=[ ,:;']|$))*")
_TITLE_CASE = 0.6
_EDGES = re.compile(r"(?:\s(?:of|and|&))+$|['’]s$")


def split_name(name: str) -> tuple[str, str]:
    """Return file and column of what a recipe calls FILE#COLUMN, or FILE for the column ``headline``."""
    file, _, column = name.partition("#")
    return file, column or COLUMN


def draw_headlines(
    path: Path, count: int, held_out: Collection[str], random: Random, column: str = COLUMN
) -> list[str]:
    """Return ``count`` distinct texts of the Parquet file ``path``, fewer if it has fewer, in random order.

    None of them equals a text of ``held_out`` but for case and punctuation. See :func:`cut_sentence`.

    Raises:
        DataError: ``path`` is no Parquet file with ``column`` of text.
    """
    headlines = read_headlines(path, column)
    known = {fold_text(text) for text in held_out}
    drawn: dict[str, None] = {}
    for i in random.sample(range(len(headlines)), len(headlines)):
        if len(drawn) == count:
            break
        text = cut_sentence(clean_text(headlines[i].as_py() or ""))
        if text and fold_text(text) not in known:
            drawn[text] = None
    return list(drawn)


def cut_sentence(text: str) -> str:
    """Return ``text``, or of a paragraph its first sentence: up to a mark after which a capital or quote begins."""
    return text if len(text) <= LONGEST_HEADLINE else _SENTENCE_END.split(text, maxsplit=1)[0]


def read_headlines(path: Path, column: str) -> Any:
    """Return ``column`` of the Parquet file ``path``, a ``pyarrow.ChunkedArray`` of text.

    Raises:
        DataError: see :func:`draw_headlines`.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
        if column not in schema.names or schema.field(column).type not in (pyarrow.string(), pyarrow.large_string()):
            found = ", ".join(f"{one.name} ({one.type})" for one in schema)
            raise DataError(f"{path}: no column {column} of text; found {found}")
        return parquet.read_table(path, columns=[column]).column(column)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {str(error).splitlines()[0]}") from error


def find_names(headline: str) -> list[str]:
    """Return runs of capitalised words, candidates for a company: none of a headline that is nearly all capitalised.

    >>> find_names("UPDATE 2-Shell to buy BG Group, shares fall")
    ['Shell', 'BG Group']
    """
    body = _DESK.sub("", headline)
    words = re.findall(r"[A-Za-z][\w&.]*", body)
    if not words or sum(word[0].isupper() for word in words) > _TITLE_CASE * len(words):
        return []
    return [_EDGES.sub("", found.group()).rstrip(".") for found in _NAME.finditer(body)]


def choose_target(headline: str, random: Random) -> str:
    """Return one of the headline's names or, as often as each of them and whenever it has none, ""."""
    return random.choice(["", *find_names(headline)])


def pair_headlines(headlines: Sequence[str], random: Random) -> list[tuple[str, str]]:
    """Return every headline with :func:`choose_target`."""
    return [(headline, choose_target(headline, random)) for headline in headlines]
