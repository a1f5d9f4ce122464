"""A study -> its Markdown report, with tables, pictures and plain words, and a CSV of all tests beside the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from .comparison_table import mark_table
from .study import Data, Study
from .study_ic import HORIZONS_REACHED
from .study_plain import tell_monthly, tell_verdict
from .study_plots import draw_plots
from .study_prices import StudyError
from .study_protocol import (
    COSTS_BP,
    DECILE_NAMES,
    DRAWS,
    EMBARGO_DAYS,
    FIRST_TRAINING_SHARE,
    FOLDS,
    LEVEL,
    MINIMUM_NAMES,
    MINIMUM_VALUES,
    MISPRINT_FACTOR,
    MODEL_PLACEBO_SEEDS,
    PERIOD_RULE,
    PLACEBO_SEEDS,
    RULES,
    VADER_RULE,
)
from .study_tables import (
    list_tests,
    tabulate_books,
    tabulate_gains,
    tabulate_ics,
    tabulate_legs,
    tabulate_levels,
    tabulate_periods,
    tabulate_years,
)

TESTS = "tests.csv"


def write_report(study: Study, output: Path, note: str = "") -> None:
    """Write the report to ``output``, its pictures and tests.csv to a folder beside it, named like it in lower case.

    ``note`` is Markdown about the data, put where the data is described. Raises StudyError if writing fails.
    """
    folder = output.parent / output.stem.lower()
    try:
        folder.mkdir(exist_ok=True)
        plots = draw_plots(study, folder)
        (folder / TESTS).write_text(list_tests(study.tests), encoding="utf-8")
        pictures = {name: f"![{title}]({folder.name}/{name})\n\n{title}." for name, title in plots.items()}
        sections = filter(None, build_sections(study, pictures, folder.name, note))
        output.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{error.filename}: cannot be written: {error.strerror}") from error


def build_sections(study: Study, pictures: Mapping[str, str], folder: str, note: str) -> Iterator[str]:
    """Yield the report's paragraphs, tables and pictures in order."""
    yield "# Do the features predict returns?"
    given = f"--features STORE --prices FILE --seed {study.seed}{' --note FILE' if note else ''}"
    yield f"Written by `python -m training study {given}`; do not edit."
    yield from ("## Verdict", *tell_verdict(study))
    yield from ("## What a weekly or monthly reader should use", *tell_monthly(study))
    yield from ("## Rules, set before looking", describe_rules(len(study.tests)))
    yield from ("## Data", describe_data(study.data), note.strip(), SURVIVORSHIP)
    yield from ("## Rank IC", IC_TEXT, mark_table(tabulate_ics(study)), pictures["rank_ic.png"])
    yield from (
        "By calendar year of the entry, IC (p, not corrected for the number of cells):",
        mark_table(tabulate_years(study)),
    )
    yield from ("## What had happened before", LEG_TEXT, mark_table(tabulate_legs(study)))
    yield pictures["around_the_news.png"]
    yield from ("## Long-short", BOOK_TEXT, mark_table(tabulate_books(study)), pictures["long_short.png"])
    yield from ("## Beside price features", INCREMENT_TEXT, mark_table(tabulate_levels(study)))
    yield from (mark_table(tabulate_gains(study)), describe_blocks(study), pictures["increment.png"])
    yield from ("## Weeks and months", PERIOD_TEXT, mark_table(tabulate_periods(study)))
    yield from ("## All tests", describe_tests(study, folder))
    yield from ("## Not tested", NOT_TESTED)


def describe_rules(count: int) -> str:
    """Return the rules of the verdict."""
    rules = "\n".join(f"{number}. {rule}" for number, rule in enumerate(RULES, 1))
    return (
        f"A column of the store *helps* at a horizon if all three hold; the first alone is a *trace*.\n\n{rules}\n\n"
        f"{PERIOD_RULE} {VADER_RULE}\n\nThere are {count} tests; placebos are not among them. A star (\\*) in a table "
        f"marks an adjusted p below {LEVEL}. The rules, signs, sizes and settings stand in training/study_protocol.py."
    )


def describe_data(data: Data) -> str:
    """Return sizes and ranges as a list."""
    return "\n".join([
        f"- Sessions: {data.sessions:,}, from {data.first_session} to {data.last_session}; {data.missed_sessions:,} of "
        "them missed (nothing known) and left out.",
        f"- Entries: {data.first_entry} to {data.last_entry}.",
        f"- Tickers: {data.tickers:,} in the store, {data.tickers_priced:,} of them with prices.",
        f"- Rows with news that could be traded on: {data.news_rows:,}; stories of priced tickers: {data.stories:,}; "
        f"revisions of the model: {data.model_revisions}.",
        f"- Prices more than {MISPRINT_FACTOR:g} times off the median of the five opens and closes around them are "
        f"taken for misprints and left out: {data.misprints}.",
        "- VADER's score goes through the same stories, weights and windows. The store's own score, made anew that "
        f"way, differs by more than 0.001 in {100 * data.deviation:.2f} % of the news rows.",
    ])  # fmt: skip


