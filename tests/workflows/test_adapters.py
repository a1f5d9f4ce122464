"""A pinned adapter on a runner: exported once, cached, used from the next open session on; and a Hub that is down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.hub_server import HubServer
from tests.pipeline.made_model import ADAPTER, COMMIT, make_base, make_run, seal_run, serve_model, write_parity_set

from .sandbox import Sandbox
from .test_scenarios import DAY, EVENING, FRIDAY, HOUR, MONDAY, MORNING, NOON, THURSDAY

NOWHERE = {"HF_ENDPOINT": "http://127.0.0.1:9"}
"""A Hub that refuses every connection."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def hub(sandbox: Sandbox) -> Iterator[HubServer]:
    with HubServer() as server:
        sandbox.machine.environment = {**sandbox.machine.environment, "HF_ENDPOINT": server.url}
        yield server


def pin(sandbox: Sandbox, hub: HubServer, base: Path, labels: Mapping[str, str] = {}) -> None:  # noqa: B006
    """Publish a tiny adapter and let the owner pin it; its parity set is one that a random network can keep to.

    ``labels`` are names in the place of ours.
    """
    run = make_run(sandbox.place / "run-seed1", base)
    if labels:
        config = json.loads((run / "config.json").read_text())
        config["id2label"] = {key: labels.get(name, name) for key, name in config["id2label"].items()}
        (run / "config.json").write_text(json.dumps(config))
        seal_run(run, base)
    serve_model(hub, base, run)
    digest = hashlib.sha256((run / "provenance.json").read_bytes()).hexdigest()
    parity = write_parity_set(sandbox.place / "parity_set.csv").read_text()
    old = (sandbox.checkout() / "pipeline/parity_set.csv").read_text()
    sandbox.change("pipeline/parity_set.csv", {old: parity})
    changes = {
        'repository = ""': f'repository = "{ADAPTER}"',
        'revision = ""': f'revision = "{COMMIT}"',
        'sha256 = ""': f'sha256 = "{digest}"',
    }
    sandbox.change("pipeline/settings.toml", changes)


def test_a_new_adapter_is_exported_once_and_scores_what_is_open(sandbox: Sandbox, hub: HubServer, base: Path) -> None:
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON))
    assert sandbox.tick("capture.yml", NOON + HOUR).result == "success"
    before = sandbox.store().entries()[THURSDAY, 1]
    pin(sandbox, hub, base)
    run = sandbox.tick("daily.yml", EVENING)
    assert run.result == "success", run.describe()
    assert {step.name: step.outcome for step in run.jobs["model/export"].steps}["Export the model"] == "success"
    sandbox.check(sealed={THURSDAY, FRIDAY})
    entries = sandbox.store().entries()
    assert entries[THURSDAY, 1] == before
    assert entries[FRIDAY, 1]["model_revision"] == COMMIT
    assert set(sandbox.store().read_headlines(FRIDAY).model_revision) == {COMMIT}

    sandbox.serve("MSFT", ("Microsoft misses cloud forecast", NOON + 3 * DAY))
    run = sandbox.tick("daily.yml", EVENING + 3 * DAY, **NOWHERE)
    assert run.result == "success", run.describe()
    assert {step.name: step.outcome for step in run.jobs["model/export"].steps}["Export the model"] == "skipped"
    sandbox.check(sealed={THURSDAY, FRIDAY, MONDAY})


def test_without_the_hub_and_without_a_cache_nothing_is_written(sandbox: Sandbox, hub: HubServer, base: Path) -> None:
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON))
    pin(sandbox, hub, base)
    before = sandbox.tip()
    run = sandbox.tick("daily.yml", EVENING, **NOWHERE)
    assert run.jobs["model"].result == "failure"
    assert run.jobs["seal"].result == "skipped"
    assert "cannot be pulled from" in run.said("model/export")
    assert sandbox.tip() == before
    (number,) = sandbox.github.open_numbers()
    assert "#the-model-could-not-be-had" in sandbox.github.issues[number]["body"]
    run = sandbox.tick("daily.yml", MORNING)
    assert run.result == "success", run.describe()
    sandbox.check(sealed={THURSDAY, FRIDAY})
    assert sandbox.github.open_numbers() == []


def test_an_adapter_with_foreign_labels_is_refused(sandbox: Sandbox, hub: HubServer, base: Path) -> None:
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON))
    pin(sandbox, hub, base, labels={"negative": "bearish", "positive": "bullish"})
    before = sandbox.tip()
    run = sandbox.tick("daily.yml", EVENING)
    assert run.result == "failure"
    assert "expected 0, 1, 2 for negative, neutral, positive" in run.said("model/export")
    assert sandbox.tip() == before
    assert len(sandbox.github.open_numbers()) == 1
