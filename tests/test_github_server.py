"""The loopback GitHub refuses what the real one refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from .github_server import LONGEST_BODY, READ_TOKEN, TOKEN, GitHubServer

HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/vnd.github+json", "User-Agent": "test"}


@pytest.fixture
def server() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        server.add_issue("one", "body")
        yield server


def ask(
    server: GitHubServer, method: str, path: str, payload: object = None, **headers: str
) -> tuple[int, object, dict[str, str]]:
    data = None if payload is None else json.dumps(payload).encode()
    sent = {name: value for name, value in (HEADERS | headers).items() if value}
    request = Request(f"{server.url}/repos/owner/repository{path}", data, sent, method=method)
    try:
        with urlopen(request, timeout=5) as response:
            return response.status, json.loads(response.read() or b"null"), dict(response.headers)
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read()), dict(error.headers)


@pytest.mark.parametrize(
    ("method", "path", "payload", "headers", "status"),
    [
        ("GET", "/issues", None, {}, 200),
        ("GET", "/issues", None, {"Authorization": ""}, 401),
        ("GET", "/issues", None, {"Authorization": "Bearer wrong"}, 401),
        ("GET", "/issues", None, {"Accept": "text/html"}, 415),
        ("GET", "/issues", None, {"User-Agent": ""}, 200),  # urllib names itself
        ("GET", "/issues?per_page=101", None, {}, 422),
        ("GET", "/nothing", None, {}, 404),
        ("POST", "/issues", {"title": "a"}, {"Authorization": f"Bearer {READ_TOKEN}"}, 403),
        ("POST", "/issues", {"title": ""}, {}, 422),
        ("POST", "/issues", {"title": "a", "labels": "b"}, {}, 422),
        ("POST", "/issues", {"title": "a", "labels": [""]}, {}, 422),
        ("POST", "/issues", {"title": "a", "body": "b" * (LONGEST_BODY + 1)}, {}, 422),
        ("POST", "/issues", [], {}, 400),
        ("POST", "/issues", {"title": "a", "labels": ["new"]}, {}, 201),
        ("PATCH", "/issues/1", {"state": "gone"}, {}, 422),
        ("PATCH", "/issues/9", {"state": "closed"}, {}, 404),
        ("POST", "/issues/1/comments", {"body": ""}, {}, 422),
        ("GET", "/actions/runs/5/jobs", None, {}, 404),
        ("PUT", "/actions/workflows/a.yml/enable", None, {}, 404),
        ("GET", "/pulls?head=branch", None, {}, 422),
        ("POST", "/pulls", {"title": "a", "head": "b"}, {}, 422),
        ("PATCH", "/pulls/1", {"body": "an issue is no pull request"}, {}, 404),
    ],
)
def test_requests_are_answered_as_github_answers(
    server: GitHubServer, method: str, path: str, payload: object, headers: dict[str, str], status: int
) -> None:
    assert ask(server, method, path, payload, **headers)[0] == status


def test_pages_are_announced_until_the_last(server: GitHubServer) -> None:
    for number in range(4):
        server.add_issue(f"more {number}", "body")
    first, last = (ask(server, "GET", f"/issues?per_page=3&page={page}") for page in (1, 2))
    assert ([issue["number"] for issue in first[1]], [issue["number"] for issue in last[1]]) == ([5, 4, 3], [2, 1])  # type: ignore[attr-defined]
    assert ('rel="next"' in first[2].get("Link", ""), "Link" in last[2]) == (True, False)


def test_issues_are_filtered_by_state_creator_and_label(server: GitHubServer) -> None:
    server.add_issue("two", "body", "someone", ["bug"])
    ask(server, "PATCH", "/issues/1", {"state": "closed"})
    for query, numbers in (("", [2]), ("state=all", [2, 1]), ("creator=stranger", []), ("labels=bug", [2])):
        found = ask(server, "GET", f"/issues?{query}")[1]
        assert [issue["number"] for issue in found] == numbers  # type: ignore[attr-defined]


def test_a_second_pull_request_of_a_branch_is_refused(server: GitHubServer) -> None:
    payload = {"title": "a", "head": "b", "base": "main"}
    assert [ask(server, "POST", "/pulls", payload)[0] for _ in range(2)] == [201, 422]
    assert ask(server, "PATCH", "/pulls/2", {"state": "closed"})[0] == 200
    assert ask(server, "POST", "/pulls", payload)[0] == 201
