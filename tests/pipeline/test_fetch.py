"""Feeds are read politely, within limits, one result each; every claim against a real server on this machine."""

from __future__ import annotations

import gzip
import ipaddress
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from urllib3.exceptions import MaxRetryError
from urllib3.response import HTTPResponse

from pipeline import transport
from pipeline.config import FetchSettings
from pipeline.feed_hosts import HOST_PATIENCE
from pipeline.fetch import fetch_feeds, next_states
from pipeline.records import Feed, FeedState, FetchResult
from pipeline.transport import is_public, plan_retries
from tests.feed_server import Answer, FeedServer

NOW = datetime(2026, 3, 9, 14, 0, tzinfo=UTC)
BODY = b"<rss version='2.0'><channel><title>t</title></channel></rss>"
SETTINGS = FetchSettings(
    user_agent="test-reader/1 (+https://example.com/contact)",
    workers=4,
    per_host=2,
    min_interval_s=0.0,
    timeout_s=5.0,
    deadline_s=5.0,
    retries=2,
    backoff_s=0.001,
    max_retry_after_s=2,
    max_redirects=3,
    max_bytes=100_000,
    allow_private_addresses=True,
)


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with FeedServer() as running:
        yield running


def fetch(*urls: str, states: dict[str, FeedState] | None = None, **changes: object) -> list[FetchResult]:
    feeds = [Feed(f"feed{index}", "Test Wire", url) for index, url in enumerate(urls)]
    return fetch_feeds(feeds, states or {}, replace(SETTINGS, **changes), lambda: NOW)  # type: ignore[arg-type]


def test_an_answer_is_kept_with_what_is_needed_to_ask_again(server: FeedServer) -> None:
    url = server.add("/a", Answer(body=BODY, etag='"v1"', last_modified="Mon, 09 Mar 2026 13:00:00 GMT"))
    [result] = fetch(url)
    assert result == FetchResult(
        Feed("feed0", "Test Wire", url),
        NOW,
        "ok",
        BODY,
        "application/rss+xml",
        200,
        '"v1"',
        "Mon, 09 Mar 2026 13:00:00 GMT",
    )
    assert server.requests[0].headers["user-agent"] == SETTINGS.user_agent


@pytest.mark.parametrize(
    "answer",
    [Answer(body=BODY, gzipped=1), Answer(body=BODY, chunked=7), Answer(body=BODY, chunked=9, gzipped=1)],
    ids=["gzip", "chunked", "both"],
)
def test_encoded_bodies_arrive_plain(server: FeedServer, answer: Answer) -> None:
    assert fetch(server.add("/a", answer))[0].body == BODY


@pytest.mark.parametrize(
    ("answers", "status", "fault", "request_count"),
    [
        ([Answer(503), Answer(body=BODY)], "ok", "", 2),
        ([Answer(429), Answer(500), Answer(body=BODY)], "ok", "", 3),
        ([Answer(drop=True), Answer(body=BODY)], "ok", "", 2),
        ([Answer(body=BODY, announced=999), Answer(body=BODY)], "ok", "", 2),
        ([Answer(503, retry_after="nonsense"), Answer(body=BODY)], "ok", "", 2),
        ([Answer(503)], "failed", "HTTP 503", 3),
        ([Answer(404)], "failed", "HTTP 404", 1),
        ([Answer(204)], "failed", "HTTP 204", 1),
        ([Answer(304)], "failed", "HTTP 304", 1),
        ([Answer(429, retry_after="3600")], "failed", "HTTP 429", 1),
        ([Answer(503, retry_after="Fri, 01 Jan 2100 00:00:00 GMT")], "failed", "HTTP 503", 1),
        ([Answer(drop=True)], "failed", "Connection aborted. Remote end closed connection without response", 3),
        ([Answer(body=b"not gzip", headers={"Content-Encoding": "gzip"})], "failed", "failed to decode", 1),
    ],
)
def test_what_may_pass_is_retried_and_what_will_not_is_reported(
    server: FeedServer, answers: list[Answer], status: str, fault: str, request_count: int
) -> None:
    [result] = fetch(server.add("/a", *answers))
    assert (result.status, len(server.requests)) == (status, request_count)
    assert fault in result.fault
    assert "\n" not in result.fault
    assert (result.body == BODY) == (status == "ok")


def test_a_body_that_breaks_off_every_time_is_a_fault_not_half_a_feed(server: FeedServer) -> None:
    [result] = fetch(server.add("/a", Answer(body=BODY, announced=999)))
    assert (result.status, result.body, len(server.requests)) == ("failed", b"", 3)
    assert "IncompleteRead" in result.fault


