"""Read a feature store: point-in-time news sentiment per ticker and session. Needs pandas and nothing else.

    features = load_features("2026-01-01", root="feature_store", revision="first")
    joined = join_asof(prices, features, ["sentiment_score", "story_count"])
    scores = wide(to_monthly(features), "sentiment_score")

Rows come as long frames: one per session_date and ticker, with available_at, the first moment anyone could have used
them. Missing is NaN and never 0, unless fill="neutral" says so.
"""

from .columns import NEUTRAL
from .errors import FeatureStoreError
from .frames import wide
from .join import join_asof
from .load import load_features
from .market import market_series
from .monthly import to_monthly
from .tickers import normalize_ticker

__all__ = [
    "NEUTRAL",
    "FeatureStoreError",
    "join_asof",
    "load_features",
    "market_series",
    "normalize_ticker",
    "to_monthly",
    "wide",
]
