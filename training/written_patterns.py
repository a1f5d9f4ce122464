"""written.toml -> patterns, checked. What training/written.py fills in; draws nothing itself."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.text import LABELS

PATTERNS = Path(__file__).with_name("written.toml")
NAMES = ("company", "other", "bank")
"""Slots of a company, in the order in which a pair states their labels."""
KINDS = ("", "_eps", "_rate", "_count", "_target")
NUMBERS = {f"{end}{kind}" for kind in KINDS for end in ("low", "high")} | {
    "gain",
    "drop",
    "difference_eps",
    "day",
    "hour",
}
"""Slots that training/written.py draws as figures that agree with each other."""
PAIRS = "pairs"
_SLOT = re.compile(r"\{(\w+)\}")
_KEYS = ("companies", "banks", "guises", "slots", "family")


class WrittenError(PipelineError):
    """The patterns' file is missing, is no TOML, or holds an unknown slot or label."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One sentence and the label it has for one company.

    ``parts`` alternates literal text and slot names, a literal first and last. ``target`` is the slot judged, "" where
    the sentence names nobody. ``is_pair`` where the sentence has a label of its own for a second company.
    """

    family: str
    parts: tuple[str, ...]
    label: int
    target: str
    is_pair: bool

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of its slots, as they come."""
        return self.parts[1::2]

    def __str__(self) -> str:
        return "".join(f"{{{part}}}" if i % 2 else part for i, part in enumerate(self.parts))


@dataclass(frozen=True, slots=True)
class Grammar:
    """Patterns by label (0..2), the words of every slot, companies as (name, ticker) and those that rate others.

    ``guises`` has "units" (formats of an amount) and what may stand "before" and "after" any sentence.
    """

    patterns: Mapping[int, Sequence[Pattern]]
    words: Mapping[str, Sequence[str]]
    companies: Sequence[tuple[str, str]]
    banks: Sequence[tuple[str, str]]
    guises: Mapping[str, Sequence[str]]


@cache
def read_grammar(path: Path = PATTERNS) -> Grammar:
    """Read and check the patterns at ``path``.

    Raises:
        WrittenError: one line naming file and pattern, what was found and what was expected.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrittenError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrittenError(f"{path}: not a TOML file: {error}") from error
    for key in _KEYS:
        if not table.get(key):
            raise WrittenError(f"{path}: {key!r} is missing; expected {', '.join(_KEYS)}")
    companies = [_read_company(path, one) for one in re.split(r"[|\n]", table["companies"]) if one.strip()]
    found = [pattern for family, held in table["family"].items() for pattern in _read_family(path, family, held)]
    _check_slots(path, found, {*table["slots"], *NAMES, *NUMBERS})
    patterns = {label: [one for one in found if one.label == label] for label in range(len(LABELS))}
    for label, held in patterns.items():
        if not held:
            raise WrittenError(f"{path}: no pattern is {LABELS[label]}; expected some of every label")
    banks = [one for one in companies if one[0] in table["banks"]]
    if len(banks) < len(NAMES):  # two may be the other companies of a sentence
        raise WrittenError(f"{path}: banks: {len(banks)} of them are companies; expected at least {len(NAMES)}")
    return Grammar(patterns, table["slots"], companies, banks, table["guises"])


def _read_company(path: Path, text: str) -> tuple[str, str]:
    name, _, ticker = text.strip().rpartition(" ")
    if not name:
        raise WrittenError(f"{path}: company {text!r}; expected a name, a blank and a ticker")
    return name, ticker


def _read_family(path: Path, family: str, held: Mapping[str, Sequence[Any]]) -> Iterator[Pattern]:
    for name, entries in held.items():
        for entry in entries:
            parts = tuple(_SLOT.split(entry[0] if name == PAIRS else entry))
            named = [slot for slot in NAMES if slot in parts[1::2]]
            if name != PAIRS:
                yield Pattern(family, parts, _read_label(path, family, name), "company" if named else "", False)
                continue
            if len(entry) != 3 or len(named) != 2:
                raise WrittenError(
                    f"{path}: family {family}: {entry!r}; expected a text with two companies, two labels"
                )
            for target, label in zip(named, entry[1:], strict=True):
                yield Pattern(family, parts, _read_label(path, family, label), target, True)


def _read_label(path: Path, family: str, name: str) -> int:
    if name not in LABELS:
        raise WrittenError(f"{path}: family {family}: label {name!r}; expected one of {', '.join(LABELS)}")
    return LABELS.index(name)


def _check_slots(path: Path, patterns: Sequence[Pattern], known: set[str]) -> None:
    for pattern in patterns:
        unknown = [slot for slot in pattern.slots if slot not in known]
        if unknown:
            raise WrittenError(f"{path}: family {pattern.family}: {str(pattern)!r} has unknown slot {unknown[0]!r}")
