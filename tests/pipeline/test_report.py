"""The report: what happened, told the same way to a terminal, a job summary and a program."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from pipeline.markdown import shorten_text
from pipeline.records import CheckResult, Dropped, Headline, Link, LinkedHeadline, StoryHeadline
from pipeline.report import Report, describe_session, to_markdown, to_text, write_report

from ..daily_line import REPORTED_AT, new_report
from .test_markdown import HOSTILE

DAY = date(2026, 11, 20)


def made_headline(name: str) -> Headline:
    return Headline(name, f"Title of {name}", "", "Wire", "wire", None, (), REPORTED_AT, REPORTED_AT)


def made_rows() -> pd.DataFrame:
    scores = {"AAPL": 0.8, "MSFT": -0.5, "NVDA": None, "XOM": None}
    status = ["news", "news", "no_news", "fetch_failed"]
    frame = pd.DataFrame({"ticker": list(scores), "status": status, "sentiment_score": list(scores.values())})
    return frame.assign(story_count=[2, 1, 0, None])


def made_evidence() -> pd.DataFrame:
    columns = ["ticker", "headline_id", "story_id", "title", "source", "relevance", "sentiment_score"]
    rows = [
        ("AAPL", "a", "a", "Apple beats estimates", "Wire", 1.0, 0.7),
        ("AAPL", "b", "b", "Apple named in a list of strong stocks", "Blog", 0.2, 0.9),
        ("AAPL", "c", "b", "Apple misses the bus", "Wire", 1.0, -0.1),
        ("MSFT", "d", "d", "Microsoft | <script>alert(1)</script> *misses*", "Wire", 1.0, -0.5),
    ]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture
def report() -> Report:
    report = new_report()
    with report.stage("linked", "headlines with a ticker") as stage:
        stage.count = 1234
    report.feed_counts.update(ok=3, failed=1)
    report.feed_faults["yahoo:XOM"] = "HTTP 503"
    report.dropped = [Dropped(made_headline("x"), "no_ticker")] * 7
    links = (Link("AAPL", 1.0, "name"),)
    report.add_stories(StoryHeadline(LinkedHeadline(made_headline(name), links), "a", 0.9) for name in ("a", "b"))
    report.checks = [CheckResult("counts add up", True, True), CheckResult("scores differ", False, False, "all 0")]
    report.sealed = [describe_session(DAY, "features/2026/2026-11-20.csv", made_rows(), made_evidence())]
    return report


def test_the_driver_is_the_headline_that_weighs_most_on_its_side() -> None:
    day = describe_session(DAY, "path", made_rows(), made_evidence())
    assert [(t["ticker"], t["headline"]) for t in day.top] == [("AAPL", "Apple beats estimates")]
    assert [t["ticker"] for t in day.bottom] == ["MSFT"]


def test_a_session_counts_distinct_headlines_and_names_its_tickers_by_state() -> None:
    day = describe_session(DAY, "path", made_rows(), made_evidence())
    assert (day.headline_count, day.story_count) == (4, 3)
    assert day.tickers == {"news": ["AAPL", "MSFT"], "no_news": ["NVDA"], "fetch_failed": ["XOM"]}


def test_a_session_without_news_has_no_ends() -> None:
    rows, evidence = made_rows().tail(2), made_evidence().head(0)
    day = describe_session(DAY, "path", rows, evidence)
    assert (day.top, day.bottom, day.headline_count) == ([], [], 0)


@pytest.mark.parametrize(
    "fact",
    [
        "1,234 headlines with a ticker",
        "7 no ticker",
        "joined: 1 near-duplicates",
        "3 read, 0 unchanged, 1 failed",
        "yahoo:XOM: HTTP 503",
        "2 of 4 tickers with news, 1 without, 1 fetch failed (XOM); 4 headlines, 3 stories",
        "AAPL   +0.80 ████████   Apple beats estimates (Wire)",
        "1 of 2 passed",
        "warning scores differ: all 0",
    ],
)
def test_the_terminal_tells_every_fact(report: Report, fact: str) -> None:
    assert fact in to_text(report)


def test_text_of_a_feed_cannot_break_the_markdown(report: Report) -> None:
    text = to_markdown(report)
    assert "<script>" not in text
    assert "Microsoft \\| &lt;script&gt;" in text
    assert [line.count(" | ") for line in text.splitlines() if line.startswith("| negative")] == [5]


def test_a_day_of_hostile_headlines_is_shown_as_text_alone(report: Report) -> None:
    evidence = made_evidence()
    titles = HOSTILE[:3] + HOSTILE[4:5]
    evidence["title"], evidence["source"] = titles, HOSTILE[5]
    report.sealed = [describe_session(DAY, "features/2026/2026-11-20.csv", made_rows(), evidence)]
    report.feed_faults |= {f"yahoo:X{number}": text for number, text in enumerate(HOSTILE)}
    report.checks += [CheckResult(text, True, False, text) for text in HOSTILE]
    report.failure = " ".join(HOSTILE)
    html = MarkdownIt("gfm-like").render(to_markdown(report)).replace("<!-- -->", "")
    tags = set(re.findall(r"</?(\w+)", html))
    assert tags <= {"h1", "h2", "p", "strong", "code", "table", "thead", "tbody", "tr", "th", "td"}
    assert html.count("<code>") == 2  # the model's revision and the path
    assert html.count("<table>") == 5
    cells = [unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", html)]
    assert {shorten_text(text) for text in HOSTILE} <= set(cells)
    assert [row.count("<td>") for row in re.findall(r"<tr>\n(<td>.*?)</tr>", html, re.DOTALL) if "negative" in row] == [
        6
    ]


def test_a_log_line_is_no_command_of_the_runner(report: Report) -> None:
    report.feed_faults["yahoo:XOM"] = "##[add-mask]e"
    report.checks = [CheckResult("scores differ", False, False, "##[stop-commands]x")]
    evidence = made_evidence().assign(title="##[set-output name=a]b")
    report.sealed = [describe_session(DAY, "features/2026/2026-11-20.csv", made_rows(), evidence)]
    assert "##[" not in to_text(report)
    assert to_text(report).count("## [") == 4


def test_a_failure_leads_the_markdown(report: Report) -> None:
    assert "**Failed:** no network" in to_markdown(replace(report, failure="no network")).splitlines()[2]


def test_both_files_are_written_and_the_json_holds_the_same_facts(report: Report, tmp_path: Path) -> None:
    as_json, as_markdown = write_report(report, tmp_path / "new" / "folder")
    found = json.loads(as_json.read_text())
    assert found["sessions"][0]["tickers"]["fetch_failed"] == ["XOM"]
    assert found["feeds"]["faults"] == {"yahoo:XOM": "HTTP 503"}
    assert found["stages"][0]["count"] == 1234
    assert found["dropped"][0] == {
        "headline_id": "x",
        "title": "Title of x",
        "source": "Wire",
        "reason": "no_ticker",
        "kept_id": "",
    }
    assert [(joined["headline_id"], joined["story_id"]) for joined in found["joined"]] == [("b", "a")]
    assert as_markdown.read_text() == to_markdown(report)
