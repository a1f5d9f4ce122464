"""One form for a ticker, however it is written elsewhere."""

from __future__ import annotations

import re

from .errors import FeatureStoreError

_TICKER = re.compile(r"([A-Za-z0-9]{1,6})(?:[./-]([A-Za-z]{1,2}))?")


def normalize_ticker(text: str) -> str:
    """Return the store's form of a ticker: upper case, share class behind a dot.

    BRK.B, BRK-B, BRK/B and brk-b all give "BRK.B"; blanks around it do not count.

    Raises:
        FeatureStoreError: it is no ticker: 1 to 6 letters or digits, then perhaps one of . - / and 1 or 2 letters.
    """
    found = _TICKER.fullmatch(text.strip()) if isinstance(text, str) else None
    if not found:
        raise FeatureStoreError(f"ticker {text!r}: malformed, expected a form such as AAPL or BRK.B")
    return ".".join(part for part in found.groups() if part).upper()
