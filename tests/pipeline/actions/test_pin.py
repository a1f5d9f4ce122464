"""Outputs of a step: which adapter is pinned, and whether its model is still to be had."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.actions.pin import describe_pin
from pipeline.config import AdapterSettings
from tests.sample import sample_settings

PINNED, OTHER = "ab" * 20, "cd" * 20


@pytest.mark.parametrize(
    ("pinned", "claimed", "outputs"),
    [
        ("", OTHER, "revision=\nneeded=false\n"),
        ("", "", "revision=\nneeded=false\n"),
        (PINNED, PINNED, f"revision={PINNED}\nneeded=false\n"),
        (PINNED, OTHER, f"revision={PINNED}\nneeded=true\n"),
        (PINNED, "", f"revision={PINNED}\nneeded=true\n"),
    ],
)
def test_a_model_is_needed_when_another_adapter_is_pinned(
    pinned: str, claimed: str, outputs: str, tmp_path: Path
) -> None:
    if claimed:
        (tmp_path / "provenance.json").write_text(json.dumps({"revision": claimed}))
    settings = sample_settings()
    settings = replace(
        settings,
        score=replace(settings.score, model=tmp_path),
        adapter=AdapterSettings("owner/name" if pinned else "", pinned),
    )
    assert describe_pin(settings, "e5") == f"{outputs}key=model-{pinned}-e5\n"
