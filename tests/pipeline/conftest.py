"""The tiny model, made and exported once for all tests that score with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hub_server import HubServer

from .made_model import make_base, make_run, serve_model, write_parity_set


@dataclass(frozen=True)
class Made:
    """Where the tiny model's parts lie; ``folder`` is the exported model folder."""

    base: Path
    run: Path
    parity_set: Path
    folder: Path
    hub: HubServer


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no disk: what outlives a power failure is not tried. Processes that a test starts wait as always."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture(scope="session")
def hub_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the Hub's client a cache of its own and let it talk, whatever the environment says."""
    from huggingface_hub import constants
    from huggingface_hub.utils import reset_sessions

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        reset_sessions()
        yield
    reset_sessions()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, hub_cache: None) -> Iterator[Made]:
    """The tiny model, exported from its run folder; the base comes from a Hub on this machine."""
    from pipeline.export import export_model

    place = tmp_path_factory.mktemp("made")
    base = make_base(place / "base")
    run = make_run(place / "run-seed1", base)
    parity_set = write_parity_set(place / "parity_set.csv")
    with HubServer() as hub:
        serve_model(hub, base, run)
        export_model(run, None, place / "model", parity_set, hub.url)
        yield Made(base, run, parity_set, place / "model", hub)
