"""Reading a store over HTTP, from a real server on this machine: as from a folder, or one clear line."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from feature_store import FeatureStoreError, load_features, source
from tests.feature_store.made_store import dated, make_store, weekdays
from tests.feed_server import Answer, FeedServer

DATES = weekdays("2026-01-05", 20)
DAY = dated(DATES[7])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("web"), ["AAPL", "BRK.B", "NA"], DATES, restated={DATES[3]: 2})


@pytest.fixture
def server(folder: Path) -> Iterator[FeedServer]:
    """A server of the store below /store."""
    with FeedServer() as server:
        for path in folder.rglob("*.csv"):
            server.add(f"/store/{path.relative_to(folder)}", Answer(body=path.read_bytes(), content_type="text/plain"))
        yield server


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the reader would have waited for, in seconds."""
    waited: list[float] = []
    monkeypatch.setattr(source, "sleep", waited.append)
    return waited


def days_asked_for(server: FeedServer) -> list[str]:
    return [path for path in server.paths() if "/features/" in path]


@pytest.mark.parametrize("revision", ["latest", "first"])
@pytest.mark.parametrize("end", ["", "/"])
def test_a_web_store_reads_as_the_folder_does(server: FeedServer, folder: Path, revision: str, end: str) -> None:
    found = load_features(root=server.url("/store") + end, revision=revision)
    assert_frame_equal(found, load_features(root=folder, revision=revision))
    restated = dated(DATES[3], 2) if revision == "latest" else dated(DATES[3])
    expected = [restated if day == DATES[3] else dated(day) for day in DATES]
    assert sorted(server.paths()) == sorted(["/store/manifest.csv", *(f"/store/{path}" for path in expected)])
    assert server.most_at_once <= source.WORKERS


def test_compressed_answers_are_unfolded(server: FeedServer, folder: Path) -> None:
    for path in folder.rglob("*.csv"):
        server.add(f"/store/{path.relative_to(folder)}", Answer(body=path.read_bytes(), gzipped=1))
    assert_frame_equal(load_features(root=server.url("/store")), load_features(root=folder))
    assert {request.headers["accept-encoding"] for request in server.requests} == {"gzip"}


def test_only_the_days_asked_for_are_fetched(server: FeedServer) -> None:
    load_features(DATES[2], DATES[2], root=server.url("/store"))
    assert server.paths() == ["/store/manifest.csv", f"/store/{dated(DATES[2])}"]


def test_redirects_on_the_same_scheme_are_followed(server: FeedServer, folder: Path) -> None:
    server.add(f"/store/{DAY}", Answer(302, location="/elsewhere.csv"))
    server.add("/elsewhere.csv", Answer(body=(folder / DAY).read_bytes()))
    assert_frame_equal(load_features(root=server.url("/store")), load_features(root=folder))


FINE = object()
"""Stands for the true answer."""


@pytest.mark.parametrize(
    ("answers", "waits"),
    [
        ([Answer(500), FINE], [0.5]),
        ([Answer(503), Answer(502), FINE], [0.5, 1.0]),
        ([Answer(429, retry_after="7"), FINE], [7.0]),
        ([Answer(429, retry_after="86400"), FINE], [30.0]),
        ([Answer(504, retry_after="Fri, 20 Nov 2026 21:00:00 GMT"), FINE], [0.5]),
        ([Answer(drop=True), FINE], [0.5]),
        ([Answer(body=b"session_date", announced=999), FINE], [0.5]),
        ([Answer(body=b"", announced=999), FINE], [0.5]),
    ],
)
def test_a_passing_fault_is_tried_again(
    server: FeedServer, folder: Path, pauses: list[float], answers: list[object], waits: list[float]
) -> None:
    fine = Answer(body=(folder / DAY).read_bytes())
    server.add(f"/store/{DAY}", *(fine if answer is FINE else answer for answer in answers))  # type: ignore[misc]
    assert_frame_equal(load_features(root=server.url("/store")), load_features(root=folder))
    assert pauses == waits