@pytest.mark.parametrize(("retry_after", "pauses"), [("2", [2]), ("0", []), ("3", None), ("7200", None)])
def test_a_pause_asked_for_is_kept_in_full_or_not_tried(retry_after: str, pauses: list[float] | None) -> None:
    response = HTTPResponse(status=503, headers={"Retry-After": retry_after})
    rule = plan_retries(SETTINGS)  # up to max_retry_after_s = 2
    if pauses is None:
        with pytest.raises(MaxRetryError):
            rule.increment("GET", "/", response=response, _pool=None)
    else:
        after = rule.increment("GET", "/", response=response, _pool=None)
        assert after.get_retry_after(response) == (pauses[0] if pauses else 0)


def test_pauses_grow_and_carry_jitter() -> None:
    rule, waits = plan_retries(replace(SETTINGS, backoff_s=1.0)), []
    response = HTTPResponse(status=503)
    assert rule.get_backoff_time() == 0
    for _ in range(2):
        rule = rule.increment("GET", "/", response=response, _pool=None)
        waits.append(rule.get_backoff_time())
    assert 1 <= waits[0] <= 2 <= waits[1] <= 3
    assert rule.get_backoff_time() != waits[1]


@pytest.mark.parametrize(
    ("answer", "changes", "fault"),
    [
        (Answer(hang=True), {"timeout_s": 1.0}, "timed out after 1 s"),
        (Answer(body=BODY * 100, drip="body"), {"deadline_s": 1.0}, "not read within 1 s"),
        (Answer(body=BODY, drip="head"), {"deadline_s": 1.0}, "not read within 1 s"),
        (Answer(302, BODY * 100, location="/b", drip="body"), {"deadline_s": 1.0}, "not read within 1 s"),
    ],
    ids=["silent", "dripping body", "dripping headers", "dripping redirect"],
)
def test_a_slow_server_costs_its_feed_and_no_more(
    server: FeedServer, answer: Answer, changes: dict[str, float], fault: str
) -> None:
    url = server.add("/slow", answer)
    server.add("/b", Answer(body=BODY))
    slow, good = fetch(url, server.add("/good", Answer(body=BODY)), retries=0, **changes)
    assert (slow.status, slow.fault) == ("failed", fault)
    assert good.status == "ok"


def test_the_size_limit_counts_what_unfolds(server: FeedServer) -> None:
    limit = SETTINGS.max_bytes
    urls = [
        server.add("/exact", Answer(body=b"x" * limit)),
        server.add("/large", Answer(body=b"x" * (limit + 1))),
        server.add("/endless", Answer(body=b"x" * (limit + 1), announced=-1)),
        server.add("/packed", Answer(body=b"x" * (limit + 1), gzipped=1)),
    ]
    assert [result.fault for result in fetch(*urls)] == ["", *["larger than 100,000 bytes"] * 3]


@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_is_never_unfolded(server: FeedServer, layers: int) -> None:
    fetch(server.add("/warm", Answer(body=BODY)))  # so that only the bomb is measured
    body = b"\0" * 20_000_000
    for _ in range(layers):
        body = gzip.compress(body)
    encoding = ", ".join(["gzip"] * layers)
    url = server.add("/bomb", Answer(body=body, headers={"Content-Encoding": encoding}))
    tracemalloc.start()
    [result] = fetch(url)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.fault == "larger than 100,000 bytes"
    assert peak_bytes < 2_000_000


def test_an_unchanged_feed_is_not_sent_again(server: FeedServer) -> None:
    url = server.add("/a", Answer(body=BODY, etag='"v1"'))
    first = fetch(url)
    states = next_states(first, {}, {})
    [second] = fetch(url, states=states)
    assert (second.status, second.body, second.http_status) == ("not_modified", b"", 304)
    assert server.requests[1].headers["if-none-match"] == '"v1"'


def test_validators_of_another_address_are_not_sent(server: FeedServer) -> None:
    url = server.add("/a", Answer(body=BODY, etag='"v1"'))
    [result] = fetch(url, states={"feed0": FeedState("feed0", server.url("/old"), '"v1"', "yesterday")})
    assert result.status == "ok"
    assert not {"if-none-match", "if-modified-since"} & set(server.requests[0].headers)


