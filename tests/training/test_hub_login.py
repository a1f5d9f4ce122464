"""Trusted publishing: GitHub's word is exchanged for a token, which is shown to nobody, or one line says why not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.hub_login import PREFIX, REQUEST_TOKEN
from tests.hub_server import Fault, HubServer
from training import hub_login
from training.hub_login import Login, LoginError, log_in, mask_token

NAME = "made/adapter"
TOKEN = PREFIX + NAME


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.trusted = {NAME}
        yield server


def enter(hub: HubServer, **changes: str) -> Login:
    """Return the login to NAME in GitHub's environment with ``changes``."""
    return log_in(NAME, {**hub.environment(NAME), **changes}, hub.url)


def test_an_id_token_is_exchanged_for_one_of_the_hub(hub: HubServer) -> None:
    login = enter(hub, HF_TOKEN="hf_kept")
    assert (login.token, login.is_exchanged, login.lifetime_s, login.note) == (TOKEN, True, 3600, "")
    assert login.way == "a token from GitHub's identity, for made/adapter alone, good for 3600 s"
    assert hub.stages() == ["identity", "exchange"]
    assert hub.requests[0].path.startswith("/id-token?api-version=2.0&audience=http%3A%2F%2F127.0.0.1")
    asked, exchanged = ({name.lower() for name in request.headers} for request in hub.requests)
    assert "authorization" in asked
    assert "authorization" not in exchanged


def test_the_token_is_shown_only_in_the_line_that_hides_it(hub: HubServer) -> None:
    login = enter(hub)
    assert TOKEN not in repr(login)
    assert mask_token(login, {"GITHUB_ACTIONS": "true"}) == f"::add-mask::{TOKEN}"
    assert mask_token(login, {}) == ""
    assert mask_token(Login("the token of HF_TOKEN", "hf_kept"), {"GITHUB_ACTIONS": "true"}) == ""


def test_without_a_resource_nobody_is_asked(hub: HubServer) -> None:
    login = enter(hub, HF_OIDC_RESOURCE="", HF_TOKEN="hf_kept")
    assert (login.token, login.is_exchanged, login.note) == (None, False, "")
    assert hub.requests == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"HF_OIDC_RESOURCE": "made/other"}, "HF_OIDC_RESOURCE is made/other; expected made/adapter"),
        ({"ACTIONS_ID_TOKEN_REQUEST_URL": ""}, "expected a job of GitHub Actions with permissions: id-token: write"),
        ({"ACTIONS_ID_TOKEN_REQUEST_TOKEN": ""}, "expected a job of GitHub Actions with permissions: id-token: write"),
        ({"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"}, "GitHub's identity token: HTTP 401"),
        ({"ACTIONS_ID_TOKEN_REQUEST_URL": "file:///etc/passwd"}, "GitHub's identity token: its address is not https"),
        ({"ACTIONS_ID_TOKEN_REQUEST_URL": "http://example.com/"}, "GitHub's identity token: its address is not https"),
        ({"ACTIONS_ID_TOKEN_REQUEST_URL": "http://[x"}, "GitHub's identity token: its address is not https"),
    ],
)
def test_a_refused_login_is_one_line(hub: HubServer, changes: Mapping[str, str], message: str) -> None:
    with pytest.raises(LoginError) as refusal:
        enter(hub, **changes)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert REQUEST_TOKEN not in str(refusal.value)


def test_a_hub_that_does_not_know_the_publisher_says_what_to_do(hub: HubServer) -> None:
    hub.trusted.clear()
    with pytest.raises(
        LoginError, match="HTTP 400 invalid_grant: the repository's settings on the Hub name no trusted"
    ):
        enter(hub)


def test_a_stored_token_is_the_second_way_and_the_note_says_why(hub: HubServer) -> None:
    hub.trusted.clear()
    login = enter(hub, HF_TOKEN="hf_kept\n")
    assert (login.way, login.token, login.is_exchanged) == ("the token of HF_TOKEN", "hf_kept", False)
    assert login.note.startswith("made/adapter: the exchange for a Hub token: HTTP 400 invalid_grant")


def test_an_answer_in_many_pieces_is_read_whole(hub: HubServer) -> None:
    with serve(200, b'{"value": "abcdefgh"}', "", pieces=True) as url, pytest.raises(LoginError, match="HTTP 400"):
        enter(hub, ACTIONS_ID_TOKEN_REQUEST_URL=url)
    assert hub.stages() == ["exchange"], "the identity was understood, though it is not one that this Hub knows"


@pytest.mark.parametrize("stage", ["identity", "exchange"])
@pytest.mark.parametrize(("status", "message"), [(500, "HTTP 500 made to fail"), (0, "no answer")])
def test_a_fault_is_one_line(hub: HubServer, stage: str, status: int, message: str) -> None:
    hub.fail(stage, Fault(status))
    with pytest.raises(LoginError, match=message):
        enter(hub)


class _Odd(BaseHTTPRequestHandler):
    """Answers every request alike; ``sent`` is status, body, where a redirect leads, and whether it comes in pieces."""

    protocol_version = "HTTP/1.1"
    sent: tuple[int, bytes, str, bool]

    def do_GET(self) -> None:  # noqa: N802
        status, body, location, pieces = self.sent
        self.send_response(status)
        self.send_header("Location", location)
        self.send_header("Connection", "close")
        if pieces:
            self.send_header("Transfer-Encoding", "chunked")
            body = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Stay silent."""


@contextmanager
def serve(status: int, body: bytes, location: str = "", pieces: bool = False) -> Iterator[str]:
    """Yield the address of a server that gives this one answer to everything."""
    server = HTTPServer(("127.0.0.1", 0), type("Odd", (_Odd,), {"sent": (status, body, location, pieces)}))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b"<html>", "expected a JSON object of at most"),
        (200, b"[" * 60_000, "expected a JSON object of at most"),
        (200, b"[]", "expected a JSON object of at most"),
        (200, b'{"count": 1}', "GitHub's identity token: the answer holds no value"),
        (200, json.dumps({"value": "abcdefgh\n::set-output name=x::y"}).encode(), "the answer holds no value"),
        (200, b'{"value": "abcdefgh"}' + b" " * hub_login.MAX_BYTES, "expected a JSON object of at most"),
        (302, b"", "GitHub's identity token: HTTP 302"),
        (403, json.dumps({"error": "no\n##[error] such"}).encode(), "GitHub's identity token: HTTP 403"),
    ],
    ids=["html", "deep", "list", "no token", "two lines", "long", "redirect", "two lines refused"],
)
def test_an_odd_answer_is_one_line(hub: HubServer, status: int, body: bytes, message: str) -> None:
    with serve(status, body, f"{hub.url}/id-token") as url, pytest.raises(LoginError) as refusal:
        enter(hub, ACTIONS_ID_TOKEN_REQUEST_URL=url)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "##[" not in str(refusal.value)
    assert hub.requests == []
