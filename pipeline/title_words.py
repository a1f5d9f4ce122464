"""A headline cut into words that remember how they were written. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

_APOSTROPHES = "'’‘ʼ`´"
_WORD = re.compile(rf"[{_APOSTROPHES}][sS]\b|[^\W_]+|&")


@dataclass(frozen=True, slots=True)
class Word:
    """One word: ``text`` as written, ``folded`` for comparing, ``start`` and ``end`` offsets in the headline."""

    text: str
    folded: str
    start: int
    end: int

    @property
    def is_capital(self) -> bool:
        """Whether it holds a capital (eBay does) or starts with a digit (3M)."""
        return self.text != self.text.lower() or self.text[0].isdigit()


@dataclass(frozen=True)
class Title:
    """A headline and its words."""

    text: str
    words: tuple[Word, ...]

    @cached_property
    def shape(self) -> str:
        """How it uses capitals: upper, lower, title (on three of four longer words or more) or sentence."""
        if self.text == self.text.upper():
            return "upper"
        if self.text == self.text.lower():
            return "lower"
        longer = [word for word in self.words[1:] if len(word.text) > 3 and word.text.isalpha()]
        capitals = sum(word.is_capital for word in longer)
        return "title" if len(longer) > 1 and capitals >= 0.75 * len(longer) else "sentence"

    def gap(self, i: int) -> str:
        """Return the characters between word ``i`` - 1 and word ``i``; a line break stands for either end."""
        if not 0 < i < len(self.words):
            return "\n"
        return self.text[self.words[i - 1].end : self.words[i].start]

    def folded(self, i: int) -> str:
        """Return word ``i`` folded, empty outside the headline."""
        return self.words[i].folded if 0 <= i < len(self.words) else ""

    def is_capital(self, i: int) -> bool:
        """Whether word ``i`` exists and is capital."""
        return 0 <= i < len(self.words) and self.words[i].is_capital


def read_title(text: str) -> Title:
    """Cut ``text`` into words. A possessive 's is a word of its own; "and" and "&" are the same word."""
    return Title(text, tuple(Word(m[0], _fold(m[0]), m.start(), m.end()) for m in _WORD.finditer(text)))


def _fold(word: str) -> str:
    if word[0] in _APOSTROPHES:
        return "'s"
    if not word.isascii():
        word = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    word = word.lower()
    return "&" if word == "and" else word
