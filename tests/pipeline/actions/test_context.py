"""The environment of a step: read whole or refused, and the token never shown."""

from __future__ import annotations

import pytest

from pipeline.actions.context import read_context
from pipeline.errors import ConfigError

GIVEN = {
    "GITHUB_API_URL": "https://api.github.com",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "owner/repository.name",
    "GITHUB_RUN_ID": "17",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_TOKEN": "ghs_secret",
}


def test_addresses_are_put_together() -> None:
    context = read_context(GIVEN)
    assert context.owner == "owner"
    assert context.run_url == "https://github.com/owner/repository.name/actions/runs/17"
    assert (context.run_id, context.run_attempt) == (17, 2)


def test_the_token_is_not_shown() -> None:
    assert "ghs_secret" not in repr(read_context(GIVEN))


def test_only_repository_and_token_are_needed() -> None:
    context = read_context({name: GIVEN[name] for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN")})
    assert (context.api_url, context.server_url, context.run_id) == ("https://api.github.com", "https://github.com", 0)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("GITHUB_REPOSITORY", "", "GITHUB_REPOSITORY is not set"),
        ("GITHUB_REPOSITORY", "owner", "GITHUB_REPOSITORY is malformed"),
        ("GITHUB_REPOSITORY", "owner/../other", "GITHUB_REPOSITORY is malformed"),
        ("GITHUB_REPOSITORY", "owner/repo?x", "GITHUB_REPOSITORY is malformed"),
        ("GITHUB_TOKEN", "", "GITHUB_TOKEN is not set"),
        ("GITHUB_TOKEN", "a\nX-Header: b", "GITHUB_TOKEN is malformed"),
        ("GITHUB_API_URL", "http://api.github.com", "expected https"),
        ("GITHUB_API_URL", "file:///etc/passwd", "GITHUB_API_URL is malformed"),
        ("GITHUB_API_URL", "ftp://github.com", "expected https"),
        ("GITHUB_API_URL", "https://user:word@github.com", "GITHUB_API_URL is malformed"),
        ("GITHUB_API_URL", "https://[::1", "GITHUB_API_URL is malformed"),
        ("GITHUB_RUN_ID", "seven", "GITHUB_RUN_ID is malformed"),
        ("GITHUB_RUN_ATTEMPT", "-1", "GITHUB_RUN_ATTEMPT is malformed"),
    ],
)
def test_what_is_impossible_is_refused_by_name(name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refusal:
        read_context(GIVEN | {name: value})
    assert "ghs_secret" not in str(refusal.value)
    assert "X-Header" not in str(refusal.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:1"])
def test_a_server_on_this_machine_needs_no_encryption(url: str) -> None:
    assert read_context(GIVEN | {"GITHUB_API_URL": url + "/"}).api_url == url
