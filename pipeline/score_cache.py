"""A scorer that answers from score files and asks the real one for the rest; the scores are the same either way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from .model_folder import hash_file
from .score import OnnxScorer, Scorer
from .score_file import PATTERN, Origin, ScoreFileError, Scores, find_keys, read_scores
from .text import LABELS


class CachedScorer:
    """``scorer``, with ``scores`` at hand; counts the pairs it was asked for and those that were at hand."""

    def __init__(self, scorer: Scorer, scores: Scores) -> None:
        self._scorer = scorer
        self._scores = scores
        self.asked_count = 0
        self.found_count = 0

    @property
    def revision(self) -> str:
        """The revision of the real scorer."""
        return self._scorer.revision

    def score(self, pairs: Sequence[tuple[str, str]], progress: bool = False) -> np.ndarray:
        """Return float32 (n, 3) for ``pairs``, as the real scorer does; it sees only pairs that are not at hand."""
        places, is_found = _look_up(self._scores.keys, find_keys(pairs))
        found = np.empty((len(pairs), len(LABELS)), np.float32)
        found[is_found] = self._scores.probabilities[places[is_found]]
        missing = np.flatnonzero(~is_found)
        if len(missing):
            found[missing] = self._scorer.score([pairs[i] for i in missing.tolist()], progress)
        self.asked_count += len(pairs)
        self.found_count += int(is_found.sum())
        return found


def name_origin(scorer: OnnxScorer, cpu: str) -> Origin:
    """Return what a score file says of scores that ``scorer`` makes on the processor ``cpu``."""
    return Origin(scorer.revision, hash_file(scorer.folder.onnx_path), cpu)


def load_scores(folder: Path, origin: Origin) -> tuple[Scores, list[str]]:
    """Return the scores of every score file in ``folder`` and the processors they come from, ``origin``'s first.

    A folder that is not there holds none. Where processors disagree about a pair, this one's word counts, then that of
    the first in the order of names.

    Raises:
        ScoreFileError: a file is damaged or of another model, or two of one processor disagree, which cannot be.
    """
    by_cpu: dict[str, list[Scores]] = {}
    for path in sorted(folder.glob(PATTERN)):
        found, scores = read_scores(path)
        _require_model(path, found, origin)
        by_cpu.setdefault(found.cpu, []).append(scores)
    cpus = sorted(by_cpu, key=lambda cpu: (cpu != origin.cpu, cpu))
    return _join(_unite(by_cpu[cpu], f"{folder}: files of {cpu}") for cpu in cpus), cpus


def _look_up(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each wanted key stands among ``keys``, ascending, and whether it is there at all."""
    if not len(keys):
        return np.zeros(len(wanted), int), np.zeros(len(wanted), bool)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return places, keys[places] == wanted


def _unite(parts: Sequence[Scores], where: str) -> Scores:
    """Return the scores of one processor; what two files say of a pair must be equal."""
    united = _join(parts)
    for part in parts:
        places, _ = _look_up(united.keys, part.keys)
        differs = (united.probabilities[places] != part.probabilities).any(axis=1)
        if differs.any():
            raise ScoreFileError(f"{where} disagree about key {part.keys[differs][0]:016x}; score them again")
    return united


def _join(parts: Iterable[Scores]) -> Scores:
    """Return all scores by key; the first word on a key counts."""
    listed = [Scores(np.empty(0, np.uint64), np.empty((0, len(LABELS)), np.float32)), *parts]
    keys, first = np.unique(np.concatenate([part.keys for part in listed]), return_index=True)
    return Scores(keys, np.concatenate([part.probabilities for part in listed])[first])


def _require_model(path: Path, found: Origin, wanted: Origin) -> None:
    for name in ("model_revision", "onnx_sha256"):
        ours, theirs = getattr(wanted, name), getattr(found, name)
        if theirs != ours:
            raise ScoreFileError(f"{path}: scores of another model: {name} is {theirs}, the model in use has {ours}")
