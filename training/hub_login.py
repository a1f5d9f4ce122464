"""Which token writes to the Hub: one that GitHub vouches for, good for one repository and an hour, or HF_TOKEN.

A job of GitHub Actions asks GitHub for an identity token, which says which repository and workflow it is. The Hub
exchanges it (RFC 8693) for a token of its own where the repository's settings name that workflow as a trusted
publisher. No secret is stored anywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from pipeline.errors import PipelineError

from .patience import read_fault

RESOURCE = "HF_OIDC_RESOURCE"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105
TIMEOUT_S = 30.0
MAX_BYTES = 65_536
"""Of an answer that holds a token; identity tokens have about 2,000."""

_TOKEN = re.compile(r"[\x21-\x7e]{8,16384}")


class LoginError(PipelineError):
    """No token was to be had. Its text holds no part of one."""


@dataclass(frozen=True, slots=True)
class Login:
    """A token and how it was got, in words. ``token`` None leaves the choice to the client: HF_TOKEN, or its login.

    An exchanged token writes to one repository, which it cannot create, for ``lifetime_s`` seconds.
    """

    way: str
    token: str | None = field(default=None, repr=False)
    is_exchanged: bool = False
    lifetime_s: float = 0.0
    note: str = ""


def log_in(repository: str, environment: Mapping[str, str], endpoint: str) -> Login:
    """Return what may write to ``repository``: an exchanged token if HF_OIDC_RESOURCE asks for one, else HF_TOKEN.

    HF_TOKEN is also taken where the exchange is refused; ``note`` then says why.

    Args:
        repository: OWNER/NAME on the Hub.
        environment: holds HF_OIDC_RESOURCE, HF_TOKEN and what GitHub gives a job with `id-token: write`.
        endpoint: the Hub's address, which is also the audience that the identity token is made for.

    Raises:
        LoginError: the exchange was asked for and refused, and there is no HF_TOKEN.
    """
    resource = environment.get(RESOURCE, "")
    if not resource:
        return Login("the token of HF_TOKEN or `hf auth login`")
    try:
        if resource != repository:
            raise LoginError(f"{RESOURCE} is {resource}; expected {repository}, the repository to be written")
        token, lifetime_s = exchange_token(fetch_identity(environment, endpoint), resource, endpoint)
    except LoginError as error:
        if not (stored := environment.get("HF_TOKEN", "").strip()):
            raise
        return Login("the token of HF_TOKEN", stored, note=str(error))
    way = f"a token from GitHub's identity, for {resource} alone, good for {lifetime_s:.0f} s"
    return Login(way, token, True, lifetime_s)


def fetch_identity(environment: Mapping[str, str], audience: str) -> str:
    """Return the identity token (a JWT) that GitHub makes for this job and for ``audience``.

    Raises:
        LoginError: this is no job of GitHub Actions that may ask, or GitHub does not answer.
    """
    url, key = (environment.get(f"ACTIONS_ID_TOKEN_REQUEST_{name}", "") for name in ("URL", "TOKEN"))
    if not url or not key:
        raise LoginError(
            f"{RESOURCE} is set, but there is no identity to exchange; expected a job of GitHub Actions with "
            "permissions: id-token: write"
        )
    answer = _ask(
        "GitHub's identity token", "GET", url, params={"audience": audience}, headers={"Authorization": f"Bearer {key}"}
    )
    return _read_token(answer, "value", "GitHub's identity token")


def exchange_token(identity: str, resource: str, endpoint: str) -> tuple[str, float]:
    """Return the Hub's token for ``resource`` and how many seconds it is good for.

    Raises:
        LoginError: the Hub refuses or does not answer.
    """
    wanted = {"grant_type": GRANT, "subject_token_type": ID_TOKEN, "subject_token": identity, "resource": resource}
    what = f"{resource}: the exchange for a Hub token"
    answer = _ask(what, "POST", f"{endpoint}/oauth/token", json=wanted)
    lifetime_s = answer.get("expires_in")
    if not isinstance(lifetime_s, int | float) or not 0 < lifetime_s <= 86_400:
        raise LoginError(f"{what}: expires_in is {str(lifetime_s)[:40]}; expected seconds, a day at most")
    return _read_token(answer, "access_token", what), float(lifetime_s)


def mask_token(login: Login, environment: Mapping[str, str]) -> str:
    """Return the line that makes a runner of GitHub Actions star out an exchanged token; empty anywhere else."""
    on_actions = environment.get("GITHUB_ACTIONS") == "true"
    return f"::add-mask::{login.token}" if on_actions and login.is_exchanged else ""


def _ask(what: str, method: str, url: str, **options: Any) -> dict[str, Any]:
    """Return the JSON object that ``url`` answers with. No redirect is followed: the request carries a credential."""
    if not _is_safe(url):
        raise LoginError(f"{what}: its address is not https")
    try:
        # An auth of its own keeps requests from putting a login of .netrc in the place of the header.
        with requests.request(
            method, url, timeout=TIMEOUT_S, stream=True, allow_redirects=False, auth=lambda sent: sent, **options
        ) as response:
            content = _read_body(response)
    except (OSError, requests.RequestException) as error:
        raise LoginError(f"{what}: {read_fault(error).reason}") from error
    answer = _read_object(content)
    if response.status_code != 200:
        raise LoginError(f"{what}: HTTP {response.status_code}{_explain(answer)}")
    if len(content) > MAX_BYTES or not answer:
        raise LoginError(f"{what}: expected a JSON object of at most {MAX_BYTES:,} bytes")
    return answer


def _is_safe(url: str) -> bool:
    """Say whether a credential may be sent to ``url``: by https, or on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost"))


def _read_body(response: requests.Response) -> bytes:
    """Return the answer, or its beginning where it has more than MAX_BYTES."""
    content = b""
    for piece in response.iter_content(8192):
        content += piece
        if len(content) > MAX_BYTES:
            break
    return content


def _read_object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _explain(answer: Mapping[str, Any]) -> str:
    """Return what an OAuth refusal says, fit for one line, with what to do about the usual one."""
    said = " ".join(str(answer.get("error") or "").split())[:80]
    if said == "invalid_grant":
        return f" {said}: the repository's settings on the Hub name no trusted publisher that this workflow matches"
    return f" {said}" if re.fullmatch(r"[\w .,-]+", said) else ""


def _read_token(answer: Mapping[str, Any], key: str, what: str) -> str:
    token = answer.get(key)
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise LoginError(f"{what}: the answer holds no {key}")
    return token
