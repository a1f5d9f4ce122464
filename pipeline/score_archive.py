"""The costly part of a backfill that needs no order: which pairs a month's headlines may ask for, and their scores.

    archive -> one month of sessions -> linked -> distinct pairs -> a score file

A month is one of sessions, as a backfill seals them: a headline after the close of a month's last session counts for
the next month. Deduplication, which needs all that came before, is left out; it only takes pairs away.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import numpy as np

from .archive import ArchiveRow, BadRow
from .archive_months import Tally, first_of_month, read_month, split_archive
from .backfill_link import FEED_ID
from .company_names import load_common_words
from .errors import ConfigError
from .link import Linker, link_with
from .records import Company, Session
from .score import Scorer
from .score_file import Scores, find_keys
from .text import LABELS

MAX_MONTHS = 256
"""How many jobs GitHub makes of a matrix at most."""
_MONTH = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])")

Pair = tuple[str, str]


def list_months(days: Iterable[date]) -> list[str]:
    """Return the months of ``days``, such as 2015-03, in order.

    Raises:
        ConfigError: there are more than MAX_MONTHS.
    """
    months = sorted({f"{day:%Y-%m}" for day in days})
    if len(months) > MAX_MONTHS:
        raise ConfigError(
            f"{months[0]} to {months[-1]}: {len(months)} months with headlines; expected at most {MAX_MONTHS}: "
            f"let --end lie before {months[MAX_MONTHS]}, then go on from there"
        )
    return months


def pick_month(sessions: Sequence[Session], month: str) -> tuple[Session, ...]:
    """Return the sessions of ``month``. Raises ConfigError if it is no month or has none of ``sessions``."""
    if not _MONTH.fullmatch(month):
        raise ConfigError(f"--month {month}: expected a month such as 2015-03")
    found = tuple(session for session in sessions if f"{session.session_date:%Y-%m}" == month)
    if not found:
        first, last = sessions[0].session_date, sessions[-1].session_date
        raise ConfigError(f"--month {month}: none of the sessions from {first} to {last}")
    return found


def list_pairs(
    rows: Iterable[ArchiveRow | BadRow],
    sessions: Sequence[Session],
    companies: Sequence[Company],
    min_relevance: float,
) -> tuple[list[Pair], Tally]:
    """Return the distinct (headline, company name) pairs of one month's ``sessions``, sorted, and what rows there were.

    ``min_relevance`` in 0..1: links below it are not kept, as in a backfill.
    """
    first = sessions[0]
    with tempfile.TemporaryDirectory(prefix="scores-") as name:
        universe = frozenset(company.ticker for company in companies)
        tally = split_archive(rows, sessions, first.session_date, universe, Path(name))
        headlines = read_month(Path(name), first_of_month(first), FEED_ID)
    linked, _ = link_with(Linker(companies, load_common_words()), headlines, min_relevance)
    names = {company.ticker: company.name for company in companies}
    return sorted({(item.headline.title, names[link.ticker]) for item in linked for link in item.links}), tally


def score_pairs(pairs: Sequence[Pair], scorer: Scorer, progress: bool = False) -> Scores:
    """Return the scores of distinct ``pairs`` by key."""
    keys, first = np.unique(find_keys(pairs), return_index=True)
    probabilities = scorer.score(pairs, progress) if pairs else np.empty((0, len(LABELS)), np.float32)
    return Scores(keys, probabilities[first])