def describe_blocks(study: Study) -> str:
    """Return the mean block lengths of the bootstrap."""
    blocks = ", ".join(f"{increment.block_days} ({horizon})" for horizon, increment in study.increments.items())
    return f"Mean block length in days by horizon: {blocks}."


def describe_tests(study: Study, folder: str) -> str:
    """Return how many tests there were and how many were found."""
    found, small = (sum(getattr(o, a) < LEVEL for o in study.tests.values()) for a in ("adjusted_p", "p"))
    return (
        f"{len(study.tests)} tests; {small} have p < {LEVEL} ({LEVEL * len(study.tests):.0f} would be expected from "
        f"luck alone), {found} after the correction of Benjamini and Hochberg (1995), which bounds the expected share "
        "of false findings among independent or positively related tests. All of them: "
        f"[{TESTS}]({folder}/{TESTS})."
    )


SURVIVORSHIP = (
    "**Survivorship.** Only tickers that both the store's list and the price file know are here. Where such lists were "
    "drawn up later than the data begins, companies that failed or were bought are missing. That flatters absolute "
    "returns; comparisons between tickers of one day, which is all that is measured here, suffer less, but bad news "
    "that ended in a collapse is missing too."
)
IC_TEXT = (
    "Spearman's correlation over the tickers of a day, averaged over days. A session's row enters at the first opening "
    "(09:30 New York) after its available_at, so never in the bar that its headlines describe. Horizons: *open-close* "
    "from that opening to the same day's close; 1, 5, 21 from it to the open so many price days later. Rank ICs are "
    "the same with and without subtraction of the market. Daily columns compare the tickers with news, columns of 5 "
    f"and 21 sessions those with a story in the window; a day needs {MINIMUM_NAMES} tickers. t is Newey and West's "
    f"(1987), truncated at S = max(1.3 sqrt(n), {HORIZONS_REACHED} h) for n days and a horizon of h, the variance "
    "divided by 1 - b + b²/3 where b = S / n; its p is that of Student's t with 1.5 / b degrees of freedom (fixed-b: "
    "Kiefer and Vogelsang 2005; Lazarus, Lewis, Stock and Watson 2018). Of simulated overlapping noise this finds 5 to "
    "6 % at the 5 % level. Days lost to gaps are joined. *Found from*: the true mean IC at horizon 1 that would be "
    "found in four samples of five. Placebos: mean IC and range of t over "
    f"{PLACEBO_SEEDS} shufflings within the day."
)
LEG_TEXT = (
    "The same columns against the returns around their session: best less worst part in basis points, rank IC and its "
    "t. The first three are over before a row is available; headlines report them, and some cause them. These are not "
    "predictions and not among the tests. A study that lets a row meet its own bar would report them as success."
)
BOOK_TEXT = (
    f"Best less worst tenth of the tickers (fifth where fewer than {DECILE_NAMES} tickers are there), equal weights, "
    "the sign as expected beforehand. A horizon of h days holds the tranches of the last h days, 1/h of 1 long and 1 "
    "short each. After gaps and thin days tranches are missing; the book is then smaller than 1 long and 1 short, and "
    "returns, trades and costs at 5 and 21 are smaller than a full book's. *Traded a day*: value bought and sold. "
    f"Costs are charged for every trade, {COSTS_BP[0]:g} or {COSTS_BP[1]:g} bp a side; borrowing is not. Returns are a "
    "year of 252 days with an open book, in percent of a full long side; t as for rank ICs. Drawdown is of summed "
    "returns, none reinvested."
)
INCREMENT_TEXT = (
    "Up or down of the return less the day's mean over all tickers, for tickers with news. Each learner sees ranks "
    "within the day: momentum, reversal, overnight gap, volatility, volume (*prices*); the store's thirteen columns "
    "beside them (*store*); VADER's three and buzz (*vader*); the store's columns dealt anew within the day, mean of "
    f"{MODEL_PLACEBO_SEEDS} deals (*placebo*). Expanding training from the first {100 * FIRST_TRAINING_SHARE:.0f} % of "
    f"days on, {FOLDS} test blocks in order; labels that reach into a block are purged, {EMBARGO_DAYS} more days left "
    f"out. Settings are fixed, nothing was tuned. Intervals: stationary block bootstrap over days, {DRAWS:,} draws."
)
PERIOD_TEXT = (
    "`to_monthly` features of a week (W-FRI) or business month (BME) against the return from the first opening after "
    "the label day to that of the next period. Only tickers with a story in the period; VADER likewise. Below "
    f"{MINIMUM_VALUES} periods nothing is tested."
)
NOT_TESTED = (
    "- Other universes, years, feeds and models than those above; small companies; intraday entry at the minute of the "
    "headline.\n- Adjustment for beta, sector and size, other than what ranks within the day and price features do.\n"
    "- Market impact, borrowing cost, taxes.\n- Fundamentals beside the columns; the market-wide series of "
    "`market_series`.\n- Whether the model saw these years' headlines in training: its encoder and labelled sets may "
    "hold texts of the same period, and that knowledge can only flatter."
)
