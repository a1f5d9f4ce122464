"""Feeds to bytes. Feeds in, one FetchResult per feed out, good or bad; the only module that reads the network daily.

Hosts are read side by side, the feeds of one host through a few lanes with a minimum interval. A faulty feed is a
result, never an exception, and a host that keeps failing is left alone for the rest of the run.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from http.client import HTTPException
from threading import Lock
from urllib.parse import urlsplit

from tqdm import tqdm
from urllib3 import PoolManager, Retry
from urllib3.exceptions import (
    HTTPError,
    LocationValueError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    ResponseError,
    TimeoutError,
)
from urllib3.response import BaseHTTPResponse

from .config import FetchSettings
from .errors import FeedError
from .feed_hosts import Host, group_by_host
from .records import Feed, FeedState, FetchResult
from .transport import Exchange, open_pool, plan_retries

SURVIVABLE = (FeedError, HTTPError, HTTPException, OSError, ValueError)
"""What a bad feed may raise: our refusals, urllib3, http.client, sockets and TLS, undecodable names and headers."""

_ACCEPT = "application/rss+xml, application/atom+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1"
_READ_BYTES = 65_536
_CONNECTION = re.compile(r"^<?\w*Connection(?:Pool)?\(.*?\)(?: at 0x\w+)?>?: ")


def fetch_feeds(
    feeds: Sequence[Feed],
    states: Mapping[str, FeedState],
    settings: FetchSettings,
    clock: Callable[[], datetime],
    progress: bool = False,
) -> list[FetchResult]:
    """Read every feed once and return one result per feed, in the order of ``feeds``.

    ``states`` by feed_id give the ETag and Last-Modified of the last stored answer. ``clock`` returns aware UTC and is
    read when an answer is complete. ``progress`` draws a bar on stderr. The order of requests is that of ``feeds``
    within a host; the length of retry pauses is random.
    """
    results: dict[int, FetchResult] = {}
    hosts = group_by_host(feeds)
    pool = open_pool(settings)
    with tqdm(total=len(feeds), desc="feeds", unit="feed", disable=not progress, file=sys.stderr) as bar:
        lock = Lock()

        def run_lane(host: Host) -> None:
            for index, feed in host.take(settings.min_interval_s):
                result = host.refuse(feed, clock) or fetch_feed(pool, feed, states.get(feed.feed_id), settings, clock)
                with lock:
                    host.note(result)
                    results[index] = result
                    bar.update()

        with ThreadPoolExecutor(settings.workers, thread_name_prefix="fetch") as executor:
            try:
                lanes = [executor.submit(run_lane, host) for _ in range(settings.per_host) for host in hosts]
                for lane in lanes:
                    lane.result()
            finally:
                for host in hosts:
                    host.queue.clear()  # an interrupted run stops after the feeds in flight
    pool.clear()
    return [results[index] for index in range(len(feeds))]


def fetch_feed(
    pool: PoolManager,
    feed: Feed,
    state: FeedState | None,
    settings: FetchSettings,
    clock: Callable[[], datetime],
) -> FetchResult:
    """Read one feed; a fault of SURVIVABLE becomes a failed result with one line that says what happened."""
    conditions = _ask_if_changed(feed, state)
    headers = {"User-Agent": settings.user_agent, "Accept": _ACCEPT, "Accept-Encoding": "gzip, deflate", **conditions}
    try:
        with Exchange(_hostname(feed.url), settings.deadline_s, settings.allow_private_addresses) as exchange:
            response, body = _exchange_once(pool, feed.url, headers, settings, exchange)
    except SURVIVABLE as error:
        return FetchResult(feed, clock(), "failed", fault=_describe(error, settings))
    answer = FetchResult(
        feed,
        clock(),
        "ok",
        body,
        response.headers.get("Content-Type", ""),
        response.status,
        response.headers.get("ETag", ""),
        response.headers.get("Last-Modified", ""),
    )
    if response.status == 200:
        return answer
    if response.status == 304 and conditions:
        return replace(answer, status="not_modified", body=b"")
    return replace(answer, status="failed", body=b"", fault=f"HTTP {response.status}")


def next_states(
    results: Iterable[FetchResult], states: Mapping[str, FeedState], faults: Mapping[str, str]
) -> dict[str, FeedState]:
    """Return what to remember of each feed once this run's headlines are safely stored. Pure.

    ``faults`` by feed_id are answers that could not be parsed; they count as failed, so that the validators of an
    answer nobody could read never turn the next one into "not modified". Feeds without a result keep their state.
    """
    return {**states, **{r.feed.feed_id: _next_state(r, states, faults.get(r.feed.feed_id, r.fault)) for r in results}}


def _next_state(result: FetchResult, states: Mapping[str, FeedState], fault: str) -> FeedState:
    feed = result.feed
    state = states.get(feed.feed_id)
    if state is None or state.url != feed.url:
        state = FeedState(feed.feed_id, feed.url)
    state = replace(state, last_attempt_at=result.fetched_at, fault=fault)
    if fault:
        return state
    state = replace(state, last_ok_at=result.fetched_at)
    if result.status == "not_modified":
        return replace(state, etag=result.etag or state.etag, last_modified=result.last_modified or state.last_modified)
    return replace(state, etag=result.etag, last_modified=result.last_modified)


def _ask_if_changed(feed: Feed, state: FeedState | None) -> dict[str, str]:
    if state is None or state.url != feed.url:
        return {}
    conditions = {"If-None-Match": state.etag, "If-Modified-Since": state.last_modified}
    return {name: value for name, value in conditions.items() if value}


def _exchange_once(
    pool: PoolManager, url: str, headers: Mapping[str, str], settings: FetchSettings, exchange: Exchange
) -> tuple[BaseHTTPResponse, bytes]:
    """Return the final answer and its body. A body that breaks off is asked for again under the same retry count."""
    retries: Retry = plan_retries(settings)
    while True:
        response = pool.request("GET", url, headers=headers, retries=retries, preload_content=False)
        try:
            return response, _read_body(response, settings.max_bytes, exchange) if response.status == 200 else b""
        except (ProtocolError, ReadTimeoutError) as error:
            retries = (response.retries or retries).increment("GET", url, error=error)
            retries.sleep()
        finally:
            response.close()


def _read_body(response: BaseHTTPResponse, max_bytes: int, exchange: Exchange) -> bytes:
    """Read in small pieces, counted after decompression, so that a bomb is dropped before it has unfolded."""
    body = bytearray()
    try:
        while piece := response.read1(_READ_BYTES, decode_content=True):
            body += piece
            if len(body) > max_bytes:
                raise FeedError(f"larger than {max_bytes:,} bytes")
    finally:
        exchange.check()
    return bytes(body)


def _describe(error: Exception, settings: FetchSettings) -> str:
    if isinstance(error, MaxRetryError) and error.reason:
        error = error.reason
    if isinstance(error, TimeoutError) and not isinstance(error, NewConnectionError):
        return f"timed out after {settings.timeout_s:g} s"
    if isinstance(error, ResponseError):
        return f"more than {settings.max_redirects} redirects"
    parts = [str(part) for part in error.args] if isinstance(error, ProtocolError) else [str(error)]
    text = _CONNECTION.sub("", " ".join(" ".join(parts).split()))[:200] or type(error).__name__
    return f"bad address or redirect: {text}" if isinstance(error, LocationValueError) else text


def _hostname(url: str) -> str:
    return urlsplit(url).hostname or ""
