"""The client on a loopback GitHub: patient where that helps, one clear error where it does not, nothing done twice."""

from __future__ import annotations

import http.server
import threading
from typing import Any

import pytest

from pipeline.actions import client as client_module
from pipeline.actions.client import LONGEST_PAUSE_S, MAX_PAGES, TRIES, ApiError, GitHub
from pipeline.actions.context import Context

from ...github_server import READ_TOKEN, TOKEN, Fault, GitHubServer
from .made_run import Pauses, open_client

BUSY = "x-ratelimit-remaining"


def test_every_request_says_who_and_what() -> None:
    with GitHubServer() as server:
        server.add_issue("one", "body")
        assert [issue["title"] for issue in open_client(server).list_items("/issues")] == ["one"]
        headers = {name.lower(): value for name, value in server.requests[0].headers.items()}
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["accept"] == "application/vnd.github+json"
    assert headers["x-github-api-version"] == "2022-11-28"


def test_a_listing_is_read_to_its_last_page() -> None:
    with GitHubServer() as server:
        for number in range(250):
            server.add_issue(f"issue {number}", "body")
        found = list(open_client(server).list_items("/issues", state="open"))
        assert len({issue["number"] for issue in found}) == 250
        assert len(server.requests) == 3


def test_a_listing_without_an_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_PAGES", 2)
    with GitHubServer() as server:
        for number in range(201):
            server.add_issue(f"issue {number}", "body")
        with pytest.raises(ApiError, match="more than 2 pages"):
            list(open_client(server).list_items("/issues"))
    assert MAX_PAGES > 2


@pytest.mark.parametrize(
    ("fault", "pauses"),
    [
        (Fault(500), [1.0]),
        (Fault(502, body=b"<html>Bad gateway</html>"), [1.0]),
        (Fault(503, {"Retry-After": "7"}), [7.0]),
        (Fault(0), [1.0]),
        (Fault(429), [1.0]),
        (Fault(429, {"Retry-After": "20"}), [20.0]),
        (Fault(403, {BUSY: "0", "x-ratelimit-reset": "1030"}), [31.0]),
        (Fault(403, {BUSY: "0", "x-ratelimit-reset": "900"}), [1.0]),
        (Fault(403, {"Retry-After": "3"}), [3.0]),
        (Fault(403, message="You have exceeded a secondary rate limit"), [60.0]),
        (Fault(503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), [1.0]),
    ],
)
def test_a_busy_server_is_asked_again_after_the_pause_it_wants(fault: Fault, pauses: list[float]) -> None:
    pause = Pauses()
    with GitHubServer() as server:
        server.fail("issues", fault)
        assert list(open_client(server, pause=pause).list_items("/issues")) == []
    assert pause == pauses


def test_pauses_grow_and_end_in_an_error() -> None:
    pause = Pauses()
    with GitHubServer() as server:
        server.fail("issues", *[Fault(500)] * TRIES)
        with pytest.raises(ApiError, match="GET /issues: HTTP 500: made to fail") as refusal:
            list(open_client(server, pause=pause).list_items("/issues"))
    assert (pause, refusal.value.status) == ([1.0, 2.0, 4.0, 8.0], 500)


def test_jitter_is_added_to_a_pause() -> None:
    pause = Pauses()
    with GitHubServer() as server:
        server.fail("issues", Fault(503, {"Retry-After": "10"}))
        github = GitHub(open_client(server).context, pause, lambda: 0.5, lambda: 0.0)
        assert list(github.list_items("/issues")) == []
    assert pause == [12.5]


def test_who_asks_for_too_long_a_pause_is_not_asked_again() -> None:
    pause = Pauses()
    with GitHubServer() as server:
        server.fail("issues", Fault(403, {BUSY: "0", "x-ratelimit-reset": str(1000 + int(LONGEST_PAUSE_S))}))
        with pytest.raises(ApiError, match="HTTP 403"):
            list(open_client(server, pause=pause).list_items("/issues"))
    assert pause == []


