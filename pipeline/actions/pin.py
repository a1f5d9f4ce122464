"""Which exported model a run needs, as outputs of a step."""

from __future__ import annotations

from ..config import Settings
from ..pinned import find_model


def describe_pin(settings: Settings, exporter: str = "") -> str:
    """Return ``revision=`` (40 hex digits, or empty), ``needed=`` (true or false) and ``key=``, a line each.

    A model is needed when the settings pin an adapter whose model is not the one in ``score.model``. The key names it
    in a cache: by adapter and by ``exporter``, which stands for the code that makes it.
    """
    is_needed, revision = find_model(settings) != settings.score.model, settings.adapter.revision
    return f"revision={revision}\nneeded={str(is_needed).lower()}\nkey=model-{revision}-{exporter}\n"
