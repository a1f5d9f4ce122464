"""The behavioural suite (behaviour.csv) and a scorer -> what the model can and cannot do, capability by capability.

After CheckList (Ribeiro, Wu, Guestrin & Singh 2020): sentences written to try one thing each, many of them in pairs
that differ in that one thing. The suite is for measuring alone: no row of it, nor a near-duplicate, is trained on
(training/written.py; tests/training/test_written.py). docs/BEHAVIOUR.md says what every capability means.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import PipelineError
from pipeline.model_folder import PROVENANCE, read_json
from pipeline.text import LABELS, clean_text

from .baselines import predict_majority, predict_vader
from .data import Example
from .predict import load_scorer

SUITE = Path(__file__).with_name("behaviour.csv")
COLUMNS = ("capability", "headline", "company", "label", "pair")
OVERALL = "overall"
SIGNS = "-0+"
"""One sign per label, in LABELS order: how stored figures hold a prediction."""
Score = Callable[[Sequence[tuple[str, str]]], np.ndarray]
"""(headline, company) pairs -> probabilities, float (n, 3), columns in LABELS order."""


class BehaviourError(PipelineError):
    """A row of the suite is malformed, or stored figures are not of this suite."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row: what two careful annotators would say of ``headline`` for ``company`` ("" for nobody in particular).

    ``label`` indexes LABELS. Two rows share a ``pair``, "" where a row stands alone: they differ in one thing only,
    either turning the label (a contrast) or not (twins).
    """

    capability: str
    headline: str
    company: str
    label: int
    pair: str


def read_behaviour(path: Path = SUITE) -> list[Case]:
    """Read and check the suite at ``path``, in the order of the file.

    Raises:
        BehaviourError: one line naming file and line, what was found and what was expected.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns, rows = reader.fieldnames, [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise BehaviourError(f"{path}: cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise BehaviourError(f"{path}: not a CSV file: {error}") from error
    if tuple(columns or ()) != COLUMNS:
        raise BehaviourError(f"{path}: columns are {columns}; expected {', '.join(COLUMNS)}")
    if not rows:
        raise BehaviourError(f"{path}: no rows; expected some")
    cases = [_read_case(f"{path}:{line}", row) for line, row in rows]
    _check_rows(path, cases)
    return cases


def measure_folder(folder: Path, cases: Sequence[Case]) -> dict[str, Any]:
    """Return :func:`measure_behaviour` of the model in ``folder``, and as "model" its recorded origin.

    A .json file holds the figures of a model measured before, which may be gone since; they are returned as stored.

    Raises:
        ModelError: the folder holds no model this project can score with, or a file of it cannot be read.
        BehaviourError: the stored figures are not of this suite.
    """
    if folder.suffix == ".json":
        stored = read_json(folder)
        if stored.get("suite_sha256") != hash_suite(cases):
            raise BehaviourError(f"{folder}: not measured on this suite; measure that model again")
        return stored
    score, record = load_scorer(folder), folder / PROVENANCE
    known = read_json(record) if record.is_file() else {}
    figures = measure_behaviour(lambda pairs: score([_example(*pair) for pair in pairs]), cases)
    return {"model": {key: known.get(key) for key in ("recipe", "seed", "revision")}} | figures


def measure_behaviour(score: Score, cases: Sequence[Case]) -> dict[str, Any]:
    """Return the figures of ``score`` on ``cases`` as :func:`count_right` does."""
    probabilities = score([(case.headline, case.company) for case in cases])
    return count_right(cases, probabilities.argmax(axis=1))


def measure_baselines(cases: Sequence[Case]) -> dict[str, dict[str, Any]]:
    """Return the figures of the suite's own commonest label ("majority") and of VADER's word list ("vader")."""
    examples = [_example(case.headline, case.company, case.label) for case in cases]
    found = {"majority": predict_majority(examples, examples), "vader": predict_vader(examples)}
    return {name: count_right(cases, probabilities.argmax(axis=1)) for name, probabilities in found.items()}


def count_right(cases: Sequence[Case], predicted: np.ndarray) -> dict[str, Any]:
    """Return {"capabilities": figures by capability and "overall", "predicted": a sign per row, "suite_sha256"}.

    ``predicted`` int (n,) indexes LABELS. Figures are row_count and accuracy; with pairs also pair_count and
    pair_accuracy, the share with both rows right; with twins also twin_count and twin_agreement, the share with one
    prediction for both, right or wrong. Shares come with a 95 % interval each, such as accuracy_interval (Wilson 1927).
    It takes the rows of a pair for independent, which they are not: read those of accuracy as a little too narrow.
    "capabilities" is what a model card shows under the key "behaviour" of metrics.json.
    """
    names = list(dict.fromkeys(case.capability for case in cases))
    groups = {name: [i for i, case in enumerate(cases) if case.capability == name] for name in names}
    groups[OVERALL] = list(range(len(cases)))
    return {
        "capabilities": {name: _measure([cases[i] for i in rows], predicted[rows]) for name, rows in groups.items()},
        "predicted": "".join(SIGNS[label] for label in predicted),
        "suite_sha256": hash_suite(cases),
    }


def hash_suite(cases: Sequence[Case]) -> str:
    """Return the SHA-256 of everything in ``cases``, in order."""
    lines = (json.dumps(astuple(case), ensure_ascii=False) for case in cases)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def find_pairs(cases: Sequence[Case]) -> dict[str, list[int]]:
    """Return the two places of every pair, by its name."""
    places: dict[str, list[int]] = {}
    for i, case in enumerate(cases):
        if case.pair:
            places.setdefault(case.pair, []).append(i)
    return places


def wilson_interval(right: int, count: int, z: float = 1.959964) -> list[float]:
    """Return the score interval of a share in 0..1 (Wilson 1927); never empty, not even at 0 or 1."""
    share, weight = right / count, z * z / count
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / count + weight / (4 * count))
    return [max(0.0, centre - half), min(1.0, centre + half)]


def _measure(cases: Sequence[Case], predicted: np.ndarray) -> dict[str, Any]:
    is_right = [bool(case.label == label) for case, label in zip(cases, predicted, strict=True)]
    pairs = find_pairs(cases).values()
    twins = [(i, j) for i, j in pairs if cases[i].label == cases[j].label]
    figures: dict[str, Any] = {"row_count": len(cases), **_share("accuracy", is_right)}
    if pairs:
        figures |= {
            "pair_count": len(pairs),
            **_share("pair_accuracy", [is_right[i] and is_right[j] for i, j in pairs]),
        }
    if twins:
        alike = [bool(predicted[i] == predicted[j]) for i, j in twins]
        figures |= {"twin_count": len(twins), **_share("twin_agreement", alike)}
    return figures


def _share(name: str, held: Sequence[bool]) -> dict[str, Any]:
    return {name: sum(held) / len(held), f"{name}_interval": wilson_interval(sum(held), len(held))}


def _example(headline: str, company: str, label: int = LABELS.index("neutral")) -> Example:
    return Example(headline, company, label, None, "behaviour")


def _read_case(place: str, row: Mapping[str | None, Any]) -> Case:
    if None in row or None in row.values():
        raise BehaviourError(f"{place}: not {len(COLUMNS)} values; expected {', '.join(COLUMNS)}")
    for key in COLUMNS:
        if row[key] != clean_text(row[key]) or not (row[key] or key in ("company", "pair")):
            raise BehaviourError(f"{place}: {key} is {row[key]!r}; expected clean text on one line")
    if row["label"] not in LABELS:
        raise BehaviourError(f"{place}: label is {row['label']!r}; expected one of {', '.join(LABELS)}")
    return Case(row["capability"], row["headline"], row["company"], LABELS.index(row["label"]), row["pair"])


def _check_rows(path: Path, cases: Sequence[Case]) -> None:
    for (headline, company), count in Counter((case.headline, case.company) for case in cases).items():
        if count > 1:
            raise BehaviourError(f"{path}: {headline!r} stands {count} times for {company!r}; expected once")
    for pair, places in find_pairs(cases).items():
        if len(places) != 2 or len({cases[i].capability for i in places}) != 1:
            raise BehaviourError(f"{path}: pair {pair!r} has {len(places)} rows; expected two of one capability")
