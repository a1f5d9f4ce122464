"""What the options of several verbs have in common. Reads no argument by itself."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from .config import HOME
from .errors import ConfigError


def add_verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str | None,
    example: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    """Return a new verb: what it does, an example, and what runs it."""
    verb = verbs.add_parser(name, help=text, description=text, epilog=f"example: {example}")
    verb.set_defaults(run=run)
    return verb


def add_places(verb: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Give ``verb`` the options that say which settings, store and universe it works on."""
    verb.add_argument("--settings", type=Path, default=HOME / "settings.toml", help="settings file")
    verb.add_argument("--store", type=Path, help="feature store, instead of the one in the settings")
    verb.add_argument("--universe", type=Path, help="table of tickers, instead of the one in the settings")
    return verb


def add_model(verb: argparse.ArgumentParser) -> None:
    """Give ``verb`` the options of a run that scores and writes features."""
    verb.add_argument("--model", type=Path, help="model folder, instead of the one in the settings")
    verb.add_argument("--dry-run", action="store_true", help="work on a copy of the store and throw it away")


def parse_date(option: str, text: str, example: str) -> date:
    """Return the date that ``option`` was given. Raises ConfigError, which shows the ``example``, if it is none."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option} {text}: expected a date such as {example}") from error


def parse_tickers(text: str, universe: Sequence[str]) -> list[str]:
    """Return the tickers of ``--tickers``. Raises ConfigError if there is none, or one is not in the ``universe``."""
    wanted = [ticker.strip().upper() for ticker in text.split(",") if ticker.strip()]
    if not wanted:
        raise ConfigError(f"--tickers {text!r}: expected tickers separated by commas, such as AAPL,MSFT")
    for ticker in wanted:
        if ticker not in universe:
            raise ConfigError(f"--tickers {ticker}: not in the universe of {len(universe)} tickers")
    return wanted


@contextmanager
def open_root(root: Path, is_dry_run: bool) -> Iterator[Path]:
    """Yield ``root``; for a dry run a copy of what is there, which vanishes afterwards."""
    if not is_dry_run:
        yield root
        return
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "feature_store"
        if root.exists():
            shutil.copytree(root, copy)
        yield copy
