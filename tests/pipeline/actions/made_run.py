"""A run's context on a loopback GitHub, and a client that never sleeps."""

from __future__ import annotations

from datetime import date

from pipeline.actions.client import GitHub
from pipeline.actions.context import read_context

from ...github_server import TOKEN, GitHubServer

TODAY = date(2026, 11, 20)


class Pauses(list[float]):
    """Pauses that were asked for, in seconds; none is taken."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def open_client(
    server: GitHubServer, run_id: int = 1, attempt: int = 1, token: str = TOKEN, pause: Pauses | None = None
) -> GitHub:
    """Return a client of ``server`` for one run, without jitter, whose clock stands at 1000 s."""
    context = read_context(server.environment(run_id, attempt, token))
    return GitHub(context, Pauses() if pause is None else pause, lambda: 0.0, lambda: 1000.0)
