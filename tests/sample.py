"""The recorded day as tests use it, with settings of its own: a fork edits the others, and its tests still hold."""

from __future__ import annotations

from pipeline.config import HOME, Settings, load_settings

SAMPLE = HOME / "sample_day"
SETTINGS_PATH = SAMPLE / "settings.toml"
NOW = "2026-11-20T21:35:00Z"
PLACES = ["--settings", str(SETTINGS_PATH)]
"""Options of a verb that is to go by the recorded day's settings."""

REPLAY = [*PLACES, "--replay", str(SAMPLE / "feeds"), "--now", NOW]
"""Options of a run of the recorded day."""


def sample_settings() -> Settings:
    """Return the recorded day's settings."""
    return load_settings(SETTINGS_PATH)


def read_settings() -> str:
    """Return the text of these settings with absolute paths, to be changed and written elsewhere."""
    text = SETTINGS_PATH.read_text()
    for name in ("tickers.csv", "feeds.toml", "../default_model", "../../demo/feature_store"):
        assert f'"{name}"' in text
        text = text.replace(f'"{name}"', f'"{(SAMPLE / name).resolve()}"')
    return text
