"""The part of GitHub and the Hub that trusted publishing talks to: an id token, and what it is exchanged for. Pure.

The id token is signed by nobody: it is its own content, JSON, and the exchange reads it as the real one reads claims.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

REQUEST_TOKEN = "made_for_this_job_alone"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
PREFIX = "hf_jwt_made_for_"
Answer = tuple[int, dict[str, object]]


def give_identity(authorization: str, audience: str) -> Answer:
    """Return GitHub's answer to a job that asks who it is."""
    if authorization != f"Bearer {REQUEST_TOKEN}":
        return 401, {"message": "Bad credentials"}
    return 200, {"count": 1, "value": json.dumps({"aud": audience}, separators=(",", ":"))}


def exchange(wanted: Mapping[str, str], endpoint: str, trusted: Collection[str]) -> Answer:
    """Return the Hub's answer to an id token: a token for one repository of ``trusted``, or why not."""
    if (wanted.get("grant_type"), wanted.get("subject_token_type")) != (GRANT, ID_TOKEN):
        return 400, {"error": "unsupported_grant_type"}
    try:
        audience = json.loads(wanted["subject_token"])["aud"]
    except ValueError:
        return 400, {"error": "invalid_request", "error_description": "not an id token"}
    if audience != endpoint:
        return 400, {"error": "invalid_grant", "error_description": "the audience is another"}
    if wanted["resource"] not in trusted:
        return 400, {"error": "invalid_grant", "error_description": "No trusted publisher matches"}
    return 200, {"access_token": PREFIX + wanted["resource"], "token_type": "bearer", "expires_in": 3600}


def may(token: str, stage: str, name: str, writes: Collection[str]) -> bool:
    """Return whether a token of trusted publishing may do ``stage``: write to its own repository, and make none."""
    return stage not in writes or name == token.removeprefix(PREFIX)
