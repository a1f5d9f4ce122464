"""Public labelled sets -> list of Example, one small function per source. Reads a local folder; never relabels.

Files lie under ``<root>/labelled`` in the layout of the sets' own releases. Labels are mapped BY NAME, because the
sources number their classes differently (PhraseBank writes names, Twitter 0 is bearish, 1 bullish, 2 neutral).
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.model_folder import hash_file
from pipeline.text import LABELS, clean_text

ENVIRONMENT = "FINANCIAL_SENTIMENT_DATA"
DEFAULT_ROOT = Path(__file__).resolve().parents[2] / "shared" / "data"
SOURCES = ("phrasebank", "twitter", "fiqa", "sentfin")
FIQA_THRESHOLD = 0.1

PHRASEBANK_FILES = {
    "all": "financial_phrasebank/Sentences_AllAgree.txt",
    "75": "financial_phrasebank/Sentences_75Agree.txt",
    "66": "financial_phrasebank/Sentences_66Agree.txt",
    "50": "financial_phrasebank/Sentences_50Agree.txt",
}
TWITTER_FILES = {
    "train": "twitter_financial_news/sent_train.csv",
    "validation": "twitter_financial_news/sent_valid.csv",
}
TWITTER_NAMES = {"0": "negative", "1": "positive", "2": "neutral"}
FIQA_FILE = "fiqa_2018_task1/fiqa_task1_flat.csv"
SENTFIN_FILE = "sentfin/SEntFiN.csv"
_ENTITY = re.compile(r"(?:(?<=\{)|(?<=, ))['\"](.+?)['\"]: ['\"](positive|negative|neutral)['\"]")


class DataError(PipelineError):
    """A labelled file is missing, or a row of it cannot be read."""


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled text.

    ``target`` is the company or entity judged, "" when the label is for the whole text. ``label`` indexes LABELS.
    ``score`` in -1..1 is the source's continuous judgement, None where it has none. ``slice`` is what results are
    split by: PhraseBank's strictest agreement level (all, 75, 66, 50), SEntFiN's "single" or "multi" entity headline,
    FiQA's "headline" or "post". ``is_official_test`` marks rows the publisher holds out: Twitter validation, FiQA test.
    """

    text: str
    target: str
    label: int
    score: float | None
    source: str
    slice: str = ""
    is_official_test: bool = False


def load_examples(root: Path, sources: tuple[str, ...] = SOURCES) -> list[Example]:
    """Return the examples of ``sources``, source by source, in file order.

    Raises:
        DataError: a file is absent or a row is malformed; the message names file and line.
    """
    readers = {"phrasebank": load_phrasebank, "twitter": load_twitter, "fiqa": load_fiqa, "sentfin": load_sentfin}
    return [example for source in sources for example in readers[source](root)]


