"""What every verb of `python -m training` is made with."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import PipelineError

Verbs = argparse._SubParsersAction


def add_verb(
    verbs: Verbs, name: str, run: Callable[[argparse.Namespace], int | None], example: str
) -> argparse.ArgumentParser:
    """Add a verb that does what ``run`` says of itself."""
    text = run.__doc__ or ""
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=text, description=text, epilog=f"example: python -m training {name} {example}"
    )
    verb.set_defaults(run=run)
    return verb


def read_text(path: Path) -> str:
    """Return a file's text, or refuse in one line."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
