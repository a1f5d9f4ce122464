"""What went wrong, read from what others wrote: nothing malformed gets in or stops the reading."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.actions.failures import (
    FEEDS,
    MISSING,
    MODEL,
    OTHER,
    PUSH,
    REFUSED,
    FailedCheck,
    FailedJob,
    Kind,
    ReportFacts,
    find_kinds,
    list_failed,
    parse_jobs,
    parse_report,
    parse_results,
)
from pipeline.errors import ConfigError

FEED_CHECK = FailedCheck("enough feeds answered this capture", "9 of 10 feeds failed")
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def needs(**results: str) -> str:
    return json.dumps({key: {"result": result, "outputs": {}} for key, result in results.items()})


def test_a_job_failed_unless_it_succeeded_or_was_skipped() -> None:
    results = parse_results(needs(a="success", b="skipped", c="failure", d="cancelled", e="something new"))
    assert list_failed(results) == ["c", "d", "e"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a": 1}', '{"a": {}}', '{"a-->b": {"result": "failure"}}'])
def test_results_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="RESULTS: expected toJSON"):
        parse_results(text)


def test_jobs_that_failed_are_kept_with_their_failed_steps() -> None:
    jobs = [
        {"id": 1, "name": "model / export", "conclusion": "success", "steps": []},
        {
            "id": 2,
            "name": "run",
            "conclusion": "failure",
            "steps": [
                {"name": "Set up", "conclusion": "success"},
                {"name": "Commit", "conclusion": "failure"},
                {"name": "Stop", "conclusion": "cancelled"},
                {"name": "After", "conclusion": "skipped"},
            ],
        },
        {"id": 3, "name": "alert", "conclusion": None, "steps": [{"name": "Now", "conclusion": None}]},
        {"id": 4, "name": "lost runner", "conclusion": "cancelled"},
        {"name": ["odd"], "conclusion": "timed_out", "steps": "none", "id": "5"},
    ]
    assert parse_jobs(jobs) == [
        FailedJob("run", "failure", ("Commit", "Stop"), 2),
        FailedJob("lost runner", "cancelled", (), 4),
        FailedJob("['odd']", "timed_out", (), 0),
    ]


def test_a_report_says_its_failure_and_the_required_checks_that_did_not_pass() -> None:
    checks = [
        {"name": "counts add up", "is_required": True, "is_passed": False, "notes": "AAPL"},
        {"name": "scores differ", "is_required": False, "is_passed": False, "notes": "all 0"},
        {"name": "enough headlines", "is_required": True, "is_passed": True, "notes": ""},
    ]
    content = json.dumps({"failure": "refused", "checks": checks}).encode()
    assert parse_report(content) == ReportFacts("refused", (FailedCheck("counts add up", "AAPL"),))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"3", b'{"failure": "", "checks": 7}'])
def test_a_report_that_cannot_be_read_says_nothing(content: bytes) -> None:
    assert parse_report(content) == ReportFacts()


@given(ANY, st.lists(st.dictionaries(st.sampled_from(["id", "name", "conclusion", "steps", "x"]), ANY)))
def test_no_report_and_no_listing_stops_the_reading(report: object, jobs: list[dict[str, object]]) -> None:
    parse_report(json.dumps(report).encode())
    parse_report(json.dumps({"failure": report, "checks": jobs}).encode())
    parse_jobs(jobs)


@pytest.mark.parametrize(
    ("title", "failed", "steps", "report", "kinds"),
    [
        ("capture", ["run"], ["Capture"], ReportFacts("refused, ...", (FEED_CHECK,)), [FEEDS]),
        ("daily", ["run"], ["Daily"], ReportFacts("x", (FailedCheck("counts add up", ""),)), [REFUSED]),
        ("daily", ["run"], ["Daily"], ReportFacts("refused, nothing was written"), [REFUSED]),
        ("daily", ["run"], ["Daily"], ReportFacts("x", (FEED_CHECK, FailedCheck("y", ""))), [FEEDS, REFUSED]),
        ("daily", ["model"], [], ReportFacts(), [MODEL]),
        ("daily", ["run"], [], ReportFacts("x", (FailedCheck("the model can be used", "x"),)), [MODEL]),
        ("daily", ["run"], ["Export the model"], ReportFacts(), [MODEL]),
        ("daily", ["run"], ["Commit and push"], ReportFacts(), [PUSH]),
        ("watchdog", ["run"], ["Watch for missing sessions"], ReportFacts(), [MISSING]),
        ("watchdog", ["run"], [], ReportFacts(), [MISSING]),
        ("watchdog", ["run"], ["Check out"], ReportFacts(), [OTHER]),
        ("daily", ["run"], ["Remodel the pusher"], ReportFacts("disk full"), [OTHER]),
        ("daily", ["run"], [], ReportFacts(), [OTHER]),
    ],
)
def test_a_failure_is_known_by_its_checks_jobs_and_steps(
    title: str, failed: list[str], steps: list[str], report: ReportFacts, kinds: list[Kind]
) -> None:
    jobs = [FailedJob("run", "failure", tuple(steps), 1)] if steps else []
    assert find_kinds(title, failed, jobs, report) == kinds


def test_anchors_are_those_that_github_makes_of_the_headings() -> None:
    assert [kind.anchor for kind in (FEEDS, REFUSED, MODEL, PUSH, MISSING, OTHER)] == [
        "too-many-feeds-failed",
        "the-day-was-refused",
        "the-model-could-not-be-had",
        "the-push-failed",
        "a-session-is-missing",
        "something-else",
    ]