@pytest.mark.parametrize(
    ("location", "fault"),
    [
        ("/b", ""),
        ("file:///etc/hostname", "bad address or redirect: No host specified"),
        ("ftp://127.0.0.1/x", "bad address or redirect: Not supported URL scheme ftp"),
        ("/a", "more than 3 redirects"),
        ("javascript:alert(1)", "bad address or redirect: No host specified"),
        ("http://[broken/", "Invalid IPv6 URL"),
    ],
)
def test_redirects_end_at_http_and_soon(server: FeedServer, location: str, fault: str) -> None:
    server.add("/b", Answer(body=BODY))
    [result] = fetch(server.add("/a", Answer(302, location=location)))
    assert fault in result.fault
    assert result.status == ("failed" if fault else "ok")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::8.8.8.8", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),  # where clouds keep their credentials
        ("100.64.0.1", False),  # carrier-grade NAT
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("239.255.255.250", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("fd12:3456::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::169.254.169.254", False),
        ("2002:7f00:1::", False),  # 6to4 of 127.0.0.1
        ("2001:db8::1", False),
    ],
)
def test_only_the_open_internet_is_public(address: str, expected: bool) -> None:
    assert is_public(address) is expected


def test_a_private_address_hears_nothing_from_us(server: FeedServer) -> None:
    [result] = fetch(server.add("/a", Answer(body=BODY)), allow_private_addresses=False)
    assert (result.status, result.fault) == ("failed", "private address 127.0.0.1 refused")
    assert server.requests == []


def test_a_redirect_to_a_private_address_is_refused(server: FeedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "is_public", lambda address: address == "127.0.0.1" or is_public(address))
    urls = [
        server.add("/a", Answer(302, location="http://10.0.0.1/metadata")),
        server.add("/b", Answer(301, location="http://[::ffff:169.254.169.254]/")),
        server.add("/c", Answer(307, location=f"http://127.0.0.2:{server.url('').rpartition(':')[2]}/d")),
    ]
    assert [result.fault for result in fetch(*urls, allow_private_addresses=False)] == [
        "redirect to private address 10.0.0.1 refused",
        "redirect to private address ::ffff:169.254.169.254 refused",
        "redirect to private address 127.0.0.2 refused",
    ]
    assert sorted(server.paths()) == ["/a", "/b", "/c"]


