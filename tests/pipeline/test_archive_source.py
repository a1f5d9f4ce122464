"""Where an archive may lie: a path or an address, and what is refused of either."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.archive_source import open_archive
from pipeline.config import FetchSettings
from pipeline.errors import PipelineError
from pipeline.files import compute_sha256
from tests.daily_line import impatient_settings
from tests.feed_server import Answer, FeedServer
from tests.sample import PLACES, sample_settings

BODY = gzip.compress(b"time,headline\n2026-01-20,Apple beats\n")
GOOD = compute_sha256(BODY)


@pytest.fixture
def limits(tmp_path: Path) -> FetchSettings:
    return impatient_settings(tmp_path).fetch


def test_an_archive_is_downloaded_byte_for_byte_and_gone_afterwards(limits: FetchSettings) -> None:
    with FeedServer() as server:
        url = server.add("/a/news.csv.gz", Answer(body=BODY, headers={"Content-Encoding": "gzip"}))
        server.add("/moved.csv.gz", Answer(302, location=url))
        with open_archive(server.url("/moved.csv.gz?download=true"), GOOD, limits) as path:
            assert path.name == "moved.csv.gz"
            assert path.read_bytes() == BODY
        assert not path.parent.exists()


def test_a_path_is_used_where_it_lies(tmp_path: Path, limits: FetchSettings) -> None:
    path = tmp_path / "news.csv.gz"
    path.write_bytes(BODY)
    for sha256 in ("", GOOD):
        with open_archive(str(path), sha256, limits) as found:
            assert found == path
    assert path.exists()


@pytest.mark.parametrize(
    ("place", "sha256", "answer", "message"),
    [
        ("/news.csv.gz", "f" * 64, Answer(body=BODY), f"SHA-256 is {GOOD}, expected fff"),
        ("/news.csv.gz", "", Answer(body=BODY), "an archive that is downloaded needs --sha256"),
        ("/news.csv.gz", "F" * 64, Answer(body=BODY), "expected 64 hex digits in lower case"),
        ("/news.csv.gz", GOOD[:12], Answer(body=BODY), "expected 64 hex digits"),
        ("/news.zip", GOOD, Answer(body=BODY), "expected an address of a file that ends in .parquet, .csv, .csv.gz"),
        ("/news.csv.gz", GOOD, Answer(404), "HTTP 404"),
        ("/news.csv.gz", GOOD, Answer(503), "HTTP 503"),
        ("/news.csv.gz", GOOD, Answer(body=BODY + b"x" * 1000), "larger than 500 bytes"),
        ("/news.csv.gz", GOOD, Answer(body=BODY, announced=-1, chunked=7), None),
        ("/news.csv.gz", GOOD, Answer(body=BODY, announced=len(BODY) + 1), ""),
        ("/news.csv.gz", GOOD, Answer(drop=True), ""),
        ("/news.csv.gz", GOOD, Answer(hang=True), ""),
    ],
)
def test_a_download_that_is_not_what_was_asked_for_is_one_line(
    limits: FetchSettings, place: str, sha256: str, answer: Answer, message: str | None
) -> None:
    with FeedServer() as server:
        url = server.add(place, answer)
        if message is None:
            with open_archive(url, sha256, limits, 500) as path:
                assert path.read_bytes() == BODY
            return
        with pytest.raises(PipelineError) as caught, open_archive(url, sha256, limits, 500):
            pass
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_private_address_is_not_asked(limits: FetchSettings) -> None:
    with FeedServer() as server:
        url = server.add("/news.csv", Answer(body=b""))
        strict = replace(limits, allow_private_addresses=False)
        with pytest.raises(PipelineError, match="private address 127.0.0.1 refused"), open_archive(url, GOOD, strict):
            pass
        assert server.paths() == []
    assert sample_settings().fetch.allow_private_addresses is False


def test_a_path_with_another_sha256_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "news.csv"
    path.write_text("time,headline\n2026-01-20,Apple beats\n")
    argv = ["backfill", str(path), *PLACES, "--start", "2026-01-20", "--end", "2026-01-30", "--time-column", "time"]
    assert main([*argv, "--root", str(tmp_path / "store"), "--sha256", GOOD]) == 1
    error = capsys.readouterr().err
    assert error == f"error: {path}: SHA-256 is {compute_sha256(path.read_bytes())}, expected {GOOD}\n"
    assert not (tmp_path / "store").exists()
