"""The consumer's pattern keeps every row, knows no future, and carries a signal through where there is one."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from examples.financial_ml import __main__ as model
from examples.financial_ml import made_market
from feature_store import NEUTRAL, load_features, to_monthly

from ..feature_store.made_store import make_store, weekdays

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Built:
    """The example's tables, from a shorter store; ``store`` is where that one lies."""

    store: Path
    news: dict[str, pd.DataFrame]
    plain: pd.DataFrame
    joined: pd.DataFrame


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    work = tmp_path_factory.mktemp("work")
    mood = made_market.make_mood(model.MONTHS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made_market, "SESSIONS", made_market.SESSIONS[made_market.SESSIONS >= "2017"])
        made_market.write_store(work / "store", mood)
    market, returns = model.build_market(work, mood)
    news = model.build_news(work, work / "store", returns.columns)
    return Built(work / "store", news, model.assemble(market, returns), model.assemble(market | news, returns))


def test_not_one_row_is_lost_for_lack_of_news(built: Built) -> None:
    assert built.joined.index.equals(built.plain.index)
    months = built.plain.index.get_level_values("date")
    assert (months.min(), months.nunique()) == (pd.Timestamp("1996-01-31"), len(model.MONTHS) - 13)
    assert built.plain.groupby("date").size().eq(len(made_market.TICKERS + made_market.OUTSIDE)).all()


@pytest.mark.parametrize(
    ("months", "tickers"),
    [(slice("1996", "2016"), [*made_market.TICKERS]), (slice("1996", "2025"), [*made_market.OUTSIDE])],
    ids=["before the store begins", "outside its universe"],
)
def test_where_there_is_no_history_every_feature_is_neutral(built: Built, months: slice, tickers: list[str]) -> None:
    own = built.joined[model.NEWS].loc[(months, tickers), :]
    assert len(own) > 1000
    assert own.eq(pd.Series({name: NEUTRAL[name] for name in model.NEWS})).all(axis=None)


def test_news_meets_the_return_after_it_and_not_the_one_before(built: Built) -> None:
    rows = built.joined[built.joined["has_news"] > 0]
    after = rows["sentiment_score"].corr(rows["target"])
    before = rows["sentiment_score"].corr(rows.groupby("ticker")["target"].shift(1))
    assert after > 0.15
    assert abs(before) < 0.05


def test_rows_that_are_a_month_ahead_are_refused(built: Built) -> None:
    features = load_features("2025-01-01", root=built.store, columns=["story_count"], revision="first")
    monthly = to_monthly(features)
    model.require_known(monthly, features["session_date"])
    ahead = monthly[1:].assign(period=monthly["period"] - pd.offsets.BusinessMonthEnd())
    with pytest.raises(
        ValueError, match=r"AAPL of 2025-01-31 was available only at 2025-02-27 22:00:00\+00:00: a leak"
    ):
        model.require_known(ahead[ahead["period"] >= "2025"], features["session_date"])


def test_the_session_before_a_holiday_label_counts_for_the_next_month(built: Built) -> None:
    features = load_features("2024-03-01", "2024-04-30", root=built.store, columns=["story_count"], revision="first")
    assert pd.Timestamp("2024-03-29") in model.MONTHS
    monthly = to_monthly(features)
    model.require_known(monthly, features["session_date"])
    march = monthly[monthly["period"] == "2024-03-29"]
    assert march["available_at"].max() == pd.Timestamp("2024-03-27T22:00Z")
    late = march.assign(available_at=pd.Timestamp("2024-03-28T22:00Z"))
    with pytest.raises(ValueError, match=r"of 2024-03-29 was available only at 2024-03-28 22:00:00\+00:00: a leak"):
        model.require_known(late, features["session_date"])


def test_an_open_month_is_no_leak(built: Built) -> None:
    features = load_features("2024-01-02", "2024-01-16", root=built.store, columns=["story_count"], revision="first")
    monthly = to_monthly(features)
    assert monthly["period"].unique().tolist() == [pd.Timestamp("2024-01-31")]
    model.require_known(monthly, features["session_date"])


def test_a_forecast_rests_on_earlier_months_only(built: Built) -> None:
    dates = built.joined.index.get_level_values("date")
    rows = built.joined[dates >= "2017"]
    later = rows.copy()
    later.loc[later.index.get_level_values("date") >= "2025", :] = 0.0
    told, told_later = (model.forecast(table, trees=3) for table in (rows, later))
    is_before = told.index.get_level_values("date") < "2025"
    assert is_before.sum() > 1000
    pd.testing.assert_series_equal(told[is_before], told_later[is_before])


def test_forests_gain_from_news_and_not_from_the_news_of_another_ticker(built: Built) -> None:
    years = [table[table.index.get_level_values("date") >= "2012"] for table in (built.plain, built.joined)]
    found = model.compare_forests(*years, list(built.news), trees=20)["rank IC"]
    assert found["market and news"] > found["market only"] + 0.05
    assert found["market and another ticker's news"] < found["market only"] + 0.05


def test_the_command_takes_a_store_of_ones_own(tmp_path: Path) -> None:
    make_store(tmp_path, ["AAPL", "BRK.B", "ZZZ"], weekdays("2024-01-02", 300))
    command = [sys.executable, "-m", "examples.financial_ml", "--root", str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    news, rows, empty, last = done.stdout.splitlines()
    assert re.fullmatch(rf"news from {tmp_path}: \d+ of 10,052 rows have some, 2024-01 to 2025-0[23]", news)
    assert rows == "rows without our features 10,052, with them 10,052: 0 lost for lack of news"
    assert (empty, last) == ("", "The returns are made up and know nothing of real news, so no rank IC is shown.")


def test_a_store_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.financial_ml", "--root", str(tmp_path / "absent")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}/absent/manifest.csv: missing\n"


def test_a_store_without_sessions_leaves_every_row_neutral(built: Built, tmp_path: Path) -> None:
    make_store(tmp_path, [], [])
    news = model.build_news(tmp_path, tmp_path, built.news["has_news"].columns)
    assert all(frame.eq(NEUTRAL.get(name, 0.0)).all(axis=None) for name, frame in news.items())
    assert "0 of 2 rows have some\n" in model.describe_rows(
        built.plain[:2], built.joined[:2].assign(has_news=0.0), "it"
    )
