"""Label names and text normalisation: the vocabulary both lines share. Pure; imports nothing of the project."""

from __future__ import annotations

import hashlib
import re
import unicodedata

LABELS = ("negative", "neutral", "positive")
"""Column order of every probability array in the project."""

MARK = "*"
"""What stands before and after the company's name in a headline whose model was trained to look for it."""

_URL = re.compile(r"https?://\S+|www\.\S+", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_TOKEN = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*%?")


def clean_text(text: str) -> str:
    """Return ``text`` on one line: NFC, control characters out, runs of white space folded to one blank."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in text)
    return _SPACE.sub(" ", text).strip()


def mark_company(headline: str, company: str) -> str:
    """Return ``headline`` with MARK on either side of ``company`` wherever it is named, a cashtag's sign within.

    Found as it is written, if it stands so anywhere, so that ARM is not seen in "arm", else in any case. Unchanged
    where it is not found as whole words, or is "".

    >>> mark_company("Ford recalls trucks, $FORD falls", "Ford")
    '* Ford * recalls trucks, $FORD falls'
    """
    if not company:
        return headline
    whole = rf"(?<!\w)[$#@]?{re.escape(company)}(?!\w)"
    pattern = re.compile(whole, 0 if re.search(whole, headline) else re.IGNORECASE)
    return pattern.sub(lambda found: f"{MARK} {found.group()} {MARK}", headline)


def fold_tokens(text: str) -> tuple[str, ...]:
    """Return the comparable words and numbers of ``text``: lower case, accents, URLs and punctuation gone.

    Numbers keep decimals and a percent sign, because "beats by 2%" and "beats by 20%" are not the same story.
    """
    text = unicodedata.normalize("NFKD", _URL.sub(" ", text))
    text = "".join(c for c in text if not unicodedata.combining(c)).lower().replace("'", "").replace("’", "")
    return tuple(_TOKEN.findall(text))


def fold_text(text: str) -> str:
    """Return :func:`fold_tokens` joined by blanks: equal for texts that differ in case, accents or punctuation only."""
    return " ".join(fold_tokens(text))


def short_hash(*parts: str) -> str:
    """Return 16 hex digits that identify ``parts``: SHA-256 over UTF-8, stable across runs and Python versions."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]
