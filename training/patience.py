"""How long to go on with a Hub that falters, and what to say when that does not help."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from requests.exceptions import ChunkedEncodingError, ConnectionError, Timeout

from pipeline.errors import PipelineError

PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP states that may be gone at the next try."""
AGAIN = "nothing is half-published, since an upload is one commit: the same command may be run again"
Result = TypeVar("Result")


class PublishError(PipelineError):
    """The Hub refuses, cannot be reached, or holds something else than was sent."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong: in words, with the HTTP status (0: none), and the wait in seconds the server asked for."""

    reason: str
    status: int = 0
    wait_s: float | None = None
    is_passing: bool = False


@dataclass(frozen=True, slots=True)
class Patience:
    """``tries`` in all; waits double from ``backoff_s``, with jitter, or last as long as the server says.

    A server that asks for more than ``max_wait_s`` is given up at once. ``draw`` gives numbers in 0..1.
    """

    tries: int = 5
    backoff_s: float = 2.0
    max_wait_s: float = 300.0
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = random.random

    def persist(self, repository: str, action: Callable[[], Result]) -> Result:
        """Return what ``action`` returns, calling it again after faults that pass.

        Raises:
            PublishError: one line on the last fault. No part of an address or a token is in it.
        """
        for attempt in range(1, self.tries + 1):
            try:
                return action()
            except (OSError, RuntimeError, ValueError) as error:  # the client wraps a failed upload in RuntimeError
                fault = read_fault(error)
                wait_s = self._wait_s(attempt, fault)
                if not fault.is_passing or attempt == self.tries or wait_s > self.max_wait_s:
                    raise PublishError(_explain(repository, fault, attempt, wait_s)) from error
                self.sleep(wait_s)
        raise PublishError(f"{repository}: not tried; tries is {self.tries}, expected at least 1")

    def _wait_s(self, attempt: int, fault: Fault) -> float:
        """Return the server's wait, else half to all of the doubled one, so that clients do not come back in step."""
        if fault.wait_s is not None:
            return fault.wait_s
        return self.backoff_s * 2 ** (attempt - 1) * (0.5 + self.draw() / 2)


def read_fault(error: BaseException) -> Fault:
    """Return what ``error``, or the failed upload inside it, says."""
    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        return read_fault(error.__cause__)
    response = getattr(error, "response", None)
    if response is not None:
        status, headers = int(response.status_code), response.headers
        words = str(headers.get("X-Error-Message") or getattr(response, "reason", "") or "").strip()
        return Fault(f"HTTP {status} {words}".strip(), status, _wait_of(headers), status in PASSING)
    if isinstance(error, ConnectionError | Timeout | ChunkedEncodingError):
        return Fault(f"no answer ({type(error).__name__})", is_passing=True)
    if isinstance(error, OSError) and error.strerror:
        return Fault(f"{error.filename or 'system'}: {error.strerror}")
    return Fault(" ".join(str(error).split()) or type(error).__name__)


def _wait_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of Retry-After, or of the t in the Hub's RateLimit header (draft-ietf-httpapi-ratelimit)."""
    if re.fullmatch(r"\d+", headers.get("Retry-After", "").strip()):
        return float(headers["Retry-After"])
    limit = re.search(r"\bt=(\d+)", headers.get("RateLimit", ""))
    return float(limit[1]) if limit else None


def _explain(repository: str, fault: Fault, attempt: int, wait_s: float) -> str:
    if fault.status in (401, 403):
        rights = "is missing or wrong" if fault.status == 401 else "may not write there"
        return f"{repository}: {fault.reason}: the token {rights}; set HF_TOKEN, or run `hf auth login`"
    if fault.status == 412:
        return f"{repository}: somebody else committed meanwhile; nothing of it was overwritten"
    if fault.is_passing and fault.wait_s is not None:
        return f"{repository}: {fault.reason} at try {attempt}, to wait {wait_s:.0f} s; {AGAIN}"
    return f"{repository}: {fault.reason} at try {attempt}; {AGAIN}"
