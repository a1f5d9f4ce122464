"""What TOML recipes of any kind are held to: known keys of the right types, and one rule a key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

from pipeline.errors import PipelineError

Rule = tuple[str, Callable[[Any], bool], str]
"""A key, what its value must pass, and how that is worded."""


class RecipeError(PipelineError):
    """A recipe file is missing, is no TOML, or holds an unknown key or an impossible value."""


def read_table(path: Path, kind: type[Any]) -> dict[str, Any]:
    """Return the TOML file at ``path`` as arguments for the dataclass ``kind``, of the right types.

    Raises:
        RecipeError: the file cannot be read, or a key is unknown, missing or of another type.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not a TOML file: {error}") from error
    types = get_type_hints(kind)
    for key in table:
        if key not in types:
            raise RecipeError(f"{path}: unknown key {key!r}; expected {', '.join(types)}")
    for one in fields(kind):
        if one.name in table:
            table[one.name] = _check_type(path, one.name, table[one.name], types[one.name])
        elif one.default is MISSING and one.default_factory is MISSING:
            raise RecipeError(f"{path}: key {one.name!r} is missing")
    return table


def check_rules(place: str, recipe: Any, rules: Iterable[Rule]) -> None:
    """Refuse a value that breaks its rule.

    Raises:
        RecipeError: begins with ``place`` and names the key.
    """
    for key, is_valid, expected in rules:
        value = getattr(recipe, key)
        if not is_valid(value):
            raise RecipeError(f"{place}: {key} is {value!r}; expected {expected}")


def within(low: float, high: float) -> tuple[Callable[[Any], bool], str]:
    """Return a rule's test and wording: a number from ``low`` to ``high``."""
    return (lambda value: low <= value <= high), f"{low:.10g}..{high:.10g}"


def among(*values: str) -> tuple[Callable[[Any], bool], str]:
    """Return a rule's test and wording: one of ``values``."""
    return (lambda value: value in values), f"one of {', '.join(values)}"


NAME_RULE: Rule = (
    "name",
    lambda value: bool(re.fullmatch(r"[a-z0-9][a-z0-9-]*", value)),
    "lower-case letters, digits and hyphens",
)


def _check_type(path: Path, key: str, value: Any, expected: Any) -> Any:
    if expected is float and type(value) is int:
        return float(value)
    plain = getattr(expected, "__origin__", expected)
    if type(value) is not plain:
        raise RecipeError(f"{path}: {key} is {value!r}; expected {plain.__name__}")
    return value
