"""What a run did: counts and seconds per stage, feed health, checks, sessions sealed; as text, Markdown and JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd

from .files import write_atomically
from .markdown import escape_text, format_code, hide_commands
from .records import CheckResult, Dropped, FetchResult, Headline, StoryHeadline

TOP_COUNT = 5
"""How many tickers are shown at either end of the scale."""

LONGEST_FAILURE = 2000
"""Characters of a failure that report.md shows; report.json has all of it."""


@dataclass
class Stage:
    """One stage of the line: how many things left it, and how long it took over all sessions of the run."""

    name: str
    unit: str
    count: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class SealedSession:
    """A sealed session as the reader of the report wants to see it: ``tickers`` by status, both ends of the scale."""

    session_date: date
    path: str
    tickers: dict[str, list[str]]
    headline_count: int
    story_count: int
    top: list[dict[str, Any]]
    bottom: list[dict[str, Any]]


@dataclass
class Report:
    """Collects what happens during one command. ``stages`` keeps the order of first use."""

    command: str
    started_at: datetime
    model_revision: str
    code_revision: str
    stages: dict[str, Stage] = field(default_factory=dict)
    feed_counts: Counter[str] = field(default_factory=Counter)
    feed_faults: dict[str, str] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
    joined: list[StoryHeadline] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)
    sealed: list[SealedSession] = field(default_factory=list)
    failure: str = ""
    peak_memory_mb: float = 0.0

    @contextmanager
    def stage(self, name: str, unit: str) -> Iterator[Stage]:
        """Time a stage; the caller adds to ``count`` inside."""
        stage = self.stages.setdefault(name, Stage(name, unit))
        started = perf_counter()
        try:
            yield stage
        finally:
            stage.seconds += perf_counter() - started

    def add_feeds(self, results: Sequence[FetchResult], faults: Mapping[str, str]) -> None:
        """Count how the feeds answered; ``faults`` holds the feeds whose answer could not be read."""
        for result in results:
            fault = faults.get(result.feed.feed_id) or result.fault
            self.feed_counts["failed" if fault else result.status] += 1
            if fault:
                self.feed_faults[result.feed.feed_id] = fault

    def add_stories(self, kept: Iterable[StoryHeadline]) -> None:
        """Keep the near-duplicates among ``kept``: headlines that joined the story of another."""
        self.joined += [story for story in kept if story.story_id != story.linked.headline.headline_id]

    def count_dropped(self) -> list[tuple[str, int]]:
        """Return how many headlines went no further, by reason, most frequent first."""
        return Counter(item.reason for item in self.dropped).most_common()

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values; keys are stable."""
        return {
            "command": self.command,
            "started_at": f"{self.started_at:%Y-%m-%dT%H:%M:%SZ}",
            "model_revision": self.model_revision,
            "code_revision": self.code_revision,
            "failure": self.failure,
            "stages": [{**vars(stage), "seconds": round(stage.seconds, 3)} for stage in self.stages.values()],
            "feeds": {"counts": dict(self.feed_counts), "faults": self.feed_faults},
            "dropped": [
                {**_name(item.headline), "reason": item.reason, "kept_id": item.kept_id} for item in self.dropped
            ],
            "joined": [
                {**_name(story.linked.headline), "story_id": story.story_id, "similarity": story.similarity}
                for story in self.joined
            ],
            "sessions": [{**vars(day), "session_date": str(day.session_date)} for day in self.sealed],
            "checks": [
                {"name": c.name, "is_required": c.is_required, "is_passed": c.is_passed, "notes": c.notes}
                for c in self.checks
            ],
            "peak_memory_mb": round(self.peak_memory_mb, 1),
        }


def describe_session(session_date: date, path: str, rows: pd.DataFrame, evidence: pd.DataFrame) -> SealedSession:
    """Return the summary of one session from its feature rows and evidence.

    A ticker's driver is the headline whose relevance-weighted score lies furthest to the side the ticker is shown on.
    """
    scored = rows.dropna(subset="sentiment_score").sort_values(["sentiment_score", "ticker"])
    top, bottom = scored[scored.sentiment_score > 0][::-1], scored[scored.sentiment_score < 0]
    return SealedSession(
        session_date,
        path,
        {status: list(rows.ticker[rows.status == status]) for status in ("news", "no_news", "fetch_failed")},
        evidence.headline_id.nunique(),
        evidence.story_id.nunique(),
        [_describe_ticker(row, evidence, 1) for row in top.head(TOP_COUNT).itertuples()],
        [_describe_ticker(row, evidence, -1) for row in bottom.head(TOP_COUNT).itertuples()],
    )


