"""Which model folder the settings mean: the one they name, or the exported form of the adapter they pin.

Standard library only, so that a runner can ask before anything is installed.
"""

from __future__ import annotations

import json
from pathlib import Path

from .config import HOME, Settings

MODELS = HOME.parent / "models"
"""Where exported adapters lie, one folder a revision; not part of the repository."""


def find_model(settings: Settings, models: Path = MODELS) -> Path:
    """Return the folder of the model in use, whether it is there yet or not.

    It is ``score.model`` when nothing is pinned or when that folder is of the pinned revision, else the folder of that
    revision below ``models``, where `export-model` puts it.
    """
    pinned = settings.adapter.revision
    if pinned in ("", _read_revision(settings.score.model)):
        return settings.score.model
    return models / pinned


def _read_revision(folder: Path) -> str:
    """Return the revision that a model folder claims; empty for one that is missing or unreadable."""
    try:
        claimed = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(claimed.get("revision", "")) if isinstance(claimed, dict) else ""
