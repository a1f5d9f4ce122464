"""The same headlines, stories, weights and windows as the store's, but scored by VADER's word list: the baseline.

Reads the store's headlines files. The store's own score, made anew by the same steps, must come out as it stands in the
feature rows; ``find_deviation`` says how well it does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from .study_prices import StudyError

STALE_WEIGHT = 0.25
"""Weight of a story first seen in an earlier session, as in pipeline/settings.toml."""
WINDOWS = (5, 21)
_COLUMNS = ["session_date", "ticker", "story_id", "relevance", "title", "sentiment_score"]


def add_vader(features: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Return ``features`` with vader (-1 to 1, NaN without news), vader_5, vader_21, and remade_score.

    remade_score is sentiment_score made anew from the headlines by the same steps. Shows progress on stderr.

    Raises:
        StudyError: a headlines file is missing or cannot be read.
    """
    dates = features["session_date"].unique()
    evidence = read_evidence(root, pd.DatetimeIndex(dates))
    scored = score_stories(evidence.assign(vader=score_titles(evidence["title"])))
    joined = features.merge(scored, on=["session_date", "ticker"], how="left", validate="one_to_one")
    return joined.assign(**{f"vader_{n}": trail(joined, "vader", n) for n in WINDOWS})


def read_evidence(root: Path, dates: pd.DatetimeIndex) -> pd.DataFrame:
    """Return the headline rows of the sessions ``dates`` as sealed first, in order of session."""
    days = [f"{day:%Y-%m-%d}" for day in sorted(dates)]
    files = tqdm(days, "headlines", unit="file", leave=False, mininterval=5)
    evidence = pd.concat([_read_csv(root / "headlines" / day[:4] / f"{day}.csv") for day in files], ignore_index=True)
    numbers = evidence.astype(dict.fromkeys(["relevance", "sentiment_score"], "float64"))
    return numbers.assign(session_date=pd.to_datetime(evidence["session_date"]))


def score_titles(titles: pd.Series) -> np.ndarray:
    """Return VADER's compound score of each title, float (n,) in -1 to 1 (Hutto and Gilbert 2014); repeats once."""
    analyzer = SentimentIntensityAnalyzer()
    unique = tqdm(titles.unique(), "VADER", unit="title", leave=False, mininterval=5)
    return titles.map({title: analyzer.polarity_scores(title)["compound"] for title in unique}).to_numpy(float)


def score_stories(evidence: pd.DataFrame) -> pd.DataFrame:
    """Return one row per session_date and ticker: vader and remade_score, each a weighted mean over stories.

    A story's score is the mean of its headlines', its weight their highest relevance, times STALE_WEIGHT where an
    earlier session has a headline of the story (of any ticker).
    """
    first = evidence.groupby("story_id")["session_date"].transform("min")
    keys = ["session_date", "ticker", "story_id"]
    ordered = evidence.assign(is_stale=evidence["session_date"] > first).sort_values([*keys, "title"])
    stories = ordered.groupby(keys).agg(
        vader=("vader", "mean"), remade_score=("sentiment_score", "mean"), weight=("relevance", "max"),
        is_stale=("is_stale", "first"),
    )  # fmt: skip
    stories["weight"] *= np.where(stories["is_stale"], STALE_WEIGHT, 1.0)
    by_ticker = [stories.index.get_level_values(name) for name in keys[:2]]
    weight = stories["weight"].groupby(by_ticker).sum()
    means = {
        name: (stories[name] * stories["weight"]).groupby(by_ticker).sum() / weight.where(weight > 0)
        for name in ("vader", "remade_score")
    }
    return pd.DataFrame(means).reset_index()


def trail(features: pd.DataFrame, column: str, window: int) -> pd.Series:
    """Return the mean of ``column`` over the ticker's last ``window`` sessions, weighted by story_count.

    As in the store: this session included, fetch_failed rows skipped, NaN until the store has ``window`` sessions and
    where the window has no scored story.
    """
    places = {"index": "session_date", "columns": "ticker"}
    values, counts = (features.pivot(**places, values=name) for name in (column, "story_count"))
    counts = counts.where(values.notna())
    totals = [frame.fillna(0.0).rolling(window).sum() for frame in (values * counts, counts)]
    means = (totals[0] / totals[1].where(totals[1] > 0.5)).stack().rename("mean")
    return features.join(means, on=["session_date", "ticker"])["mean"]


def find_deviation(features: pd.DataFrame) -> float:
    """Return the share of news rows whose remade_score differs from sentiment_score by more than 0.001."""
    news = features[features["sentiment_score"].notna()]
    return float(((news["remade_score"] - news["sentiment_score"]).abs() > 1e-3).mean())


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)[_COLUMNS]
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise StudyError(f"{path}: cannot be read: {reason}") from error
    except KeyError as error:
        raise StudyError(f"{path}: {error.args[0]}; expected the columns {', '.join(_COLUMNS)}") from error
