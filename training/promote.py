"""A published challenger against the champion in use, on the frozen test rows: it is pinned, or a table says why not.

Both are measured as they are scored every day, as int8 folders. Settings change last, in one atomic write, and only
when every condition holds.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit

from pipeline.config import HOME, AdapterSettings, Settings, load_settings
from pipeline.errors import ParityError, PipelineError
from pipeline.export import check_adapter, export_model, find_adapter
from pipeline.model_folder import (
    GOLDEN_TOLERANCE,
    PROVENANCE,
    ModelFolder,
    check_golden,
    hash_file,
    read_json,
    read_model_folder,
)
from pipeline.parity import MAX_F1_LOSS, MIN_SAME_LABEL_SHARE
from pipeline.pinned import find_model
from pipeline.score import OnnxScorer

from .checkpoint import write_atomic
from .data import SOURCES, Example, load_examples
from .evaluate import count_confusion, group_headlines, macro_f1
from .readers import DataSource
from .significance import macro_f1_difference
from .splits import SPLIT_SEED, fingerprint_splits, split_examples

PARITY_SET = HOME / "parity_set.csv"
MARGIN = 0.01
BOOTSTRAP_SEED = 0


class PromotionError(PipelineError):
    """What was asked cannot be compared, or not be pinned."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold, what was found, and whether it does; None where an earlier one spared measuring it."""

    name: str
    figures: str
    is_met: bool | None


@dataclass(frozen=True, slots=True)
class Promotion:
    """A verdict. ``revision`` is the challenger's 40-hex commit, None for a folder that was only compared."""

    challenger: str
    revision: str | None
    champion: Path
    settings: Path
    conditions: tuple[Condition, ...]
    is_dry_run: bool

    @property
    def is_accepted(self) -> bool:
        """Whether every condition was measured and holds."""
        return all(condition.is_met for condition in self.conditions)


def promote(
    challenger: str | Path,
    revision: str | None,
    settings: Path,
    champion: Path | None,
    data: DataSource,
    margin: float = MARGIN,
    endpoint: str | None = None,
    dry_run: bool = False,
    parity_set: Path = PARITY_SET,
) -> Promotion:
    """Compare ``challenger`` with ``champion`` and, if it is better, pin it in the settings file.

    Better means: macro-F1 over all test rows is higher, and its paired 95 % bootstrap interval, which draws the rows of
    a headline together, lies above 0 as a whole;
    no source loses more than ``margin`` (0..1) of macro-F1; the export gate and the golden scores hold; and neither
    model was split otherwise than we split, since its training rows may then be our test rows.

    Args:
        challenger: a Hub repository OWNER/NAME; a run folder may be compared in a dry run.
        revision: its commit, 40 hex digits; None for a run folder.
        settings: settings.toml, whose [adapter] is written.
        champion: the exported folder in use; None takes the one that the settings mean, pinned or shipped.
        data: where the test rows come from.
        endpoint: the Hub's address; None takes the client's own.

    Raises:
        PromotionError: a run folder is to be pinned, or ``margin`` is impossible.
        PipelineError: settings, challenger, champion or data cannot be read.
    """
    if not 0 <= margin <= 1:
        raise PromotionError(f"--margin is {margin:g}; expected a number from 0 to 1")
    if revision is None and not Path(challenger).is_dir():
        raise PromotionError(f"{challenger}: no folder here, and --revision is missing; `publish` prints it")
    current = load_settings(settings)
    source, _ = find_adapter(challenger, revision, endpoint)
    if revision is None and not dry_run:
        raise PromotionError(f"{challenger}: a run folder can only be compared (--dry-run); publish it to promote it")
    reigning = open_champion(champion, current, settings)
    rows, fingerprint = read_test_rows(data)
    conditions = list(check_origins(check_adapter(source), revision, reigning, current.adapter, fingerprint))
    if all(condition.is_met for condition in conditions):
        conditions += contest(challenger, revision, endpoint, parity_set, reigning, rows, margin)
    else:
        conditions += [Condition(name, "not measured", None) for name in ("export gate", "macro-F1")]
    promotion = Promotion(str(challenger), revision, reigning.path, settings, tuple(conditions), dry_run)
    if promotion.is_accepted and revision is not None and not dry_run:
        pin_adapter(settings, str(challenger), revision, hash_file(source / PROVENANCE))
    return promotion


def open_champion(champion: Path | None, current: Settings, settings: Path) -> ModelFolder:
    """Return the model to beat: the ``champion`` that was named, else the one that the settings mean.

    Raises:
        PromotionError: the settings pin an adapter that was not exported.
        ModelError: the folder is missing or damaged.
    """
    path = champion or find_model(current)
    if champion is None and path != current.score.model and not path.is_dir():
        raise PromotionError(
            f"{settings}: [adapter] pins {current.adapter.revision}, but its model is not in {path}; export it: "
            "python -m pipeline export-model"
        )
    return read_model_folder(path)


