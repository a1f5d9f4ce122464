"""Retraining by hand, from the form to the pull request, which changes nothing but the pinned adapter."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.model_folder import hash_file
from tests.hub_login import PREFIX
from tests.hub_server import HubServer
from tests.pipeline.made_model import ADAPTER, COMMIT, make_tokenizer, write_parity_set
from tests.training import conftest as made
from tests.training.test_promote import KEYS, PAIRS, SIGN_OF, make_config, pay_attention, read_well, teach_run
from tests.training.test_readers import DATASETS, publish
from training.promote import read_test_rows
from training.readers import LocalFolder

from .runner import JobResult
from .sandbox import Sandbox, git
from .test_scenarios import EVENING

mini_root = made.mini_root
BASE, NEW = "made/encoder", "made/new"
SETTINGS = "pipeline/settings.toml"
RECIPE = "training/recipes/made.toml"
CHANGES = {'name = "smoke"': 'name = "made"', "epochs = 2": "epochs = 8", "max_length = 64": "max_length = 32"}
FORM = {"recipe": RECIPE, "base": f"{BASE}@{COMMIT}", "hardware": "cpu", "repository": NEW, "seed": "7"}


@pytest.fixture
def hub(sandbox: Sandbox, mini_root: Path, tmp_path: Path) -> Iterator[HubServer]:
    """A Hub with the labelled sets, a base, and a repository that trusts the workflow; the owner has a tiny recipe."""
    with HubServer() as server:
        sandbox.machine.environment = {**sandbox.machine.environment, "HF_ENDPOINT": server.url}
        sandbox.machine.identity = server.environment(NEW)
        server.trusted.add(NEW)
        server.add(NEW, {"README.md": b""})
        server.add(BASE, make_teachable_base(tmp_path / "base"), revision=COMMIT)
        table = publish(server, mini_root, tmp_path)
        recipe = (sandbox.checkout() / "training/recipes/smoke.toml").read_text()
        for old, new in CHANGES.items():
            assert old in recipe
            recipe = recipe.replace(old, new)
        sandbox.change("training/datasets.toml", {DATASETS.read_text(): table.read_text()}, files={RECIPE: recipe})
        yield server


def make_teachable_base(folder: Path) -> Path:
    """Write an untrained encoder that looks at nothing but the words which decide a label."""
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(1)
    tokenizer = make_tokenizer([*made.WORDS, *" ".join(SIGN_OF).split(), "acme", "bolt"])
    model = BertForSequenceClassification(make_config(len(tokenizer)))
    pay_attention(model, tokenizer.convert_tokens_to_ids(["[CLS]", *KEYS]))
    model.bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def pin_dull_adapter(sandbox: Sandbox, hub: HubServer, root: Path) -> None:
    """Publish an adapter to which everything is neutral, and let the owner pin it."""
    _, fingerprint = read_test_rows(LocalFolder(root))
    run = teach_run(sandbox.place / "dull-seed1", lambda text, target: "neutral", fingerprint)
    hub.add(ADAPTER, run, revision=COMMIT)
    changes = {
        'repository = ""': f'repository = "{ADAPTER}"',
        'revision = ""': f'revision = "{COMMIT}"',
        'sha256 = ""': f'sha256 = "{hash_file(run / "provenance.json")}"',
    }
    sandbox.change(SETTINGS, changes)
    old = (sandbox.checkout() / "pipeline/parity_set.csv").read_text()
    parity_set = write_parity_set(sandbox.place / "parity_set.csv", PAIRS)
    sandbox.change("pipeline/parity_set.csv", {old: parity_set.read_text()})


def test_a_better_adapter_is_trained_published_and_proposed(sandbox: Sandbox, hub: HubServer, mini_root: Path) -> None:
    """No secret anywhere: the Hub trusts the workflow by its identity, and main is left to whoever merges."""
    pin_dull_adapter(sandbox, hub, mini_root)
    main = sandbox.tip()
    run = sandbox.tick("retrain.yml", EVENING, FORM)
    assert run.result == "success", run.describe()
    assert run.jobs["rent"].result == "skipped"
    revision = hub.revisions(NEW)[-1]
    assert run.jobs["train"].outputs == {"revision": revision}
    assert sandbox.tip() == main

    (pull,) = sandbox.github.issues.values()
    assert (pull["head"]["ref"], pull["base"]["ref"]) == (f"retrain/{revision}", "main")
    assert "| pass | macro-F1 |" in pull["body"]
    assert pull["body"] == run.jobs["promote"].summary
    branch = f"retrain/{revision}"
    assert git(sandbox.origin, "rev-list", f"main..{branch}").splitlines() == [git(sandbox.origin, "rev-parse", branch)]
    assert git(sandbox.origin, "diff", "--name-only", f"main..{branch}") == SETTINGS
    before, after = (tomllib.loads(git(sandbox.origin, "show", f"{name}:{SETTINGS}")) for name in ("main", branch))
    sha256 = hashlib.sha256(hub.files(NEW)["provenance.json"]).hexdigest()
    assert after == before | {"adapter": {"repository": NEW, "revision": revision, "sha256": sha256}}

    said = [line for job in ("train", "promote") for line in run.said(job).splitlines()]
    assert [line for line in said if PREFIX in line] == [f"::add-mask::{PREFIX}{NEW}"]


@pytest.mark.parametrize("trainer", ["train", "rent"])
def test_an_adapter_that_is_no_better_for_certain_is_not_proposed(
    sandbox: Sandbox, hub: HubServer, mini_root: Path, trainer: str
) -> None:
    """Against the embedded model, which was split otherwise, nothing can be measured."""
    _, fingerprint = read_test_rows(LocalFolder(mini_root))
    revision = hub.add(NEW, teach_run(sandbox.place / "new-seed1", read_well, fingerprint))
    ended = {name: JobResult(name, "skipped") for name in ("train", "rent")}
    ended[trainer] = JobResult(trainer, "success", {"revision": revision})
    run = sandbox.tick("retrain.yml", EVENING, FORM, only=["promote"], before=ended)
    outcomes = {step.name: step.outcome for step in run.jobs["promote"].steps}
    assert (run.result, outcomes["Compare"], outcomes["Propose it"]) == ("success", "success", "skipped")
    assert "FAIL | champion's test rows" in run.jobs["promote"].summary
    assert git(sandbox.origin, "branch", "--list", "retrain/*") == ""
    assert sandbox.github.issues == {}


def test_rented_hardware_asks_for_the_secret_that_pays_for_it(sandbox: Sandbox, hub: HubServer) -> None:
    run = sandbox.tick("retrain.yml", EVENING, FORM | {"hardware": "hf-l4x1"})
    assert {name: job.result for name, job in run.jobs.items()} == {
        "train": "skipped",
        "rent": "failure",
        "promote": "skipped",
    }
    assert "no HF_TOKEN; a job is started, and publishes, with one that may do both" in run.said("rent")
    assert hub.jobs.started == {}
