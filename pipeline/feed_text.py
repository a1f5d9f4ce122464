"""A feed's bytes as text that is safe to parse. Bytes in, text out; what cannot be a feed is a FeedError. Pure.

Done here and not left to the parser, so that what is inspected is what is parsed, in every encoding. Each pattern runs
in linear time, and the limits keep feedparser's own patterns, which do not, away from text made to stall them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from email.message import Message

from .errors import FeedError

MAX_PROLOG = 8_192
"""Characters that may precede the first element: declaration, comments, style sheets. Recorded feeds need under 100."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UNMARKED = {b"<\0?\0": "utf-16-le", b"\0<\0?": "utf-16-be"}
_ENCODING = re.compile(rb"""<\?xml[^<>]{0,100}?\sencoding\s{0,9}=\s{0,9}["']([\w.:-]{1,40})["']""")
_DECLARATION = re.compile(r"<\?xml\s[^<>]*\?>")
_ELEMENT = re.compile(r"<[A-Za-z_]")
_ROOT = re.compile(r"<(!doctype\s{1,9}html|[a-z_][\w:.-]{0,40})", re.IGNORECASE)
_DECLARES = re.compile(r"<!ENTITY|<!DOCTYPE[^<>\[]*\[", re.IGNORECASE)
_CLOSED = re.compile(r"</(?:\w{1,20}:)?(?:rss|feed|RDF)\s*>\s*(?:<!--[^<>]*-->\s*)*\Z")


def read_feed_text(body: bytes, content_type: str) -> str:
    """Return ``body`` as text, stripped, without its XML declaration.

    The encoding is that of the byte order mark (or of a UTF-16 "<?" without one), else of ``content_type`` (an HTTP
    header), else of the XML declaration, else UTF-8; where none of them fits, Windows-1252, as browsers do.

    Raises:
        FeedError: nothing but white space, no element near the start, or a document type or entities of its own
            (the only use of which in a feed is to blow up its reader).
    """
    text = _decode(body, content_type).strip()
    if declaration := _DECLARATION.match(text):
        text = text[declaration.end() :].lstrip()
    if not text:
        raise FeedError("empty answer, expected RSS or Atom")
    if not _ELEMENT.search(text, 0, MAX_PROLOG):
        raise FeedError("not a feed: no markup, expected RSS or Atom")
    if _DECLARES.search(text):
        raise FeedError("declares entities or a document type of its own, refused")
    return text


def name_root(text: str) -> str:
    """Return the first element of ``text`` for a message, such as ``<urlset>`` or ``<!doctype html>``."""
    root = _ROOT.search(text, 0, MAX_PROLOG)
    return f"<{' '.join(root[1].lower().split())}>" if root else "no element"


def is_closed(text: str) -> bool:
    """Tell whether ``text`` ends with the closing tag of a feed, comments aside."""
    return bool(_CLOSED.search(text[-MAX_PROLOG:]))


def _decode(body: bytes, content_type: str) -> str:
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    for encoding in _list_encodings(body, content_type):
        try:
            return body.decode(encoding)
        except (UnicodeError, LookupError):  # another encoding than announced, or one that does not exist
            continue
    return body.decode("windows-1252", "replace")


def _list_encodings(body: bytes, content_type: str) -> Iterator[str]:
    if body[:4] in _UNMARKED:
        yield _UNMARKED[body[:4]]
    header = Message()
    header["Content-Type"] = content_type
    if charset := header.get_content_charset():
        yield charset
    if declared := _ENCODING.search(body[:256]):
        yield declared[1].decode("ascii")
    yield "utf-8"
