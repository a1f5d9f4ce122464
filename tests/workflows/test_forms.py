"""What a person types into a workflow's form is text to every step, never a command; what makes no sense is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT

from .sandbox import Sandbox
from .test_scenarios import EVENING

HOSTILE = "$(touch pwned)`touch pwned`'; touch pwned; \" && touch pwned #"
CHOICES = {"hardware": "cpu"}
"""Inputs that GitHub itself holds to a list."""


def read_form(path: Path) -> dict[str, Any]:
    """Return the inputs that a workflow asks a person for."""
    triggers = yaml.safe_load(path.read_text())[True]
    return (triggers.get("workflow_dispatch") or {}).get("inputs") or {}


FORMS = {path.name: form for path in (PROJECT / ".github/workflows").glob("*.yml") if (form := read_form(path))}


def list_texts() -> list[tuple[str, str]]:
    """Return (workflow, input) for every input that takes any text."""
    return [(name, key) for name, form in sorted(FORMS.items()) for key in form if form[key]["type"] == "string"]


def test_the_forms_are_those_known_here() -> None:
    assert FORMS.keys() == {"backfill.yml", "daily.yml", "retrain.yml"}
    choices = {key for form in FORMS.values() for key in form if form[key]["type"] == "choice"}
    assert choices == CHOICES.keys()


@pytest.mark.parametrize("name", sorted(FORMS))
@pytest.mark.parametrize("text", [HOSTILE, "--help"], ids=["commands", "an option"])
def test_no_text_of_a_form_is_run_or_taken_for_an_option(sandbox: Sandbox, name: str, text: str) -> None:
    texts = {key: text for workflow, key in list_texts() if workflow == name}
    choices = {key: value for key, value in CHOICES.items() if key in FORMS[name]}
    before = sandbox.tip()
    run = sandbox.tick(name, EVENING, texts | choices)
    assert run.result == "failure", run.describe()
    said = "\n".join(step.said for job in run.jobs.values() for step in job.steps)
    assert "error: " in said
    assert "Traceback" not in said
    assert not list(sandbox.place.rglob("pwned"))
    assert sandbox.tip() == before