def test_a_name_that_resolves_inwards_is_refused(server: FeedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after DNS rebinding: what counts is the address the connection has reached."""
    port = int(server.add("/a", Answer(body=BODY)).split(":")[2].partition("/")[0])
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    [result] = fetch(f"http://feeds.example:{port}/a", allow_private_addresses=False)
    assert result.fault == "private address 127.0.0.1 refused"
    assert server.requests == []


def test_an_unknown_name_is_a_fault_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    [result] = fetch("http://feeds.example/a")
    assert result.fault == "Failed to resolve 'feeds.example' ([Errno -2] Name or service not known)"


def test_a_closed_port_is_a_fault() -> None:
    with FeedServer() as gone:
        url = gone.url("/a")
    [result] = fetch(url)
    assert "Connection refused" in result.fault


def test_results_come_in_the_order_of_the_feeds_whatever_fails(server: FeedServer) -> None:
    gate = threading.Event()
    first = server.add("/first", Answer(body=b"first", gate=gate))
    urls = [first, server.add("/bad", Answer(404)), "http://[broken/", server.add("/last", Answer(body=b"last"))]
    threading.Timer(0.05, gate.set).start()
    results = fetch(*urls)
    assert [result.feed.url for result in results] == urls
    assert [result.body for result in results] == [b"first", b"", b"", b"last"]
    assert [result.status for result in results] == ["ok", "failed", "failed", "ok"]


def test_no_host_is_asked_by_more_lanes_than_allowed(server: FeedServer) -> None:
    gate = threading.Event()
    urls = [server.add(f"/{index}", Answer(body=BODY, gate=gate)) for index in range(6)]
    # Two are in, and a third has had time to turn up.
    opener = threading.Thread(target=lambda: (_wait_for(server, 2), gate.wait(0.1), gate.set()))
    opener.start()
    assert {result.status for result in fetch(*urls, workers=6, per_host=2)} == {"ok"}
    opener.join()
    assert server.most_at_once == 2


def test_a_slow_host_does_not_hold_up_the_others() -> None:
    gate = threading.Event()
    with FeedServer() as slow, FeedServer() as quick:
        urls = [slow.add(f"/{index}", Answer(body=BODY, gate=gate)) for index in range(8)]
        last = Answer(body=BODY)
        urls += [quick.add(f"/{index}", last) for index in range(8)]
        opener = threading.Thread(target=lambda: (_wait_for(quick, 8), gate.set()))
        opener.start()  # the slow host answers only after the quick one has answered everything
        results = fetch(*urls, workers=4, per_host=2)
        opener.join()
    assert {result.status for result in results} == {"ok"}


def _wait_for(server: FeedServer, count: int) -> None:
    for _ in range(1000):
        if len(server.requests) >= count:
            return
        threading.Event().wait(0.005)


def test_requests_to_one_host_keep_their_distance(server: FeedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    now, pauses = [100.0], []
    monkeypatch.setattr("pipeline.feed_hosts.time.monotonic", lambda: now[0])
    monkeypatch.setattr(
        "pipeline.feed_hosts.time.sleep", lambda seconds: (pauses.append(seconds), now.append(now.pop() + seconds))
    )
    urls = [server.add(f"/{index}", Answer(body=BODY)) for index in range(4)]
    fetch(*urls, per_host=1, min_interval_s=0.25)
    assert pauses == pytest.approx([0, 0.25, 0.25, 0.25])


def test_a_host_that_is_down_is_soon_left_alone(server: FeedServer) -> None:
    urls = [server.add(f"/{index}", Answer(503)) for index in range(HOST_PATIENCE + 3)]
    results = fetch(*urls, per_host=1, retries=0)
    assert len(server.requests) == HOST_PATIENCE
    assert {result.status for result in results} == {"failed"}
    assert results[-1].fault.startswith("not asked: 127.0.0.1:")
    assert results[-1].fault.endswith("failed 5 times in a row, last: HTTP 503")


def test_feeds_that_do_not_exist_do_not_discredit_their_host(server: FeedServer) -> None:
    urls = [server.add(f"/{index}", Answer(404)) for index in range(HOST_PATIENCE + 3)]
    assert {result.fault for result in fetch(*urls, per_host=1)} == {"HTTP 404"}


def test_connections_to_a_host_are_used_again(server: FeedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    new_connection = transport._GuardedConnection._new_conn
    monkeypatch.setattr(
        transport._GuardedConnection, "_new_conn", lambda self: (opened.append(1), new_connection(self))[1]
    )
    fetch(*[server.add(f"/{index}", Answer(body=BODY)) for index in range(10)], per_host=1)
    assert len(opened) == 1


def test_nothing_to_read_is_no_result() -> None:
    assert fetch() == []


FEED = Feed("wire:ACME", "Test Wire", "https://example.com/new", "ACME")
KNOWN = FeedState("wire:ACME", FEED.url, '"old"', "old date", NOW - timedelta(days=1), NOW - timedelta(days=1), "")


@pytest.mark.parametrize(
    ("result", "state", "faults", "expected"),
    [
        (
            FetchResult(FEED, NOW, "ok", BODY, etag='"new"', last_modified="new date"),
            KNOWN,
            {},
            FeedState("wire:ACME", FEED.url, '"new"', "new date", NOW, NOW, ""),
        ),
        (FetchResult(FEED, NOW, "ok", BODY), KNOWN, {}, FeedState("wire:ACME", FEED.url, "", "", NOW, NOW, "")),
        (FetchResult(FEED, NOW, "not_modified"), KNOWN, {}, replace(KNOWN, last_attempt_at=NOW, last_ok_at=NOW)),
        (
            FetchResult(FEED, NOW, "failed", fault="HTTP 503"),
            KNOWN,
            {},
            replace(KNOWN, last_attempt_at=NOW, fault="HTTP 503"),
        ),
        (  # an answer that could not be parsed must be asked for again in full
            FetchResult(FEED, NOW, "ok", b"<html>", etag='"new"'),
            KNOWN,
            {"wire:ACME": "not a feed"},
            replace(KNOWN, last_attempt_at=NOW, fault="not a feed"),
        ),
        (
            FetchResult(FEED, NOW, "failed", fault="HTTP 503"),
            replace(KNOWN, url="https://example.com/old"),
            {},
            FeedState("wire:ACME", FEED.url, "", "", NOW, None, "HTTP 503"),
        ),
        (
            FetchResult(FEED, NOW, "ok", BODY, etag='"new"'),
            None,
            {},
            FeedState("wire:ACME", FEED.url, '"new"', "", NOW, NOW, ""),
        ),
    ],
    ids=["ok", "ok without validators", "not modified", "failed", "not parsed", "moved", "new"],
)
def test_what_is_remembered_of_a_feed(
    result: FetchResult, state: FeedState | None, faults: dict[str, str], expected: FeedState
) -> None:
    other = FeedState("other", "https://example.com/other")
    states = {"other": other} | ({"wire:ACME": state} if state else {})
    assert next_states([result], states, faults) == {"other": other, "wire:ACME": expected}


def test_public_addresses_are_judged_by_the_library_they_come_from() -> None:
    """Every IPv4 network the library calls private is refused, at both ends."""
    for network in ipaddress.IPv4Address._constants._private_networks:  # type: ignore[attr-defined]
        assert not is_public(str(network[0]))
        assert not is_public(str(network[-1]))
