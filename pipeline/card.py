"""A folder's metrics and provenance -> its README.md, with the metadata the Hub reads. The prose is model_card.md.

The card never says more than the folder: every figure is read from metrics.json, every origin from provenance.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from .model_folder import METRICS, PROVENANCE, read_json, write_json, write_provenance

TEMPLATE = Path(__file__).with_name("model_card.md")
CARD = "README.md"
DATASETS = {
    "phrasebank": ("Financial PhraseBank", "takala/financial_phrasebank"),
    "twitter": ("Twitter Financial News Sentiment", "zeroshot/twitter-financial-news-sentiment"),
    "fiqa": ("FiQA 2018 task 1", "TheFinAI/fiqa-sentiment-classification"),
    "sentfin": ("SEntFiN 1.0", "sentfin"),
    "overall": ("all of the above", "all"),
}
"""Source name in metrics.json -> name and id of the data set."""
SHIPPED, TRAINED = "int8_test", "test"
"""Keys of metrics.json: measures of the int8 model itself, and of the torch model it was exported from."""


def seal_folder(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the card, then provenance.json with ``facts`` and the SHA-256 of every file."""
    write_json(folder / PROVENANCE, dict(facts))
    render_card(folder)
    write_provenance(folder, facts)


def add_metrics(folder: Path, name: str, figures: Mapping[str, Any]) -> None:
    """Put ``figures`` under ``name`` into the folder's metrics.json, then write card and hashes anew.

    ``int8_test`` (what `python -m training evaluate FOLDER` measures) takes the place of the torch figures in the card.
    """
    write_json(folder / METRICS, {**read_json(folder / METRICS), name: dict(figures)})
    seal_folder(folder, read_json(folder / PROVENANCE))


def render_card(folder: Path) -> None:
    """Fill model_card.md from metrics.json and provenance.json and write it as the folder's README.md."""
    metrics, provenance = read_json(folder / METRICS), read_json(folder / PROVENANCE)
    measured = metrics.get(SHIPPED) or metrics.get(TRAINED) or {}
    filled = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        model_index=json.dumps(list_results(provenance.get("name", folder.name), measured.get("model", {}))),
        results="\n".join(format_rows(measured)) or "| not measured | | | | | |",
        measured="this int8 model" if SHIPPED in metrics else "the float32 model it was exported from",
        export=format_export(metrics.get("export", {})),
        origin="\n".join(format_origin(provenance)),
        base=provenance["base"]["id"].removeprefix("package:"),
    )
    (folder / CARD).write_text(filled, encoding="utf-8")


def list_results(name: str, measures: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the card's model-index: accuracy and macro-F1 per test source, as the Hub's leaderboard reads them."""
    results = []
    for source, values in measures.items():
        title, dataset = DATASETS.get(source, (source, source))
        figures = [("accuracy", "accuracy", values["accuracy"]), ("f1", "macro F1", values["macro_f1"])]
        results.append(
            {
                "task": {"type": "text-classification", "name": "financial headline sentiment"},
                "dataset": {"type": dataset, "name": title, "split": "test"},
                "metrics": [{"type": kind, "name": what, "value": round(value, 4)} for kind, what, value in figures],
            }
        )
    return [{"name": name, "results": results}]


def format_rows(measured: Mapping[str, Any]) -> Iterator[str]:
    """Yield one table row per test source: the model with its 95 % intervals, and every baseline beside it."""
    baselines = measured.get("baselines", {})
    for source, values in measured.get("model", {}).items():
        title = DATASETS.get(source, (source, ""))[0]
        own = (f"{values[key]:.3f}{_interval(values.get(f'{key}_interval'))}" for key in ("accuracy", "macro_f1"))
        others = (_both(baselines.get(name, {}).get(source)) for name in ("majority", "vader"))
        yield f"| {' | '.join((title, str(values.get('row_count', '')), *own, *others))} |"


def _interval(bounds: Sequence[float] | None) -> str:
    return f" ({bounds[0]:.3f}-{bounds[1]:.3f})" if bounds else ""


def _both(values: Mapping[str, float] | None) -> str:
    return f"{values['accuracy']:.3f} / {values['macro_f1']:.3f}" if values else ""


def format_export(export: Mapping[str, Any]) -> str:
    """Return one sentence on how the int8 model compares with the trained one."""
    if not export:
        return "The export was not measured."
    return (
        f"On {export['row_count']} headlines written for the purpose it gives the trained model's label for "
        f"{export['same_label_share']:.2%}; macro-F1 {export['macro_f1_before']:.4f} before export, "
        f"{export['macro_f1_after']:.4f} after; sentiment scores move by {export['mean_score_change']:.4f} on average, "
        f"{export['max_score_change']:.3f} at most."
    )


def format_origin(provenance: Mapping[str, Any]) -> Iterator[str]:
    """Yield list items: base, adapter, recipe, and the libraries of the export."""
    base, adapter = provenance["base"], provenance.get("adapter", {})
    yield f"- base: {base['id']} at {base['revision']}"
    yield f"- adapter: {adapter.get('id', 'unknown')}, revision {provenance.get('revision', 'unknown')}"
    yield f"- recipe: {provenance.get('recipe', 'unknown')} (recipe.toml), seed {provenance.get('seed', 'unknown')}"
    libraries = provenance.get("export", {}).get("libraries", {})
    yield "- exported with " + ", ".join(f"{name} {version}" for name, version in libraries.items())
