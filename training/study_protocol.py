"""What the study asks and by which rules it answers: every choice, settled before any outcome was seen. Constants only.

The rules stand here, apart from the code that applies them, so that a reader can see that they name no result.
"""

from __future__ import annotations

HORIZONS = {"open-close": 0, "1": 1, "5": 5, "21": 21}
"""Held from the entry's open: 0 to that day's close, n to the open n price days later."""

STORE_SIGNALS = {
    "sentiment_score": 1,
    "positive_share": 1,
    "negative_share": -1,
    "overnight_score": 1,
    "intraday_score": 1,
    "bullishness": 1,
    "buzz": 1,
    "sentiment_score_5": 1,
    "positive_share_5": 1,
    "negative_share_5": -1,
    "sentiment_score_21": 1,
    "positive_share_21": 1,
    "negative_share_21": -1,
}
"""Columns of the store under test and the sign that theory gives them: good news up, bad news down, attention up."""

BASELINES = {"vader": 1, "vader_5": 1, "vader_21": 1, "headline_count": 1}
"""What must be beaten: a word list on the very same headlines, and their mere number."""

SIGNALS = STORE_SIGNALS | BASELINES
PLACEBO_SOURCES = ("sentiment_score", "sentiment_score_21")
"""Columns whose values are dealt anew among the tickers of a day: whatever is found then is luck."""

PERIOD_SIGNALS = {
    "sentiment_score": 1,
    "positive_share": 1,
    "negative_share": -1,
    "bullishness": 1,
    "vader": 1,
    "story_count": 1,
}
PERIODS = {"weekly": ("W-FRI", 52), "monthly": ("BME", 12)}
"""Label of a period, and how many make a year."""

MISPRINT_FACTOR = 3.0
"""A price this many times off the median of the five opens and closes around it is no price."""
MINIMUM_NAMES = 20
"""Smallest cross-section of a day, week or month that counts."""
MINIMUM_DAYS = 60
"""Fewest days with such a cross-section that a study needs."""
DECILE_NAMES = 100
"""Median cross-section from which on long and short are deciles; below it they are quintiles."""
MINIMUM_VALUES = 24
"""Fewest days, weeks or months of which a mean is tested; with fewer p is 1."""
COSTS_BP = (5.0, 10.0)
"""Cost of trading 1 of value, buying or selling, in basis points."""
PLACEBO_SEEDS = 20
MODEL_PLACEBO_SEEDS = 3
FOLDS = 5
FIRST_TRAINING_SHARE = 0.4
EMBARGO_DAYS = 5
DRAWS = 5000
LEVEL = 0.05

RULES = (
    f"Its rank IC has the sign expected beforehand and a p-value below {LEVEL} after Benjamini-Hochberg over all tests "
    "of this study.",
    f"Its long-short portfolio at that horizon earns more than nothing after {COSTS_BP[0]:g} bp a side.",
    "At that horizon the store's columns add to momentum, reversal, volatility and volume: for at least one of the two "
    "learners the rank IC out of sample is higher with them than without, p below "
    f"{LEVEL} after the same correction.",
)
"""A column of the store helps at a horizon if all three hold. The first alone is a trace. Else nothing was shown."""


PERIOD_RULE = (
    "A weekly or monthly column of the store helps if the first two rules hold for it; there are too few periods for "
    "the third."
)
VADER_RULE = (
    "The store beats VADER at a horizon if for at least one learner the rank IC out of sample is higher with the "
    f"store's columns than with VADER's, p below {LEVEL} after the same correction."
)
