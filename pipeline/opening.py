"""The options of a run to what it works with: settings, calendar, model, and the line that holds them all."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from . import hand_run
from .config import Settings, load_companies, load_feed_templates, load_settings
from .errors import ConfigError, ModelError
from .feeds import list_feeds
from .fetch import fetch_feeds
from .line import Line
from .model_folder import GOLDEN_TOLERANCE, check_golden, read_model_folder
from .options import open_root
from .pinned import find_model
from .provenance import find_code_revision, find_cpu
from .replay import replay_feeds
from .score import OnnxScorer
from .sessions import Sessions
from .store import FeatureStore


def read_settings(args: argparse.Namespace) -> Settings:
    """Return the settings of the command line's file, with the store and the universe that it names itself."""
    settings = load_settings(args.settings)
    return replace(settings, store=args.store or settings.store, tickers=args.universe or settings.tickers)


def open_calendar(settings: Settings) -> Sessions:
    """Return the sessions of the exchange in the settings."""
    return Sessions(settings.sessions.calendar, settings.sessions.cutoff_offset_minutes)


def open_line(args: argparse.Namespace, stack: ExitStack) -> Line:
    """Load everything a run needs; a dry run gets a copy of the store that vanishes with ``stack``."""
    clock = _clock(args.now, args.replay)
    settings = read_settings(args)
    companies = hand_run.pick_companies(args, load_companies(settings.tickers))
    scorer = open_scorer(args, settings)
    root = stack.enter_context(open_root(settings.store, args.dry_run))
    return Line(
        settings=settings,
        companies=companies,
        feeds=list_feeds(load_feed_templates(settings.feeds), companies),
        sessions=open_calendar(settings),
        store=FeatureStore(root),
        scorer=scorer,
        fetch=_fetcher(args.replay, settings, clock),
        clock=clock,
        code_revision=find_code_revision(),
        cpu=find_cpu(),
        progress=sys.stderr.isatty(),
    )


def open_scorer(args: argparse.Namespace, settings: Settings) -> OnnxScorer:
    """Return the model of the command line, else the settings', after its golden scores were met."""
    path, pinned = args.model or find_model(settings), settings.adapter.revision
    if args.model is None and path != settings.score.model and not path.is_dir():
        raise ModelError(
            f"{args.settings}: [adapter] pins {pinned}, but its model is not in {path}; export it: "
            "python -m pipeline export-model"
        )
    folder = read_model_folder(path)
    if args.model is None and pinned not in ("", folder.revision):
        raise ModelError(f"{path}: holds the model of {folder.revision}; {args.settings} pins {pinned}")
    scorer = OnnxScorer(folder.path, settings.score.threads, settings.score.batch_tokens)
    check_golden(scorer, folder, GOLDEN_TOLERANCE)
    return scorer


def _clock(now: str | None, replay: Path | None) -> Callable[[], datetime]:
    """Return the real clock, or for a replay one that stands still."""
    if now is None:
        return lambda: datetime.now(UTC).replace(microsecond=0)
    if replay is None:
        raise ConfigError("--now needs --replay: a live run takes the real time")
    try:
        moment = datetime.fromisoformat(now)
        fixed = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"--now {now}: expected a time such as 2026-11-20T21:35:00Z") from error
    if moment.tzinfo is None:
        raise ConfigError(f"--now {now}: expected a time zone, such as Z for UTC")
    return lambda: fixed


def _fetcher(replay: Path | None, settings: Settings, clock: Callable[[], datetime]) -> Callable:
    if replay is not None:
        return lambda feeds, states: replay_feeds(feeds, replay, clock)
    return lambda feeds, states: fetch_feeds(feeds, states, settings.fetch, clock, progress=sys.stderr.isatty())
