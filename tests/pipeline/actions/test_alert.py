"""One issue per workflow on a loopback GitHub: opened once, kept up to date, closed on recovery, never a stranger's."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from pipeline.actions.alert import alert
from pipeline.actions.client import ApiError
from pipeline.actions.issue import LABEL, is_own
from pipeline.actions.memory import read_memory
from pipeline.errors import ConfigError

from ...github_server import BOT, LONGEST_BODY, READ_TOKEN, TOKEN, Fault, GitHubServer
from .made_run import TODAY, open_client

FAILED = {"model": "success", "run": "failure"}
FINE = {"model": "success", "run": "success"}
HOSTILE = "@octocat #1 http://evil.example <img src=x> ![x](http://e.example) `c` | ]( \n\n# x <!-- --> --> \u202e"


def raise_alert(
    server: GitHubServer,
    results: dict[str, str] = FAILED,
    report: Path = Path("nowhere"),
    run_id: int = 1,
    attempt: int = 1,
    today: date = TODAY,
    title: str = "daily",
    token: str = TOKEN,
) -> list[str]:
    return list(alert(open_client(server, run_id, attempt, token), title, results, report, today))


def write_report(folder: Path, failure: str, *checks: tuple[str, str]) -> Path:
    listed = [{"name": name, "is_required": True, "is_passed": False, "notes": notes} for name, notes in checks]
    (folder / "report.json").write_text(json.dumps({"failure": failure, "checks": listed}))
    return folder


def only_issue(server: GitHubServer) -> dict[str, Any]:
    (issue,) = server.issues.values()
    return issue


def bodies(server: GitHubServer, number: int = 1) -> list[str]:
    return [comment["body"] for comment in server.comments[number]]


def test_a_failure_opens_an_issue_that_names_checks_jobs_steps_and_where_to_read(tmp_path: Path) -> None:
    report = write_report(tmp_path, "refused, nothing was written", ("counts add up", "AAPL has story_count 3"))
    with GitHubServer() as server:
        server.add_jobs(1, {"run": "failure", "alert": ""}, {"run": {"Daily": "failure", "Commit": "skipped"}})
        said = raise_alert(server, report=report)
        issue = only_issue(server)
    assert said == ["opened issue 1: https://github.example/owner/repository/issues/1"]
    assert issue["title"] == "The daily workflow fails"
    assert [label["name"] for label in issue["labels"]] == [LABEL]
    for fact in (
        "refused, nothing was written",
        "check **counts add up**: AAPL has story\\_count 3",
        "job `run`: failure",
        "[run](https://github.example/owner/repository/actions/runs/1/job/1000): failure at Daily",
        "[run 1](https://github.example/owner/repository/actions/runs/1)",
        "(https://github.example/owner/repository/blob/HEAD/docs/OPERATIONS.md#the-day-was-refused)",
    ):
        assert fact in issue["body"]
    assert "Commit" not in issue["body"]


def test_every_further_failure_updates_the_one_issue() -> None:
    with GitHubServer() as server:
        for run_id in (1, 2, 3):
            raise_alert(server, run_id=run_id)
        issue = only_issue(server)
        assert "failed 3 times, first in [run 1]" in issue["body"]
        assert "last in [run 3]" in issue["body"]


def test_the_owner_hears_of_it_once_a_day_and_when_something_else_fails(tmp_path: Path) -> None:
    report = write_report(tmp_path, "refused", ("enough headlines", "0"))
    with GitHubServer() as server:
        server.add_jobs(9, {"run": "failure"}, {"run": {"Commit": "failure"}})
        raise_alert(server, run_id=1)
        raise_alert(server, run_id=2)
        assert bodies(server) == []
        raise_alert(server, run_id=3, today=TODAY + timedelta(days=1))
        raise_alert(server, run_id=4, today=TODAY + timedelta(days=1))
        assert len(bodies(server)) == 1
        raise_alert(server, run_id=9, today=TODAY + timedelta(days=1))
        assert bodies(server)[-1].startswith("Failed again: [run 9]")
        assert "Commit" in bodies(server)[-1]
        raise_alert(server, run_id=10, today=TODAY + timedelta(days=1), report=report)
        assert "enough headlines" in bodies(server)[-1]
        assert len(bodies(server)) == 3


def test_figures_that_change_are_nothing_new(tmp_path: Path) -> None:
    with GitHubServer() as server:
        for run_id in range(1, 5):
            raise_alert(server, run_id=run_id, report=write_report(tmp_path, f"{run_id} of 9", ("feeds", f"{run_id}")))
        assert bodies(server) == []
        assert "4 of 9" in only_issue(server)["body"]


def test_the_first_success_closes_the_issue_and_says_what_recovered() -> None:
    with GitHubServer() as server:
        raise_alert(server, run_id=1)
        raise_alert(server, run_id=2)
        said = raise_alert(server, FINE, run_id=3)
        issue = only_issue(server)
        assert said == ["closed issue 1: daily has recovered"]
        assert (issue["state"], issue["state_reason"]) == ("closed", "completed")
        assert bodies(server)[-1].startswith("Recovered: `run` succeeded in [run 3]")
        assert "after 2 failed runs" in bodies(server)[-1]
        assert raise_alert(server, FINE, run_id=4) == ["daily: nothing has failed"]
        raise_alert(server, run_id=5)
        assert server.open_numbers() == [2]


def test_a_job_that_did_not_run_has_not_recovered() -> None:
    with GitHubServer() as server:
        raise_alert(server)
        said = raise_alert(server, {"model": "success", "run": "skipped"}, run_id=2)
        assert said == ["daily: nothing has failed; what had failed before has not run"]
        raise_alert(server, {"model": "skipped", "run": "skipped"}, run_id=3)
        assert server.open_numbers() == [1]
        raise_alert(server, {"run": "success"}, run_id=4)
        assert server.open_numbers() == []


def test_a_job_that_is_gone_from_the_workflow_is_not_waited_for() -> None:
    with GitHubServer() as server:
        raise_alert(server, {"old": "failure"})
        raise_alert(server, {"new": "success"}, run_id=2)
        assert server.open_numbers() == []


def test_a_cancelled_run_is_a_failure() -> None:
    with GitHubServer() as server:
        raise_alert(server, {"run": "cancelled"})
        assert "job `run`: cancelled" in only_issue(server)["body"]


def test_every_workflow_has_an_issue_of_its_own() -> None:
    with GitHubServer() as server:
        for title in ("daily", "capture", "daily-two"):
            raise_alert(server, title=title)
        raise_alert(server, FINE, title="daily", run_id=2)
        assert server.open_numbers() == [2, 3]


@pytest.mark.parametrize("user", ["stranger", "dependabot[bot]", "github-actions"])
def test_a_strangers_issue_with_the_same_mark_is_never_touched(user: str) -> None:
    with GitHubServer() as server:
        raise_alert(server)
        body = only_issue(server)["body"]
        server.issues.clear()
        stranger = server.add_issue("The daily workflow fails", body, user, [LABEL])
        before = dict(server.issues[stranger])
        raise_alert(server, run_id=2)
        raise_alert(server, FINE, run_id=3)
        assert server.issues[stranger] == before
        assert server.comments[stranger] == []
        assert server.issues[2]["state"] == "closed"


def test_a_mark_below_the_first_line_counts_for_nothing() -> None:
    own = {"user": {"login": BOT}, "body": "<!-- financial-sentiment-llm:alert daily runs=1 -->\ntext"}
    assert is_own(own, "daily", BOT)
    assert not is_own(own | {"body": "text\n" + own["body"]}, "daily", BOT)  # type: ignore[operator]
    assert not is_own(own | {"pull_request": {}}, "daily", BOT)
    assert not is_own(own, "dail", BOT)
    assert not is_own(own | {"user": None}, "daily", BOT)
    assert not is_own(own | {"body": None}, "daily", BOT)


def test_a_memory_that_was_edited_away_is_begun_anew() -> None:
    with GitHubServer() as server:
        raise_alert(server)
        issue = only_issue(server)
        issue["body"] = re.sub(r"runs=.* -->", "runs=9 first=x -->", issue["body"])
        raise_alert(server, run_id=2)
        memory = read_memory(issue["body"])
        assert memory is not None
        assert (memory.run_count, memory.first) == (1, 2)
        assert len(bodies(server)) == 1


def test_two_open_issues_are_closed_together() -> None:
    with GitHubServer() as server:
        raise_alert(server)
        server.add_issue("twin", only_issue(server)["body"], BOT)
        raise_alert(server, run_id=2)
        assert "failed 2 times" in server.issues[1]["body"]
        assert raise_alert(server, FINE, run_id=3)[1:] == ["closed issue 2: daily has recovered"]


@pytest.mark.parametrize("stage", ["open_issue", "edit_issue", "add_comment", "issues", "jobs"])
@pytest.mark.parametrize("fault", [Fault(502), Fault(502, is_after=True), Fault(0, is_after=True), Fault(0)])
def test_a_fault_of_github_neither_loses_nor_doubles_anything(stage: str, fault: Fault) -> None:
    with GitHubServer() as server:
        for run_id in (1, 2):
            server.add_jobs(run_id, {"run": "failure"})
            server.fail(stage, *[fault] * (stage != "open_issue" or run_id == 1))
            raise_alert(server, run_id=run_id, today=TODAY + timedelta(days=run_id))
        assert server.open_numbers() == [1]
        assert len(bodies(server)) == 1
        server.fail(stage, fault)
        raise_alert(server, FINE, run_id=3)
        assert server.open_numbers() == []
        assert len(bodies(server)) == 2


def test_a_stranger_who_quotes_our_mark_does_not_speak_for_us() -> None:
    with GitHubServer() as server:
        raise_alert(server)
        mark = "<!-- financial-sentiment-llm:alert run=2.1 -->"
        server.comments[1].append({"id": 1, "body": mark, "user": {"login": "stranger"}})
        server.fail("add_comment", Fault(502))
        raise_alert(server, FINE, run_id=2)
        assert len(bodies(server)) == 2
        assert mark in bodies(server)[1]


def test_the_same_attempt_is_counted_once_and_another_attempt_again() -> None:
    with GitHubServer() as server:
        for attempt in (1, 1, 2):
            raise_alert(server, attempt=attempt)
        assert "failed 2 times" in only_issue(server)["body"]
        assert "[run 1, attempt 2]" in only_issue(server)["body"]


def test_steps_that_cannot_be_read_are_no_reason_to_stay_silent() -> None:
    with GitHubServer() as server:
        said = raise_alert(server)
        assert said[0] == "warning: GitHub would not say which steps failed"
        assert "Which steps failed could not be read" in only_issue(server)["body"]


@pytest.mark.parametrize("results", [FAILED, FINE])
def test_a_fork_without_issues_gets_a_warning(results: dict[str, str]) -> None:
    with GitHubServer() as server:
        server.has_issues = False
        (said,) = raise_alert(server, results)
        assert said.startswith("warning: this repository keeps no issues")


def test_a_token_that_may_not_write_is_an_error() -> None:
    with GitHubServer() as server, pytest.raises(ApiError, match="HTTP 403: Resource not accessible"):
        raise_alert(server, token=READ_TOKEN)


def test_what_strangers_wrote_is_shown_as_text_alone(tmp_path: Path) -> None:
    report = write_report(tmp_path, HOSTILE, (HOSTILE, HOSTILE))
    with GitHubServer() as server:
        for run_id in (1, 2):
            server.add_jobs(run_id, {HOSTILE: "failure"}, {HOSTILE: {HOSTILE + str(run_id): "failure"}})
            raise_alert(server, run_id=run_id, report=report)
        texts = [only_issue(server)["body"], *bodies(server)]
    assert len(texts) == 2
    for text in texts:
        html = MarkdownIt("gfm-like").render(text)
        shown = re.sub(r"<!-- [^<>]*-->", "", html)
        assert set(re.findall(r"</?(\w+)", shown)) <= {"p", "ul", "li", "a", "h3", "strong", "code"}
        assert all(url.startswith("https://github.example/owner/") for url in re.findall(r'href="([^"]*)"', shown))
        assert html.count("<h3>") in (0, 2)
        for run in re.split(r"<[^>]*>", html):
            assert not re.search(r"@\w|#\d|//", run)


def test_a_body_stays_within_what_github_takes(tmp_path: Path) -> None:
    report = write_report(tmp_path, "x" * 5000, *[("@" * 900, "#1 " * 5000)] * 100)
    with GitHubServer() as server:
        names = [f"{'@a ' * 90}{number}" for number in range(60)]
        server.add_jobs(1, dict.fromkeys(names, "failure"), {name: {"@b " * 60: "failure"} for name in names})
        raise_alert(server, report=report)
        body = only_issue(server)["body"]
    assert len(body) <= LONGEST_BODY
    assert "Cut here" in body
    assert read_memory(body)


@pytest.mark.parametrize("title", ["", "Daily", "daily job", "daily-->", "a" * 40, "--", "daily-"])
def test_a_title_that_is_no_word_is_refused(title: str) -> None:
    with GitHubServer() as server, pytest.raises(ConfigError, match="--title"):
        raise_alert(server, title=title)


def test_without_a_run_there_is_nothing_to_tell() -> None:
    with GitHubServer() as server, pytest.raises(ConfigError, match="GITHUB_RUN_ID"):
        raise_alert(server, run_id=0)
