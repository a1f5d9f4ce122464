"""GitHub's expressions, as far as the workflows here use them: text and contexts in, values out.

    evaluate("inputs.dry-run && 'yes' || ''", {"inputs": {"dry-run": True}}, FUNCTIONS)  ->  "yes"

A property that is not there is null, an unknown function or a malformed expression raises ValueError.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Functions = Mapping[str, Callable[..., Any]]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?\d+(?:\.\d+)?)|(?P<text>'(?:[^']|'')*')|(?P<sign>==|!=|&&|\|\||[!()\[\],.])"
    r"|(?P<name>[A-Za-z_][\w-]*))"
)
_EMBEDDED = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_STATUS = re.compile(r"\b(?:success|failure|always|cancelled)\(")


def fill(text: str, contexts: Mapping[str, Any], functions: Functions) -> Any:
    """Return ``text`` with its ``${{ }}`` replaced; the bare value where it is nothing but one expression."""
    whole = _EMBEDDED.fullmatch(text.strip())
    if whole and "${{" not in whole[1]:
        return evaluate(whole[1], contexts, functions)
    return _EMBEDDED.sub(lambda match: to_text(evaluate(match[1], contexts, functions)), text)


def is_met(condition: object, contexts: Mapping[str, Any], functions: Functions) -> bool:
    """Return what an ``if:`` decides; without a status function it also asks for success, as GitHub does."""
    text = str(condition).strip()
    whole = _EMBEDDED.fullmatch(text)
    inner = whole[1] if whole else text
    value = truth(evaluate(inner, contexts, functions))
    return value if _STATUS.search(inner) else value and bool(functions["success"]())


def evaluate(text: str, contexts: Mapping[str, Any], functions: Functions) -> Any:
    """Return the value of one expression."""
    parser = _Parser(_split(text), contexts, functions)
    value = parser.either()
    if parser.tokens:
        raise ValueError(f"{text!r}: {parser.tokens[0][1]!r} was not expected")
    return value


def truth(value: object) -> bool:
    """Return what GitHub takes ``value`` for: false, 0, null and the empty text are false."""
    return value not in (None, False, 0, "")


def to_text(value: object) -> str:
    """Return ``value`` as it is written into a text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _split(text: str) -> list[tuple[str, str]]:
    tokens, place = [], 0
    while place < len(text.rstrip()):
        found = _TOKEN.match(text, place)
        if not found or not found.lastgroup:
            raise ValueError(f"{text!r}: cannot be read from {text[place:]!r} on")
        tokens.append((found.lastgroup, found[found.lastgroup]))
        place = found.end()
    return tokens


class _Parser:
    """Recursive descent over tokens; each method takes what binds tighter than its caller."""

    def __init__(self, tokens: list[tuple[str, str]], contexts: Mapping[str, Any], functions: Functions) -> None:
        self.tokens = tokens
        self.contexts = contexts
        self.functions = functions

    def either(self) -> Any:
        value = self.both()
        while self.take("||"):
            other = self.both()
            value = value if truth(value) else other
        return value

    def both(self) -> Any:
        value = self.comparison()
        while self.take("&&"):
            other = self.comparison()
            value = other if truth(value) else value
        return value

    def comparison(self) -> Any:
        value = self.negation()
        for sign, is_wanted in (("==", True), ("!=", False)):
            if self.take(sign):
                return _equal(value, self.negation()) is is_wanted
        return value

    def negation(self) -> Any:
        return not truth(self.negation()) if self.take("!") else self.access()

    def access(self) -> Any:
        value = self.operand()
        while self.tokens and self.tokens[0][1] in (".", "["):
            if self.take("."):
                key: Any = self.tokens.pop(0)[1]
            else:
                self.take("[")
                key = self.either()
                self.require("]")
            value = _look_up(value, key)
        return value

    def operand(self) -> Any:
        if self.take("("):
            value = self.either()
            self.require(")")
            return value
        if not self.tokens:
            raise ValueError("an expression ends too early")
        kind, text = self.tokens.pop(0)
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "sign":
            raise ValueError(f"{text!r} was not expected")
        return self.call(text) if self.take("(") else self.name(text)

    def name(self, text: str) -> Any:
        literals = {"true": True, "false": False, "null": None}
        if text in literals:
            return literals[text]
        if text not in self.contexts:
            raise ValueError(f"{text}: no such context")
        return self.contexts[text]

    def call(self, name: str) -> Any:
        arguments = []
        while not self.take(")"):
            arguments.append(self.either())
            self.take(",")
        if name not in self.functions:
            raise ValueError(f"{name}: no such function")
        return self.functions[name](*arguments)

    def take(self, sign: str) -> bool:
        if self.tokens and self.tokens[0] == ("sign", sign):
            self.tokens.pop(0)
            return True
        return False

    def require(self, sign: str) -> None:
        if not self.take(sign):
            raise ValueError(f"expected {sign!r}")


def _look_up(value: Any, key: Any) -> Any:
    """Return a property, whatever the case of its name; null where there is none."""
    if not isinstance(value, Mapping):
        return None
    return next((inner for name, inner in value.items() if str(name).lower() == str(key).lower()), None)


def _equal(one: Any, other: Any) -> bool:
    """Compare as GitHub does: texts without regard to case, values of two kinds as numbers, objects by identity."""
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    if isinstance(one, dict | list) or isinstance(other, dict | list):
        return one is other
    return _to_number(one) == _to_number(other)


def _to_number(value: Any) -> float:
    """Return null, false and the empty text as 0, true as 1, any text that is no number as NaN."""
    try:
        return float((value.strip() if isinstance(value, str) else value) or 0)
    except ValueError:
        return math.nan
