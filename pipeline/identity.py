"""Which items are one and the same: clean addresses and stable ids. Strings in, strings out; pure."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit, urlunsplit

from .text import fold_text, short_hash

_TRACKING = re.compile(r"utm_\w+|\.?tsrc|guccounter|guce_\w+|siteid|fbclid|gclid|mc_[ce]id|cmpid|ncid|soc_(?:src|trk)")
_TRACKING_BY_HOST = {
    "nasdaq.com": re.compile(r"time"),
    "marketwatch.com": re.compile(r"mod|rss"),
    "wsj.com": re.compile(r"mod"),
    "barrons.com": re.compile(r"mod"),
    "nytimes.com": re.compile(r"partner|emc|smid"),
    "news.google.com": re.compile(r"oc|hl|gl|ceid"),
}
_UUID = re.compile(r"\{?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\}?", re.IGNORECASE)


def clean_url(link: str, base: str) -> str:
    """Return ``link`` made absolute against ``base``, without fragment and tracking parameters.

    Anything that is not http or https (javascript:, a bare guid, a malformed address) gives "".
    """
    try:
        parts = urlsplit(urljoin(base, link.strip())) if link.strip() else urlsplit("")
        host = parts.hostname or ""
        _ = parts.port  # malformed ones raise here
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not host:
        return ""
    query = "&".join(pair for pair in parts.query.split("&") if pair and not _is_tracking(pair, host))
    return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path, query, ""))


def identify(guid: str, url: str, source: str, title: str, date_text: str) -> str:
    """Return the headline_id of an item: equal for the same item in every run and in every feed that carries it.

    The publisher's guid decides, because links may be shared (a ticker's page) or differ between feeds (redirectors).
    A guid that is an address counts without scheme, "www." and tracking; a UUID or a URI (urn:, tag:) counts anywhere;
    any other (a number, an opaque word) only at the host of the item's ``url``. Without a guid the ``url`` decides,
    without either the ``source``, ``title`` and the date as written.
    """
    guid = guid.strip()
    if guid.lower().startswith(("http://", "https://")) and (address := clean_url(guid, guid)):
        return short_hash("url", _compare_url(address))
    if _UUID.fullmatch(guid):
        return short_hash("guid", guid.strip("{}").lower())
    if guid.lower().startswith(("urn:", "tag:")):
        return short_hash("guid", guid)
    if guid:
        return short_hash("local", _name_host(url) or source, guid)
    if url:
        return short_hash("url", _compare_url(url))
    return short_hash("title", source, fold_text(title), date_text)


def _is_tracking(pair: str, host: str) -> bool:
    key, _, value = pair.partition("=")
    if _TRACKING.fullmatch(key.lower()) or (key == "source" and value.startswith("feed_")):
        return True
    return any(
        keys.fullmatch(key) for site, keys in _TRACKING_BY_HOST.items() if host == site or host.endswith(f".{site}")
    )


def _name_host(url: str) -> str:
    return (urlsplit(url).hostname or "").removeprefix("www.")


def _compare_url(url: str) -> str:
    """Return what is left to compare of a clean address: host without "www.", path without a closing slash, query."""
    parts = urlsplit(url)
    return f"{_name_host(url)}{parts.path.rstrip('/')}?{parts.query}"
