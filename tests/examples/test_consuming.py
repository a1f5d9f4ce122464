"""docs/CONSUMING.md says nothing that does not run: its blocks, in order, on a small store on disk and over HTTP."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import date
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import duckdb
import pandas as pd
import pytest

from feature_store import load_features
from feature_store.columns import COLUMNS

from ..feature_store.made_store import make_store, weekdays

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "CONSUMING.md"
RAW = "https://raw.githubusercontent.com/OWNER/REPO/main"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TICKERS = ["AAPL", "BRK.B", "MSFT", "NA"]


class Handler(SimpleHTTPRequestHandler):
    """Serves files and keeps quiet about it."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone")
    make_store(folder / "feature_store", TICKERS, weekdays("2026-08-03", 85), restated={date(2026, 8, 5): 2})
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def ran(folder: Path, address: str) -> dict[str, Any]:
    """Run the page's blocks in the folder of the store; return the names they leave, and "sql", the query's answer."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for language, block in BLOCK.findall(PAGE.read_text()):
            if language == "python":
                exec(compile(block.replace(RAW, address), str(PAGE), "exec"), names)
            elif language == "sql":
                names["sql"] = duckdb.sql(block).df()
    return names


def test_every_block_is_run_or_a_command() -> None:
    languages = [language for language, _ in BLOCK.findall(PAGE.read_text())]
    assert set(languages) == {"sh", "python", "sql"}
    assert len(languages) == PAGE.read_text().count("\n```") / 2


def test_monthly_frames_have_the_consumers_shape_and_no_hole(ran: dict[str, Any]) -> None:
    for name, frame in ran["frames"].items():
        assert frame.index.equals(ran["dates"]), name
        assert list(frame.columns) == ran["tickers"]
        assert not frame.isna().to_numpy().any()
    assert ran["frames"]["has_news"].loc["2026-09-30", "BRK.B"] == 1.0
    assert ran["frames"]["has_news"]["XOM"].sum() == 0.0


def test_the_market_series_passes_a_loader_that_turns_text_into_nan(ran: dict[str, Any], folder: Path) -> None:
    loaded = pd.read_csv(folder / "news.csv", index_col=0, parse_dates=True).apply(pd.to_numeric, errors="coerce")
    assert loaded.index.equals(ran["dates"])
    assert not loaded.isna().to_numpy().any()
    assert loaded["market_story_count"].gt(0).sum() >= 3


def test_prices_meet_only_what_was_known_before_the_opening_bell(ran: dict[str, Any]) -> None:
    joined = ran["joined"]
    bells = (pd.to_datetime(joined["date"]) + pd.Timedelta("9h30min")).dt.tz_localize("America/New_York")
    assert joined["available_at"].notna().all()
    assert (joined["available_at"] < bells).all()


def test_failed_fetches_can_be_kept_apart(ran: dict[str, Any]) -> None:
    assert set(ran["is_known"].to_numpy().ravel()) == {0.0, 1.0}


def test_the_past_the_first_and_the_latest_view_differ_as_the_page_says(ran: dict[str, Any]) -> None:
    moment = pd.Timestamp("2026-09-01T13:30:00Z")
    assert (ran["then"]["available_at"] <= moment).all()
    is_restated = ran["now"]["session_date"] == "2026-08-05"
    assert (ran["first"]["available_at"] != ran["now"]["available_at"]).equals(is_restated)


def test_what_is_read_from_the_web_is_what_is_read_from_disk(ran: dict[str, Any], folder: Path) -> None:
    columns = ["sentiment_score", "has_news"]
    local = load_features("2026-11-01", columns=columns, root=folder / "feature_store")
    pd.testing.assert_frame_equal(ran["recent"], local)
    assert list(ran["day"]["ticker"]) == TICKERS


def test_duckdb_and_polars_read_what_the_reader_reads(ran: dict[str, Any]) -> None:
    first = ran["first"].set_index(["session_date", "ticker"]).sort_index()
    known = first[first["available_at"] < "2026-11-20T14:30:00Z"]
    told = ran["sql"].set_index(["session_date", "ticker"])
    for name in told.columns:
        pd.testing.assert_series_equal(
            told[name].astype("float64"), known[name], check_names=False, check_index_type=False
        )
    rows = ran["rows"].sort("session_date", "ticker")
    assert rows["ticker"].to_list() == list(first.index.get_level_values("ticker"))
    assert rows["sentiment_score"].to_pandas().equals(first["sentiment_score"].reset_index(drop=True))


def test_the_page_speaks_of_every_column(ran: dict[str, Any]) -> None:
    own = [name for name in COLUMNS if not name.endswith(("_5", "_21")) and name not in ("ticker", "schema_version")]
    market = ran["market_series"](ran["monthly"]).columns
    assert [name for name in [*own, *market] if name not in PAGE.read_text()] == []


@pytest.mark.parametrize("page", [PAGE, PROJECT / "README.md"], ids=lambda page: page.name)
def test_the_install_line_names_the_package(page: Path) -> None:
    name = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["name"]
    assert f'pip install "{name} @ git+https://github.com/OWNER/REPO"' in page.read_text()
