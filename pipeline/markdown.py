"""A stranger's text as Markdown that shows it and does nothing else. Pure; standard library only.

GitHub looks for meaning twice. Its parser reads marks, whose meaning a backslash or an entity takes away. Afterwards
the rendered text is searched for mentions, references, addresses, emoji and formulas; backslashes and entities are gone
by then, and only an empty HTML comment, which is never shown, keeps the parts of such a word from being read together.
"""

from __future__ import annotations

import re

from .text import clean_text

LIMIT = 500
"""Characters that are shown of one text, unless told otherwise."""

COMMENT = "<!-- -->"


def escape_text(text: object, limit: int = LIMIT) -> str:
    """Return ``text`` on one line, as Markdown for a table cell, a list item or a paragraph.

    Control and direction characters are out, and what is longer than ``limit`` characters ends in "…". What is shown is
    :func:`shorten_text` of it, letter by letter: no link, image, code, HTML, mention or reference is made of it.
    """
    shown = shorten_text(text, limit)
    parted = {match.start() for match in _PARTED.finditer(shown)}
    for commit in _COMMIT.finditer(shown):
        parted.update(range(commit.start() + _SHORT, commit.end(), _SHORT))
    leading = _LEADING.match(shown)
    escaped_at = leading.end() - 1 if leading else -1
    return "".join(
        COMMENT * (at in parted) + "\\" * (at == escaped_at) + _ESCAPES.get(char, char) for at, char in enumerate(shown)
    )


def format_code(text: object, limit: int = LIMIT) -> str:
    """Return ``text`` on one line as a code span; a backtick, which would end it, is shown as an apostrophe."""
    shown = shorten_text(text, limit).replace("`", "'")
    return f"`{shown}`" if shown else ""


def shorten_text(text: object, limit: int = LIMIT) -> str:
    """Return ``text`` on one line without control characters, in at most ``limit`` characters."""
    shown = clean_text(str(text).encode(errors="replace").decode())
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…"


def hide_commands(text: str) -> str:
    """Return ``text`` for a log; what a runner would take for one of its commands, ``##[``, is pulled apart."""
    return text.replace("##[", "## [")


_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {mark: "\\" + mark for mark in "\\`*_[]|~#$"}

_LEADING = re.compile(r"[-+=:]|\d{1,9}[.)]")
"""What, at the start of a line, begins a list, an underlined heading or a table's second line; the last sign counts."""

_PARTED = re.compile(
    "|".join(
        (
            r"(?<=@)(?=\S)",  # @mention, name@host
            r"(?<=#)(?=\w)",  # #123, owner/repository#123
            r"(?<=\bGH-)(?=\w)|(?<=\bCVE-)(?=\w)|(?<=\bGHSA-)(?=\w)",
            r"(?<=/)(?=/)",  # scheme://host
            r"(?<=\bwww\.)(?=\S)|(?<=\S\.)(?=[^\W\d_]{2})",  # host.name
            r"(?<=:)(?=[\w+-]+:)",  # :emoji:
            r"(?<=\$)(?=\S)",  # $formula$
        )
    ),
    re.IGNORECASE,
)
"""Where a word that GitHub would make something of is parted."""

_COMMIT = re.compile(r"\b[0-9a-f]{7,40}\b", re.IGNORECASE)
_SHORT = 6
"""Digits that are too few to name a commit."""