@pytest.mark.parametrize(("status", "said"), [(401, "Bad credentials"), (403, "not accessible"), (404, "Not Found")])
def test_what_will_not_change_is_not_asked_again(status: int, said: str) -> None:
    token = {401: "ghs_wrong", 403: READ_TOKEN}.get(status, TOKEN)
    with GitHubServer() as server:
        number = server.add_issue("one", "body")
        with pytest.raises(ApiError, match=said) as refusal:
            open_client(server, token=token).change("PATCH", f"/issues/{number + (status == 404)}", {"body": "new"})
        assert len(server.requests) == 1
    assert refusal.value.status == status
    assert token not in str(refusal.value)


def test_an_error_is_one_short_line() -> None:
    with GitHubServer() as server:
        server.fail("issues", Fault(422, message="first\nsecond \x1b[31m " + "x" * 10_000))
        with pytest.raises(ApiError) as refusal:
            list(open_client(server).list_items("/issues"))
    assert "\n" not in str(refusal.value)
    assert "\x1b" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("fault", [Fault(500), Fault(502), Fault(0)])
def test_work_whose_answer_was_lost_is_not_done_twice(fault: Fault) -> None:
    with GitHubServer() as server:
        server.fail("open_issue", Fault(fault.status, is_after=True))
        github = open_client(server)

        def find() -> dict[str, Any] | None:
            return next(github.list_items("/issues"), None)

        assert github.create("/issues", {"title": "one"}, find)["number"] == 1
        assert server.stages() == ["open_issue", "issues"]
        assert len(server.issues) == 1


@pytest.mark.parametrize("fault", [Fault(500), Fault(0), Fault(429, {"Retry-After": "1"})])
def test_work_that_was_not_done_is_done_at_last(fault: Fault) -> None:
    with GitHubServer() as server:
        server.fail("open_issue", fault, fault)
        github = open_client(server)
        made = github.create("/issues", {"title": "one"}, lambda: next(github.list_items("/issues"), None))
        assert (made["number"], len(server.issues)) == (1, 1)


def test_a_search_that_fails_for_good_ends_the_attempts() -> None:
    with GitHubServer() as server:
        server.fail("open_issue", Fault(500, is_after=True))
        server.fail("issues", *[Fault(500)] * TRIES)
        github = open_client(server)
        with pytest.raises(ApiError):
            github.create("/issues", {"title": "one"}, lambda: next(github.list_items("/issues"), None))
        assert server.stages().count("open_issue") == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"<html>", "not JSON"), (b'{"a": 1}', "not a listing"), (b"x" * 200, "more than 100 bytes")],
)
def test_an_answer_that_is_none_is_refused(body: bytes, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_BYTES", 100)
    with GitHubServer() as server:
        server.fail("issues", Fault(200, body=body))
        with pytest.raises(ApiError, match=said):
            list(open_client(server).list_items("/issues"))


def test_an_answer_that_breaks_off_is_asked_for_again() -> None:
    with GitHubServer() as server:
        server.fail("issues", Fault(200, {"Content-Length": "50", "Connection": "close"}, body=b"[]"))
        assert list(open_client(server).list_items("/issues")) == []
        assert len(server.requests) == 2


def test_no_redirect_takes_the_token_elsewhere() -> None:
    seen: list[str] = []

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            seen.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Stay silent."""

    with GitHubServer() as server, http.server.HTTPServer(("127.0.0.1", 0), Elsewhere) as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, args=(0.01,), daemon=True).start()
        server.fail("issues", Fault(301, {"Location": f"http://127.0.0.1:{elsewhere.server_port}/taken"}))
        with pytest.raises(ApiError, match="HTTP 301"):
            list(open_client(server).list_items("/issues"))
        elsewhere.shutdown()
    assert seen == []


def test_a_server_that_is_not_there_is_one_line() -> None:
    with GitHubServer() as server:
        url = server.url
    github = GitHub(Context(url, url, "owner/repository", "t"), Pauses(), lambda: 0.0, lambda: 0.0)
    with pytest.raises(ApiError, match="GET /issues: .*refused"):
        list(github.list_items("/issues"))
