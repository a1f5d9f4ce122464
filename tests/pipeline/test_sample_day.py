"""The recorded day: the committed feeds are what the table renders to, and read back as what the table says."""

from __future__ import annotations

import html
import importlib.util
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import feedparser
import pytest

PROJECT = Path(__file__).parent.parent.parent
SAMPLE_DAY = PROJECT / "pipeline" / "sample_day"
FEEDS = SAMPLE_DAY / "feeds"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_sample_day", PROJECT / "scripts" / "make_sample_day.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows(script: ModuleType) -> list[dict[str, str]]:
    return script._read_rows(SAMPLE_DAY / "headlines.csv")


@pytest.fixture(scope="module")
def tickers(script: ModuleType) -> list[str]:
    return [row["ticker"] for row in script._read_rows(SAMPLE_DAY / "tickers.csv")]


@pytest.fixture
def copied_day(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the day that a test may spoil; the script works on it."""
    shutil.copytree(SAMPLE_DAY, tmp_path / "sample_day")
    shutil.copy(SAMPLE_DAY / "tickers.csv", tmp_path / "tickers.csv")
    monkeypatch.setattr(script, "PIPELINE", tmp_path)
    monkeypatch.setattr(script, "SAMPLE_DAY", tmp_path / "sample_day")
    return tmp_path / "sample_day"


def test_committed_feeds_are_what_the_table_renders_to(script: ModuleType) -> None:
    assert script.main(["--check"]) == 0


def test_rendering_again_changes_no_byte(script: ModuleType, copied_day: Path) -> None:
    assert script.main([]) == 0
    names = sorted(path.name for path in FEEDS.iterdir())
    assert sorted(path.name for path in (copied_day / "feeds").iterdir()) == names
    assert [name for name in names if (copied_day / "feeds" / name).read_bytes() != (FEEDS / name).read_bytes()] == []


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("cnbc.xml", lambda path: path.write_bytes(path.read_bytes() + b"\n")),
        ("yahoo-AAPL.xml", lambda path: path.unlink()),
        ("yahoo-ZZZZ.xml", lambda path: path.write_bytes(b"")),
    ],
    ids=["changed", "missing", "not rendered"],
)
def test_check_names_the_file_that_differs(
    script: ModuleType, copied_day: Path, capsys: pytest.CaptureFixture[str], name: str, spoil: Callable[[Path], object]
) -> None:
    spoil(copied_day / "feeds" / name)
    assert script.main(["--check"]) == 1
    assert [Path(line.split(":")[0]).name for line in capsys.readouterr().out.splitlines()] == [name]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("yahoo,ZZZZ,,,A title,,https://a.example.com/,", "ticker ZZZZ is not in tickers.csv"),
        ("reddit,,,,A title,,https://a.example.com/,", "feed 'reddit': expected one of"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_written(
    script: ModuleType, copied_day: Path, capsys: pytest.CaptureFixture[str], row: str, message: str
) -> None:
    table = copied_day / "headlines.csv"
    line = len(table.read_text(encoding="utf-8").splitlines()) + 1
    table.write_text(table.read_text(encoding="utf-8") + row + "\n", encoding="utf-8")
    shutil.rmtree(copied_day / "feeds")
    assert script.main([]) == 1
    assert f"headlines.csv:{line}: {message}" in capsys.readouterr().err
    assert not (copied_day / "feeds").exists()


def test_every_feed_reads_back_as_the_rows_of_the_table(
    script: ModuleType, rows: list[dict[str, str]], tickers: list[str]
) -> None:
    names = {f"{feed}-{ticker}": (feed, ticker) for feed in script.PER_TICKER for ticker in tickers}
    names |= {feed: (feed, "") for feed in script.GENERAL}
    for fault in script.FAULTS:
        names.pop(Path(fault).stem, None)
    for name, (feed, ticker) in names.items():
        parsed = feedparser.parse((FEEDS / f"{name}.xml").read_bytes())
        assert parsed.version in ("rss20", "atom10"), name
        assert not parsed.bozo, (name, parsed.get("bozo_exception"))
        mine = [row for row in rows if row["feed"] == feed and (not ticker or ticker in row["tickers"].split())]
        assert [_item(entry) for entry in parsed.entries] == [_expected(row) for row in mine], name


def test_identifiers_are_unique_within_a_feed(script: ModuleType) -> None:
    for path in FEEDS.glob("*.xml"):
        ids = [entry.id for entry in feedparser.parse(path.read_bytes()).entries]
        assert len(ids) == len(set(ids)), path.name


def test_an_item_in_two_tickers_feeds_has_one_identifier(rows: list[dict[str, str]]) -> None:
    shared = [row for row in rows if len(row["tickers"].split()) > 1]
    assert shared
    for row in shared:
        ids = set()
        for ticker in row["tickers"].split():
            entries = feedparser.parse((FEEDS / f"{row['feed']}-{ticker}.xml").read_bytes()).entries
            ids.add(next(entry.id for entry in entries if entry.link == row["link"]))
        assert len(ids) == 1


def test_seeking_alpha_and_nasdaq_carry_the_tickers_of_the_item(rows: list[dict[str, str]]) -> None:
    alpha = next(row for row in rows if row["feed"] == "seekingalpha" and row["symbols"])
    entries = feedparser.parse((FEEDS / f"seekingalpha-{alpha['tickers']}.xml").read_bytes()).entries
    terms = next([tag.term for tag in entry.tags] for entry in entries if entry.link == alpha["link"])
    assert terms == [alpha["tickers"], *alpha["symbols"].split()]
    nasdaq = next(row for row in rows if row["feed"] == "nasdaq" and row["symbols"])
    entries = feedparser.parse((FEEDS / f"nasdaq-{nasdaq['tickers']}.xml").read_bytes()).entries
    carried = next(entry.nasdaq_tickers for entry in entries if entry.link == nasdaq["link"])
    assert carried.split(",") == [nasdaq["tickers"], *nasdaq["symbols"].split()]


def test_the_faults_are_faults(rows: list[dict[str, str]]) -> None:
    assert not feedparser.parse((FEEDS / "globenewswire.xml").read_bytes()).version
    assert (FEEDS / "seekingalpha-XOM.status").read_text().strip() == "503"
    assert not any("XOM" in (row["tickers"] + row["symbols"]) or "Exxon" in row["title"] for row in rows)
    assert not (FEEDS / "seekingalpha-XOM.xml").exists()


def test_the_day_has_tickers_with_news_and_without(rows: list[dict[str, str]], tickers: list[str]) -> None:
    with_news = {ticker for row in rows for ticker in row["tickers"].split()}
    assert 35 <= len(with_news) < len(tickers)
    assert 160 <= len({row["title"] for row in rows}) <= 220


def test_links_lead_to_reserved_names_only(rows: list[dict[str, str]]) -> None:
    hosts = {urlsplit(row["link"]).hostname or "" for row in rows}
    assert [host for host in hosts if not host.endswith((".example.com", ".example.org"))] == []


def _item(entry: Mapping[str, str]) -> tuple[str, str, str]:
    return html.unescape(entry["title"]), entry["link"], entry.get("published", entry.get("updated", ""))


def _expected(row: dict[str, str]) -> tuple[str, str, str]:
    suffix = f" - {row['publisher']}" if row["publisher"] else ""
    return row["title"] + suffix, row["link"], row["published"]
