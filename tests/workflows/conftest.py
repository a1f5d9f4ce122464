"""One fork for all scenarios, made once, and one that has sealed its first session; each test works on a copy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.feed_server import FeedServer

from .sandbox import Sandbox, make_fork

FIRST_EVENING = datetime(2026, 11, 19, 21, 37, tzinfo=UTC)


@pytest.fixture(scope="session")
def feeds() -> Iterator[FeedServer]:
    with FeedServer() as server:
        yield server


@pytest.fixture(scope="session")
def fork(tmp_path_factory: pytest.TempPathFactory, feeds: FeedServer) -> Path:
    return make_fork(tmp_path_factory.mktemp("fork"), feeds)


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory, fork: Path, feeds: FeedServer) -> Path:
    """The fork after its first run, which has sealed Thursday, 19 November 2026."""
    first = Sandbox(tmp_path_factory.mktemp("begun"), fork, feeds)
    first.serve("AAPL", ("Apple opens a store in Mumbai", datetime(2026, 11, 19, 16, tzinfo=UTC)))
    with first.github:
        run = first.tick("daily.yml", FIRST_EVENING)
    assert run.result == "success", run.describe()
    return first.origin


@pytest.fixture
def fresh(tmp_path: Path, fork: Path, feeds: FeedServer) -> Iterator[Sandbox]:
    """A fork in which nothing has run yet."""
    sandbox = Sandbox(tmp_path, fork, feeds)
    with sandbox.github:
        yield sandbox


@pytest.fixture
def sandbox(tmp_path: Path, begun: Path, feeds: FeedServer) -> Iterator[Sandbox]:
    """A fork whose store begins with Thursday, 19 November 2026, sealed."""
    sandbox = Sandbox(tmp_path, begun, feeds)
    with sandbox.github:
        yield sandbox