def write_report(report: Report, directory: Path) -> tuple[Path, Path]:
    """Write report.json and report.md into ``directory`` and return their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    as_json, as_markdown = directory / "report.json", directory / "report.md"
    write_atomically(as_json, json.dumps(report.as_dict(), indent=2, ensure_ascii=False).encode() + b"\n")
    write_atomically(as_markdown, to_markdown(report).encode())
    return as_json, as_markdown


def to_text(report: Report) -> str:
    """Return the summary for a terminal."""
    lines = [f"{report.command} at {report.started_at:%Y-%m-%d %H:%M:%S} UTC, model {report.model_revision[:12]}", ""]
    for stage in report.stages.values():
        lines.append(f"  {stage.name:<13}{stage.count:>7,} {stage.unit:<24}{stage.seconds:>8.2f} s")
    total = sum(stage.seconds for stage in report.stages.values())
    lines += [f"  {'total':<13}{'':>7} {f'peak memory {report.peak_memory_mb:,.0f} MB':<24}{total:>8.2f} s", ""]
    if report.dropped:
        lines += ["dropped: " + ", ".join(f"{count:,} {_words(why)}" for why, count in report.count_dropped())]
    if report.joined:
        lines += [f"joined: {len(report.joined):,} near-duplicates to the story they repeat"]
    if report.feed_counts:
        lines += ["feeds: " + _feed_line(report)]
        lines += [hide_commands(f"  {feed_id}: {fault}") for feed_id, fault in _first(report.feed_faults)]
    for day in report.sealed:
        lines += ["", session_text(day)]
    lines += ["", "checks: " + _check_line(report.checks)] if report.checks else []
    for check in _not_passed(report.checks):
        lines.append(hide_commands(f"  {'FAILED' if check.is_required else 'warning'} {check.name}: {check.notes}"))
    return "\n".join(lines)


def session_text(day: SealedSession) -> str:
    """Return one session for a terminal: counts, then both ends of the scale with the headlines that drove them."""
    lines = [f"session {day.session_date}: {_session_counts(day)}"]
    for title, tickers in (("most positive", day.top), ("most negative", day.bottom)):
        lines += [f"  {title}"] if tickers else []
        for ticker in tickers:
            score, bar = ticker["sentiment_score"], "█" * round(abs(ticker["sentiment_score"]) * 10)
            headline = hide_commands(f"{ticker['headline']} ({ticker['source']})")
            lines.append(f"    {ticker['ticker']:<6}{score:>+6.2f} {bar:<11}{headline}")
    return "\n".join([*lines, f"  in {day.path}"])


def to_markdown(report: Report) -> str:
    """Return the report for a job summary: the same facts as :func:`to_text`, as tables."""
    blocks = [f"# {report.command} at {report.started_at:%Y-%m-%d %H:%M:%S} UTC"]
    if report.failure:
        blocks.append(f"**Failed:** {escape_text(report.failure, LONGEST_FAILURE)}")
    blocks.append(
        f"Model {format_code(report.model_revision) or 'none'}, code {format_code(report.code_revision) or 'unknown'}."
    )
    stages = [(s.name, f"{s.count:,} {s.unit}", f"{s.seconds:.2f}") for s in report.stages.values()]
    total = sum(stage.seconds for stage in report.stages.values())
    stages.append(("total", f"peak memory {report.peak_memory_mb:,.0f} MB", f"{total:.2f}"))
    blocks.append(_table(("stage", "count", "seconds"), stages))
    for day in report.sealed:
        blocks.append(f"## Session {day.session_date}\n\n{_session_counts(day)} Written to {format_code(day.path)}.")
        tickers = [("positive", t) for t in day.top] + [("negative", t) for t in day.bottom]
        rows = [
            (side, t["ticker"], f"{t['sentiment_score']:+.2f}", t["story_count"], t["headline"], t["source"])
            for side, t in tickers
        ]
        blocks.append(_table(("most", "ticker", "score", "stories", "headline that drove it", "source"), rows))
    if report.feed_counts:
        blocks.append("## Feeds\n\n" + _feed_line(report))
        blocks += [_table(("feed", "fault"), sorted(report.feed_faults.items()))] if report.feed_faults else []
    if report.dropped:
        blocks.append("## Dropped\n\n" + _table(("reason", "headlines"), report.count_dropped()))
    if report.joined:
        blocks.append(f"{len(report.joined):,} near-duplicates joined the story they repeat; report.json names each.")
    if report.checks:
        checks = [(c.name, "passed" if c.is_passed else "failed", c.notes) for c in report.checks]
        blocks.append("## Checks\n\n" + _table(("check", "result", "notes"), checks))
    return "\n\n".join(blocks) + "\n"


def _describe_ticker(row: Any, evidence: pd.DataFrame, side: int) -> dict[str, Any]:
    own = evidence[evidence.ticker == row.ticker]
    driver = own.loc[(own.relevance * own.sentiment_score * side).idxmax()]
    return {
        "ticker": row.ticker,
        "sentiment_score": float(row.sentiment_score),
        "story_count": int(row.story_count),
        "headline": driver.title,
        "headline_score": float(driver.sentiment_score),
        "source": driver.source,
    }


def _session_counts(day: SealedSession) -> str:
    news, silent, failed = (day.tickers[status] for status in ("news", "no_news", "fetch_failed"))
    named = f" ({', '.join(failed[:TOP_COUNT])}{', ...' * (len(failed) > TOP_COUNT)})" if failed else ""
    return (
        f"{len(news)} of {len(news + silent + failed)} tickers with news, {len(silent)} without, "
        f"{len(failed)} fetch failed{named}; {day.headline_count:,} headlines, {day.story_count:,} stories."
    )


def _feed_line(report: Report) -> str:
    counts = report.feed_counts
    return f"{counts['ok']} read, {counts['not_modified']} unchanged, {counts['failed']} failed"


def _check_line(checks: Sequence[CheckResult]) -> str:
    return f"{sum(check.is_passed for check in checks)} of {len(checks)} passed"


def _not_passed(checks: Sequence[CheckResult]) -> list[CheckResult]:
    return [check for check in checks if not check.is_passed]


def _first(faults: Mapping[str, str], count: int = 10) -> list[tuple[str, str]]:
    shown = sorted(faults.items())[:count]
    hidden = len(faults) - len(shown)
    return [*shown, ("...", f"{hidden} more in the report")] if hidden else shown


def _name(headline: Headline) -> dict[str, str]:
    return {"headline_id": headline.headline_id, "title": headline.title, "source": headline.source}


def _words(reason: str) -> str:
    return reason.replace("_", " ")


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head, *body = ([escape_text(cell) for cell in line] for line in (header, *rows))
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *body))