@pytest.mark.parametrize(
    ("path", "answer", "tries", "message"),
    [
        (DAY, Answer(404), 1, "HTTP 404 Not Found"),
        (DAY, Answer(403), 1, "HTTP 403 Forbidden"),
        (DAY, Answer(500), 4, "HTTP 500 Internal Server Error"),
        (DAY, Answer(429, retry_after="1"), 4, "HTTP 429 Too Many Requests"),
        (DAY, Answer(drop=True), 4, "no whole answer in 4 attempts: Remote end closed connection without response"),
        (DAY, Answer(body=b"session_date", announced=99), 4, "no whole answer in 4 attempts: IncompleteRead("),
        (DAY, Answer(body=b"session_date,ticker\n"), 1, "changed since it was sealed: SHA-256 "),
        (DAY, Answer(body=b"x" * 2_000_001), 1, "longer than 2000000 bytes"),
        (DAY, Answer(body=b"x" * 2_000_001, chunked=100_000), 1, "longer than 2000000 bytes"),
        (DAY, Answer(body=b"x" * 2_000_001, gzipped=1), 1, "longer than 2000000 bytes"),
        (DAY, Answer(body=b"cut short", gzipped=1, announced=20), 4, "no whole answer in 4 attempts: "),
        (DAY, Answer(body=b"plain", headers={"Content-Encoding": "gzip"}), 4, "incorrect header check"),
        (DAY, Answer(302, location="http://example.com/x"), 1, "redirected to http://example.com/x: expected http://"),
        (DAY, Answer(302, location="https://example.com/x"), 1, "redirected to https://example.com/x: expected http://"),
        (DAY, Answer(302, location="file:///etc/passwd"), 1, "file:///etc/passwd"),
        (DAY, Answer(302, location="ftp://127.0.0.1/x"), 1, "redirected to ftp://127.0.0.1/x: expected http://"),
        ("manifest.csv", Answer(404), 1, "HTTP 404 Not Found"),
        ("manifest.csv", Answer(body=b"<!DOCTYPE html>\n"), 1, "not the manifest of a feature store"),
        ("manifest.csv", Answer(body=b"session_date,state\n"), 1, "column revision, available_at, "),
        ("manifest.csv", Answer(body=b"x" * 2_000_001), 1, "longer than 2000000 bytes"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_one_clear_line(
    server: FeedServer, monkeypatch: pytest.MonkeyPatch, path: str, answer: Answer, tries: int, message: str
) -> None:
    monkeypatch.setattr(source, "MAX_BYTES", 2_000_000)
    url = server.add(f"/store/{path}", answer)
    with pytest.raises(FeatureStoreError) as error:
        load_features(root=server.url("/store"))
    assert str(error.value).startswith(f"{url}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert server.paths().count(f"/store/{path}") == tries


def test_a_ring_of_redirects_is_one_clear_line(server: FeedServer) -> None:
    url = server.add(f"/store/{DAY}", Answer(302, location=f"/store/{DAY}"))
    with pytest.raises(FeatureStoreError) as error:
        load_features(root=server.url("/store"))
    assert str(error.value).startswith(f"{url}: HTTP 302 ")
    assert "\n" not in str(error.value)


def test_silence_ends_after_the_timeout(server: FeedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "TIMEOUT_S", 0.05)
    url = server.add("/store/manifest.csv", Answer(hang=True))
    with pytest.raises(FeatureStoreError, match="timed out") as error:
        load_features(root=server.url("/store"))
    assert str(error.value).startswith(f"{url}: no whole answer in 4 attempts: ")


def test_nobody_at_the_address_is_one_clear_line() -> None:
    with socket.socket() as reserved:  # bound, never listening
        reserved.bind(("127.0.0.1", 0))
        root = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        with pytest.raises(FeatureStoreError, match=f"^{root}/manifest.csv: no whole answer .*Connection refused"):
            load_features(root=root)


def test_the_second_load_fetches_no_sealed_file(server: FeedServer, folder: Path, tmp_path: Path) -> None:
    root, cache = server.url("/store"), tmp_path / "deep" / "cache"
    first = load_features(end=DATES[9], root=root, cache=cache)
    assert len(days_asked_for(server)) == 10
    assert_frame_equal(load_features(end=DATES[9], root=root, cache=str(cache)), first)
    assert len(days_asked_for(server)) == 10
    assert_frame_equal(load_features(root=root, cache=cache), load_features(root=folder))
    assert len(days_asked_for(server)) == len(set(days_asked_for(server))) == len(DATES)
    assert server.paths().count("/store/manifest.csv") == 3


def test_a_damaged_file_in_the_cache_is_fetched_again(server: FeedServer, folder: Path, tmp_path: Path) -> None:
    root = server.url("/store")
    load_features(root=root, cache=tmp_path)
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == len(DATES)
    kept[4].write_bytes(b"damaged")
    assert_frame_equal(load_features(root=root, cache=tmp_path), load_features(root=folder))
    assert len(days_asked_for(server)) == len(DATES) + 1
    assert sorted(tmp_path.iterdir()) == kept
    assert kept[4].read_bytes() != b"damaged"


def test_a_changed_file_is_never_kept(server: FeedServer, tmp_path: Path) -> None:
    server.add(f"/store/{DAY}", Answer(body=b"changed\n"))
    with pytest.raises(FeatureStoreError, match="changed since it was sealed"):
        load_features(root=server.url("/store"), cache=tmp_path)
    assert all(path.read_bytes() != b"changed\n" for path in tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_one_clear_line(server: FeedServer, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(FeatureStoreError, match="cache .*cache: cannot be written"):
        load_features(root=server.url("/store"), cache=tmp_path / "cache")
