"""python -m pipeline prune: options to a pruning, and what was moved to a few lines of text."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from .config import Settings
from .errors import ConfigError
from .options import add_places, parse_date
from .prune import EvidenceFile, check_archive, find_last_date, list_prunable, prune
from .store import FeatureStore

EXAMPLE = "python -m pipeline prune --before 2026-07-01 --archive ../headline_archive"


def add_options(verb: argparse.ArgumentParser) -> None:
    """Give ``verb`` its options."""
    add_places(verb)
    verb.add_argument("--before", required=True, metavar="DATE", help="first session whose headlines stay")
    verb.add_argument(
        "--archive", required=True, type=Path, metavar="DIR", help="where the files go, in the same layout"
    )
    verb.add_argument("--dry-run", action="store_true", help="say what would be moved")


def run(args: argparse.Namespace, settings: Settings, now: datetime) -> int:
    """Move the headlines of old sealed sessions to the archive; say which."""
    store, before = FeatureStore(settings.store), parse_date("--before", args.before, "2026-07-01")
    last = find_last_date(store.sealed_dates(), now.date(), settings.look_back)
    if before > last:
        raise ConfigError(f"--before {before}: the line still looks back on these headlines; the latest date is {last}")
    evidence = list_prunable(store, before)
    if not evidence:
        print(f"{store.root}: no headlines of a sealed session before {before}; nothing to prune")
        return 0
    if args.dry_run:
        check_archive(store.root, args.archive, evidence)
        print(f"would move {_describe(evidence)}")
        return 0
    prune(store, args.archive, evidence, now)
    print(f"moved {_describe(evidence)}")
    print(f"archive: {args.archive}, every copy read back and held against its SHA-256")
    print("features, manifest.csv and state/lines are as they were; state/pruned.csv says what is gone")
    return 0


def _describe(evidence: Sequence[EvidenceFile]) -> str:
    megabytes = sum(file.byte_count for file in evidence) / 1e6
    dates = f"{evidence[0].key[0]} to {evidence[-1].key[0]}"
    return f"{len(evidence):,} headlines files of sessions {dates}, {megabytes:,.1f} MB"