def read_test_rows(data: DataSource) -> tuple[list[Example], str]:
    """Return the frozen test rows of all sources and their fingerprint."""
    examples = load_examples(data)
    splits = split_examples(examples, SPLIT_SEED)
    return [examples[i] for i in splits.test], fingerprint_splits(examples, splits)["test"]


def check_origins(
    provenance: Mapping[str, Any],
    revision: str | None,
    champion: ModelFolder,
    pinned: AdapterSettings,
    fingerprint: str,
) -> Iterator[Condition]:
    """Yield what must hold before anything is measured: two models, the right champion, our own test rows."""
    yield Condition(
        "another model", f"champion is {champion.revision[:12]}", revision is None or revision != champion.revision
    )
    is_in_use = pinned.revision in ("", champion.revision)
    state = f"settings pin {pinned.revision[:12] or 'none'}{'' if is_in_use else '; export that one first'}"
    yield Condition("champion is in use", state, is_in_use)
    found = provenance.get("splits", {}).get("test")
    yield Condition("challenger's test rows", f"{_short(found)}, ours {fingerprint[:12]}", found == fingerprint)
    known = read_json(champion.path / PROVENANCE).get("splits", {}).get("test")
    yield Condition("champion's test rows", f"{_short(known)}, ours {fingerprint[:12]}", known in (None, fingerprint))


def contest(
    challenger: str | Path,
    revision: str | None,
    endpoint: str | None,
    parity_set: Path,
    champion: ModelFolder,
    rows: Sequence[Example],
    margin: float,
) -> list[Condition]:
    """Export the challenger, score both on ``rows``, and return the conditions on what came out."""
    with tempfile.TemporaryDirectory() as place:
        try:
            report = export_model(challenger, revision, Path(place) / "challenger", parity_set, endpoint)
        except ParityError as error:
            return [Condition("export gate", str(error), False), Condition("macro-F1", "not measured", None)]
        parity = report.parity
        gate = Condition(
            "export gate",
            f"{parity.same_label_share:.2%} same label, at least {MIN_SAME_LABEL_SHARE:.0%}; macro-F1 "
            f"{parity.macro_f1_before:.4f} to {parity.macro_f1_after:.4f}, may fall by {MAX_F1_LOSS:g}",
            True,
        )
        found = predict_labels(read_model_folder(report.folder), rows)
    return [gate, *judge_labels(rows, found, predict_labels(champion, rows), margin)]


def predict_labels(folder: ModelFolder, rows: Sequence[Example]) -> np.ndarray:
    """Return int (n,), indices into LABELS, by the int8 model in ``folder``.

    Raises:
        ModelError: its golden scores do not hold on this machine, so nothing measured here would say anything.
    """
    scorer = OnnxScorer(folder.path)
    check_golden(scorer, folder, GOLDEN_TOLERANCE)
    return scorer.score([(row.text, row.target) for row in rows], sys.stderr.isatty()).argmax(axis=1)


def judge_labels(
    rows: Sequence[Example], challenger: np.ndarray, champion: np.ndarray, margin: float
) -> Iterator[Condition]:
    """Yield the condition on all rows, then one per source. Pure; the arrays are int (n,), indices into LABELS."""
    labels = np.array([row.label for row in rows], dtype=int)
    total = macro_f1_difference(labels, challenger, champion, BOOTSTRAP_SEED, group_headlines(rows))
    after, before = macro_f1(count_confusion(labels, challenger)), macro_f1(count_confusion(labels, champion))
    yield Condition(
        "macro-F1",
        f"{after:.4f} against {before:.4f}: {total.value:+.4f}, 95 % interval {total.low:+.4f} to {total.high:+.4f}, "
        "all of it above 0",
        bool(total.low > 0),
    )
    for source in SOURCES:
        held = np.array([row.source == source for row in rows], dtype=bool)
        if not held.any():
            continue
        after = macro_f1(count_confusion(labels[held], challenger[held]))
        before = macro_f1(count_confusion(labels[held], champion[held]))
        change = after - before
        figures = f"{after:.4f} against {before:.4f}: {change:+.4f}, at least {-margin:+.4f}"
        yield Condition(f"macro-F1, {source}", figures, bool(change >= -margin))


def pin_adapter(settings: Path, repository: str, revision: str, sha256: str) -> None:
    """Write the three values of [adapter] into the settings, whole or not at all; all else stays as it was.

    ``sha256`` is that of the adapter's provenance.json, 64 hex digits.
    """
    document = tomlkit.parse(settings.read_bytes().decode("utf-8"))
    table = document.setdefault("adapter", tomlkit.table())
    table["repository"], table["revision"], table["sha256"] = repository, revision, sha256
    write_atomic(settings.resolve(), tomlkit.dumps(document).encode("utf-8"))


def _short(digest: object) -> str:
    return f"fingerprint {str(digest)[:12]}" if digest else "not recorded"