def find_root(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the data folder: FINANCIAL_SENTIMENT_DATA, else ``../shared/data`` beside the project.

    Raises:
        DataError: neither is a folder with ``labelled`` inside.
    """
    root = Path(environment.get(ENVIRONMENT, DEFAULT_ROOT))
    if not (root / "labelled").is_dir():
        raise DataError(f"{root}: no folder labelled/ inside; set {ENVIRONMENT} to the data folder that holds it")
    return root


def list_files(sources: tuple[str, ...] = SOURCES) -> list[str]:
    """Return the paths under ``labelled`` that ``sources`` are read from, sorted."""
    files = {
        "phrasebank": list(PHRASEBANK_FILES.values()),
        "twitter": list(TWITTER_FILES.values()),
        "fiqa": [FIQA_FILE],
        "sentfin": [SENTFIN_FILE],
    }
    return sorted(file for source in sources for file in files[source])


def hash_files(root: Path, sources: tuple[str, ...] = SOURCES) -> dict[str, str]:
    """Return the SHA-256 of every data file of ``sources``, by its path under ``labelled``."""
    return {file: hash_file(_find(root, file)) for file in list_files(sources)}


def load_phrasebank(root: Path) -> list[Example]:
    """Read Sentences_50Agree; each sentence carries the strictest level whose file holds it (Malo et al. 2014)."""
    lines = {level: _read_phrasebank(root, file) for level, file in PHRASEBANK_FILES.items()}
    strict = [(level, set(lines[level])) for level in ("all", "75", "66")]
    examples = []
    for number, line in enumerate(lines["50"], 1):
        text, at, name = line.rpartition("@")
        level = next((level for level, held in strict if line in held), "50")
        label = _label(name if at else "", PHRASEBANK_FILES["50"], number)
        examples.append(Example(clean_text(text), "", label, None, "phrasebank", level))
    return examples


def load_twitter(root: Path) -> list[Example]:
    """Read Twitter Financial News; its own validation file is the official test."""
    examples = []
    for split, file in TWITTER_FILES.items():
        for number, row in _read_csv(root, file, ("text", "label")):
            label = _label(TWITTER_NAMES.get(row["label"], row["label"]), file, number)
            examples.append(Example(clean_text(row["text"]), "", label, None, "twitter", "", split == "validation"))
    return examples


def load_fiqa(root: Path) -> list[Example]:
    """Read FiQA 2018 task 1: one row per (sentence, target), class by :func:`name_of_score`."""
    examples = []
    for number, row in _read_csv(root, FIQA_FILE, ("sentence", "target", "score", "type", "hf_split")):
        score = _score(row["score"], FIQA_FILE, number)
        label = LABELS.index(name_of_score(score))
        text, target, is_test = clean_text(row["sentence"]), clean_text(row["target"]), row["hf_split"] == "test"
        examples.append(Example(text, target, label, score, "fiqa", row["type"], is_test))
    return examples


def load_sentfin(root: Path) -> list[Example]:
    """Read SEntFiN 1.0: one example per (headline, entity). A regex, since 13 rows are not valid dict literals."""
    examples = []
    for number, row in _read_csv(root, SENTFIN_FILE, ("Title", "Decisions")):
        pairs = _ENTITY.findall(row["Decisions"])
        if not pairs:
            raise DataError(f"{SENTFIN_FILE} row {number}: no 'entity': 'label' pair in {row['Decisions']!r}")
        kind, text = "multi" if len(pairs) > 1 else "single", clean_text(row["Title"])
        for entity, name in pairs:
            label = _label(name, SENTFIN_FILE, number)
            examples.append(Example(text, clean_text(entity), label, None, "sentfin", kind))
    return examples


def name_of_score(score: float) -> str:
    """Return FiQA's class: negative below -0.1, positive from 0.1, else neutral (the rule of PIXIU and FinGPT)."""
    if score < -FIQA_THRESHOLD:
        return "negative"
    return "positive" if score >= FIQA_THRESHOLD else "neutral"


def _label(name: str, file: str, number: int) -> int:
    if name.strip() not in LABELS:
        raise DataError(f"{file} row {number}: label {name!r}; expected one of {', '.join(LABELS)}")
    return LABELS.index(name.strip())


def _score(text: str, file: str, number: int) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not -1 <= score <= 1:
        raise DataError(f"{file} row {number}: score {text!r}; expected a number in -1..1")
    return score


def _find(root: Path, file: str) -> Path:
    path = root / "labelled" / file
    if not path.is_file():
        raise DataError(f"data file missing: {path}")
    return path


def _read_phrasebank(root: Path, file: str) -> list[str]:
    """Return the non-empty lines. The files are ISO-8859-1, and str.splitlines would also split on its \\x85."""
    lines = _find(root, file).read_bytes().decode("iso-8859-1").replace("\r\n", "\n").split("\n")
    return [line for line in lines if line]


def _read_csv(root: Path, file: str, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (row number from 1, row). Tweets hold line breaks inside quotes, so rows are not lines."""
    with _find(root, file).open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise DataError(f"{file}: column {', '.join(missing)} missing; expected {', '.join(columns)}")
        for number, row in enumerate(reader, 1):
            if any(row[column] is None for column in columns):
                raise DataError(f"{file} row {number}: fewer cells than columns")
            yield number, row
