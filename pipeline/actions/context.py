"""The run that a verb speaks for, read from the environment that GitHub gives every step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from ..errors import ConfigError


@dataclass(frozen=True, slots=True)
class Context:
    """Where GitHub is, which repository and run this is, and the token that may speak for it.

    ``run_id`` and ``run_attempt`` are 0 outside a run. The token is never shown.
    """

    api_url: str
    server_url: str
    repository: str
    token: str = field(repr=False)
    run_id: int = 0
    run_attempt: int = 0

    @property
    def owner(self) -> str:
        """Who owns the repository."""
        return self.repository.split("/")[0]

    @property
    def home_url(self) -> str:
        """The repository's page."""
        return f"{self.server_url}/{self.repository}"

    @property
    def run_url(self) -> str:
        """The page of this run."""
        return f"{self.home_url}/actions/runs/{self.run_id}"


def read_context(environment: Mapping[str, str]) -> Context:
    """Return the context that ``environment`` describes.

    Raises:
        ConfigError: a variable is missing or impossible, or the token would travel unencrypted to another machine.
    """
    repository = _read(environment, "GITHUB_REPOSITORY", r"[\w-][\w.-]*/[\w.-]+", "OWNER/NAME")
    return Context(
        api_url=_read_url(environment, "GITHUB_API_URL", "https://api.github.com"),
        server_url=_read_url(environment, "GITHUB_SERVER_URL", "https://github.com"),
        repository=repository,
        token=_read(environment, "GITHUB_TOKEN", r"[\x21-\x7e]+", "a token, in the step's env"),
        run_id=_read_number(environment, "GITHUB_RUN_ID"),
        run_attempt=_read_number(environment, "GITHUB_RUN_ATTEMPT"),
    )


def _read(environment: Mapping[str, str], name: str, pattern: str, expected: str) -> str:
    value = environment.get(name, "")
    if not re.fullmatch(pattern, value):
        raise ConfigError(f"{name} is {'malformed' if value else 'not set'}: expected {expected}")
    return value


def _read_url(environment: Mapping[str, str], name: str, default: str) -> str:
    url = environment.get(name) or default
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or parts.query or parts.fragment or parts.username is not None:
        raise ConfigError(f"{name} is malformed: expected an address such as {default}")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(host)):
        raise ConfigError(f"{name} = {url}: expected https")
    return url.rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name) or "0"
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise ConfigError(f"{name} is malformed: expected a number")
    return int(text)
