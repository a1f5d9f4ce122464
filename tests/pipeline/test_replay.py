"""A recording answers like the network, and only from its own directory."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.records import Feed, FetchResult
from pipeline.replay import replay_feeds

NOW = datetime(2026, 3, 9, 14, 0, tzinfo=UTC)
GENERAL = Feed("wire", "Test Wire", "https://example.com/all")
ACME = Feed("wire:ACME", "Test Wire", "https://example.com/acme", "ACME")


def replay(directory: Path, *feeds: Feed) -> list[FetchResult]:
    return replay_feeds(feeds, directory, lambda: NOW)


def test_recorded_feeds_are_answers_in_the_order_of_the_feeds(tmp_path: Path) -> None:
    (tmp_path / "wire.xml").write_bytes(b"<rss/>")
    (tmp_path / "wire-ACME.xml").write_bytes(b"\xff\xfe<\0")
    acme, general = replay(tmp_path, ACME, GENERAL)
    assert (acme.feed, acme.status, acme.body, acme.fetched_at, acme.http_status) == (
        ACME,
        "ok",
        b"\xff\xfe<\0",
        NOW,
        200,
    )
    assert (general.feed, general.body) == (GENERAL, b"<rss/>")


@pytest.mark.parametrize(
    ("text", "status", "fault"),
    [("503", "failed", "HTTP 503"), ("404\n", "failed", "HTTP 404"), ("304", "not_modified", ""), ("200", "ok", "")],
)
def test_a_status_file_answers_as_a_server_would(tmp_path: Path, text: str, status: str, fault: str) -> None:
    (tmp_path / "wire.xml").write_bytes(b"<rss/>")
    (tmp_path / "wire.status").write_text(text)
    [result] = replay(tmp_path, GENERAL)
    assert (result.status, result.fault, result.http_status) == (status, fault, int(text))
    assert bool(result.body) == (status == "ok")


def test_a_feed_that_was_not_recorded_has_failed(tmp_path: Path) -> None:
    (tmp_path / "wire.xml").write_bytes(b"<rss/>")
    assert [(r.status, r.fault) for r in replay(tmp_path, GENERAL, ACME)] == [
        ("ok", ""),
        ("failed", f"not in the recording {tmp_path}"),
    ]


@pytest.mark.parametrize("feed_id", ["../secret", "link", "/etc/hostname", "sub/../../secret"])
def test_nothing_outside_the_recording_is_read(tmp_path: Path, feed_id: str) -> None:
    (tmp_path / "secret.xml").write_bytes(b"<secret/>")
    directory = tmp_path / "recording"
    directory.mkdir()
    (directory / "sub").mkdir()
    (directory / "link.xml").symlink_to(tmp_path / "secret.xml")
    (directory / "wire.xml").write_bytes(b"<rss/>")
    _, outside = replay(directory, GENERAL, Feed(feed_id, "Test Wire", "https://example.com/"))
    assert (outside.status, outside.body) == ("failed", b"")


def test_no_directory_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"absent: no such directory"):
        replay(tmp_path / "absent", GENERAL)


def test_a_directory_with_none_of_the_feeds_is_an_error_with_an_example(tmp_path: Path) -> None:
    (tmp_path / "other.xml").write_bytes(b"<rss/>")
    with pytest.raises(PipelineError, match=r"holds none of the 1 feeds, expected files such as wire-ACME\.xml"):
        replay(tmp_path, ACME)


def test_a_status_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "wire.status").write_text("down")
    with pytest.raises(PipelineError, match=r"wire\.status: found 'down', expected an HTTP status such as 503"):
        replay(tmp_path, GENERAL)
