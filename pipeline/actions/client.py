"""GitHub's REST interface, as much of it as the verbs need: JSON in, JSON out, patient with a busy server."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, IncompleteRead
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ..errors import PipelineError
from ..markdown import shorten_text
from .context import Context

TRIES = 5
TIMEOUT_S = 30.0
LONGEST_PAUSE_S = 60.0
"""The longest pause that is taken, jitter aside; who asks for more is not asked again."""

MAX_BYTES = 10_000_000
MAX_PAGES = 30
_PER_PAGE = 100
_SECONDARY_LIMIT_S = 60.0
"""GitHub's advice for a limit that names no end."""


_Result = TypeVar("_Result")


class ApiError(PipelineError):
    """GitHub did not do what was asked. ``status`` is that of its answer, 0 where there was none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class _BusyError(ApiError):
    """The same request may succeed later; ``pause_s`` is how long the server asked us to stay away, if it did."""

    def __init__(self, message: str, status: int = 0, pause_s: float | None = None) -> None:
        super().__init__(message, status)
        self.pause_s = pause_s


@dataclass(frozen=True, slots=True)
class _Answer:
    content: Any
    headers: HTTPMessage


class GitHub:
    """The interface of one repository. ``pause``, ``draw`` (0..1) and ``clock`` (seconds, as the epoch) are for tests.

    The token goes to the API's own address only: a redirect is an error.
    """

    def __init__(
        self,
        context: Context,
        pause: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.context = context
        self._pause = pause
        self._draw = draw
        self._clock = clock
        self._opener = build_opener(_RefuseRedirects)

    def change(self, method: str, path: str, payload: Mapping[str, Any] | None = None) -> Any:
        """Do what may be done twice, PUT or PATCH, and return the answer. Raises ApiError."""
        return self._insist(method, path, payload).content

    def list_items(self, path: str, key: str = "", **query: str | int) -> Iterator[dict[str, Any]]:
        """Yield every item of a listing, page by page; ``key`` names the list in an answer that is none itself.

        Raises:
            ApiError: a page cannot be had or is no listing, or there are more than MAX_PAGES.
        """
        for page in range(1, MAX_PAGES + 1):
            address = _join(path, {**query, "per_page": _PER_PAGE, "page": page})
            answer = self._insist("GET", address)
            items = answer.content.get(key) if key and isinstance(answer.content, dict) else answer.content
            if not isinstance(items, list):
                raise ApiError(f"GET {path}: not a listing")
            yield from (item for item in items if isinstance(item, dict))
            if 'rel="next"' not in answer.headers.get("Link", ""):
                return
        raise ApiError(f"GET {path}: more than {MAX_PAGES} pages")

    def create(
        self, path: str, payload: Mapping[str, Any], find: Callable[[], dict[str, Any] | None]
    ) -> dict[str, Any]:
        """POST ``payload`` once and return what it made.

        An answer can be lost after the work was done, so that ``find`` looks for the work before it is asked for again.

        Raises:
            ApiError: it could not be made, or it is not known whether it was.
        """

        def ask(attempt: int) -> dict[str, Any]:
            if attempt and (found := find()):
                return found
            made = self._ask("POST", path, payload).content
            return made if isinstance(made, dict) else {}

        return self._repeat(ask)

    def _insist(self, method: str, path: str, payload: Mapping[str, Any] | None = None) -> _Answer:
        return self._repeat(lambda _: self._ask(method, path, payload))

    def _repeat(self, ask: Callable[[int], _Result]) -> _Result:
        """Return what ``ask`` returns, given the number of the attempt from 0, once the server is not too busy."""
        attempt = 0
        while True:
            try:
                return ask(attempt)
            except _BusyError as error:
                self._wait(error, attempt)
            attempt += 1

    def _wait(self, error: _BusyError, attempt: int) -> None:
        """Pause before the next attempt, with some jitter on top. Raises ApiError where there is to be none."""
        pause_s = 2.0**attempt if error.pause_s is None else error.pause_s
        if attempt + 1 == TRIES or pause_s > LONGEST_PAUSE_S:
            raise ApiError(str(error), error.status) from error
        self._pause(pause_s * (1 + self._draw() / 2))

    def _ask(self, method: str, path: str, payload: Mapping[str, Any] | None = None) -> _Answer:
        """Send one request and return its answer."""
        where = f"{method} {path.split('?')[0]}"
        request = Request(  # noqa: S310
            f"{self.context.api_url}/repos/{self.context.repository}{path}",  # http(s): context.py has looked
            data=None if payload is None else json.dumps(payload).encode(),
            method=method,
            headers=_HEADERS | {"Authorization": f"Bearer {self.context.token}"},
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as response:
                body = response.read(MAX_BYTES + 1)
                if response.length and len(body) <= MAX_BYTES:  # read() of a given size does not complain by itself
                    raise IncompleteRead(body, response.length)
                return _Answer(_read_json(body, where), response.headers)
        except HTTPError as error:
            with error:
                raise self._explain(error, where) from None
        except (URLError, HTTPException, OSError) as error:
            raise _BusyError(f"{where}: {getattr(error, 'reason', error) or type(error).__name__}") from error

    def _explain(self, error: HTTPError, where: str) -> ApiError:
        try:
            content = json.loads(error.read(MAX_BYTES))
        except (ValueError, HTTPException, OSError):
            content = {}
        said = str(content.get("message", "")) if isinstance(content, dict) else ""
        message = f"{where}: HTTP {error.code}{f': {shorten_text(said, 300)}' if said else ''}"
        pause_s = self._read_pause(error, said)
        if error.code >= 500 or error.code == 429 or (error.code == 403 and pause_s is not None):
            return _BusyError(message, error.code, pause_s)
        return ApiError(message, error.code)

    def _read_pause(self, error: HTTPError, said: str) -> float | None:
        """Return how long the server asks us to stay away, in seconds; None when it does not."""
        after, left, reset = (error.headers.get(name, "") for name in _PAUSE_HEADERS)
        if after.isdecimal():
            return float(after)
        if left == "0" and reset.isdecimal():
            return max(0.0, float(reset) - self._clock()) + 1
        return _SECONDARY_LIMIT_S if "rate limit" in said.lower() else None


class _RefuseRedirects(HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow nowhere: urllib would take the token along."""


_HEADERS = {
    "Accept": "application/vnd.github+json",
    "Content-Type": "application/json",
    "User-Agent": "financial-sentiment-llm",
    "X-GitHub-Api-Version": "2022-11-28",
}
_PAUSE_HEADERS = ("Retry-After", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def _join(path: str, query: Mapping[str, str | int]) -> str:
    return f"{path}?{urlencode(query, quote_via=quote)}" if query else path


def _read_json(body: bytes, where: str) -> Any:
    if len(body) > MAX_BYTES:
        raise ApiError(f"{where}: an answer of more than {MAX_BYTES:,} bytes")
    try:
        return json.loads(body) if body.strip() else None
    except ValueError as error:
        raise ApiError(f"{where}: the answer is not JSON") from error
