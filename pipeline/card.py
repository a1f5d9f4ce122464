"""A folder's metrics and provenance -> its README.md, with the metadata the Hub reads. The prose is model_card.md.

The card never says more than the folder: every figure is read from metrics.json, every origin from provenance.json,
the licence follows from recipe.toml. training/card.py fills the card of an adapter from the same parts.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from .errors import ModelError
from .licence import ENCODER, RUN, Licence, derive_licence
from .model_folder import CONFIG, METRICS, PROVENANCE, RECIPE, read_json, read_marked, write_json, write_provenance
from .text import mark_company

TEMPLATE = Path(__file__).with_name("model_card.md")
CARD = "README.md"
DATASETS = {
    "phrasebank": ("Financial PhraseBank", "takala/financial_phrasebank"),
    "twitter": ("Twitter Financial News Sentiment", "zeroshot/twitter-financial-news-sentiment"),
    "fiqa": ("FiQA 2018 task 1", "TheFinAI/fiqa-sentiment-classification"),
    "sentfin": ("SEntFiN 1.0", "sentfin"),
    "overall": ("all of the above", "all"),
    "mix": ("PhraseBank 60 %, Twitter 15 %, FiQA 25 %", "mix"),
}
"""Source name in metrics.json -> name and id of the data set; the mix is training.evaluate's."""
BASELINES = {"majority": "majority", "vader": "VADER", "zero_shot": "base, zero-shot"}
SHIPPED, TRAINED = "int8_test", "test"
"""Keys of metrics.json: measures of the int8 model itself, and of the torch model it was exported from."""
CALIBRATION, SPEED, BEHAVIOUR = "calibration", "speed", "behaviour"
"""More of its keys: the fitted temperature, `python -m benchmarks.scoring --card`, and accuracy per capability."""
WEAKEST_COUNT = 3
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


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
    """Fill model_card.md from metrics.json, provenance.json and recipe.toml and write it as the folder's README.md."""
    metrics, provenance = read_json(folder / METRICS), read_json(folder / PROVENANCE)
    measured = metrics.get(SHIPPED) or metrics.get(TRAINED) or {}
    licence = read_licence(folder, provenance)
    metadata = describe_card(provenance.get("name", folder.name), provenance, measured.get("model", {}), licence)
    metadata["library_name"], metadata["tags"] = "onnx", ["finance", "sentiment", "onnx", "int8"]
    filled = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        metadata=metadata.to_yaml(),
        results=format_results(measured),
        measured="this int8 model" if SHIPPED in metrics else "the float32 model it was exported from",
        calibration=format_calibration(metrics.get(CALIBRATION)),
        export=format_export(metrics.get("export", {})),
        behaviour=format_behaviour(metrics.get(BEHAVIOUR)),
        speed=format_speed(metrics.get(SPEED)),
        weakness=format_weakness(metrics.get(BEHAVIOUR)),
        contamination=format_contamination(provenance),
        licence=licence.statement,
        origin="\n".join(format_origin(provenance)),
        kind=format_kind(read_json(folder / CONFIG), read_recipe(folder), provenance["base"]["id"]),
        marks=format_marks(read_marked(folder)),
        weights=provenance.get("export", {}).get("weights", "as int8"),
    )
    (folder / CARD).write_text(filled, encoding="utf-8")


def format_marks(is_marked: bool) -> str:
    """Return what who calls the model without this project must do, a sentence after others, "" for nothing."""
    if not is_marked:
        return ""
    example = mark_company("Example Corp beats estimates", "Example Corp")
    return (
        f'\nWherever the headline names the company, write "{example}": it was trained so. OnnxScorer does so itself.'
    )


def describe_card(
    name: str, provenance: Mapping[str, Any], measures: Mapping[str, Mapping[str, Any]], licence: Licence
) -> ModelCardData:
    """Return the metadata at the head of a card: language, licence, task, and the measures as a model-index."""
    results = [
        EvalResult(
            task_type="text-classification",
            task_name="financial headline sentiment",
            dataset_split="test",
            metric_type=kind,
            metric_name=what,
            metric_value=round(values[key], 4),
            **_describe_dataset(source, provenance.get("data", {}).get(source, {})),
        )
        for source, values in measures.items()
        for kind, what, key in (("accuracy", "accuracy", "accuracy"), ("f1", "macro F1", "macro_f1"))
    ]
    unnamed: dict[str, Any] = {"license_name": "not-stated"} if licence.tag == "other" else {}
    return ModelCardData(
        language="en",
        license=licence.tag,
        **unnamed,
        pipeline_tag="text-classification",
        model_name=name,
        eval_results=results or None,
    )


def read_licence(folder: Path, provenance: Mapping[str, Any]) -> Licence:
    """Return the licence that follows from the folder's recipe.toml, its base, the run it starts from and its teachers.

    Raises:
        ModelError: recipe.toml is there but cannot be read.
    """
    base, teachers, start = provenance["base"]["id"], provenance.get("teachers") or (), provenance.get("start")
    return derive_licence(read_recipe(folder), base, teachers, start)


def read_recipe(folder: Path) -> dict[str, Any]:
    """Return the folder's parsed recipe.toml, {} where there is none.

    Raises:
        ModelError: it is there but cannot be read.
    """
    path = folder / RECIPE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: not a TOML file: {error}") from error


def format_kind(config: Mapping[str, Any], recipe: Mapping[str, Any], base: str) -> str:
    """Return what the model is: its size, where it came from, how it was trained."""
    size = f"{config['num_hidden_layers']} layers of {config['hidden_size']}" if "hidden_size" in config else "encoder"
    how = "every weight trained" if recipe.get("method") == "full" else "fine-tuned with LoRA, merged"
    teachers = recipe.get("teachers") or ()
    others = "another model says" if len(teachers) == 1 else f"{len(teachers)} other models say"
    taught = f" on labels and on what {others}" if teachers else ""
    origin = base.removeprefix("package:").removeprefix(ENCODER).removeprefix(RUN)
    return f"A small encoder ({origin}; {size}) with a three-class head, {how}{taught}, exported to ONNX."


def format_results(measured: Mapping[str, Any]) -> str:
    """Return the table of measures: a row per test source, the model with its 95 % intervals, baselines beside it."""
    if not measured.get("model"):
        return "Not measured."
    held = measured.get("baselines", {})
    names = [name for name in BASELINES if name in held]
    columns = ["test set", "rows", "accuracy", "macro-F1", *(BASELINES[name] for name in names)]
    lines = [columns, ["---"] * len(columns)]
    for source, values in measured["model"].items():
        title = DATASETS.get(source, (source, ""))[0]
        own = [f"{values[key]:.3f}{_interval(values.get(f'{key}_interval'))}" for key in ("accuracy", "macro_f1")]
        others = [_both(held[name].get(source)) for name in names]
        lines.append([title, str(values.get("row_count", "")), *own, *others])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def format_contamination(provenance: Mapping[str, Any]) -> str:
    """Return what is known of test rows the base was trained on before. To know of none is not to know there are none.

    ``contamination`` of ``provenance`` is a list of source, test_row_count, known_share (0..1, None where nobody stated
    it), is_exact, evidence and statement; a folder without it was never examined.
    """
    found = provenance.get("contamination")
    if found is None:
        return "Whether the base was trained on test rows before was not examined."
    if not found:
        return "Nothing is known of the base having been trained on any test row, which does not say that it was not."
    return "\n".join(_describe_contamination(one) for one in found)


def _describe_contamination(one: Mapping[str, Any]) -> str:
    title = DATASETS.get(one["source"], (one["source"], ""))[0]
    share, rows = one["known_share"], f"the {one['test_row_count']} test rows concerned"
    if share is None:
        amount = f"the base has seen a share nobody has stated of {rows}"
    else:
        amount = f"the base has seen {'' if one['is_exact'] else 'about '}{share:.0%} of {rows}"
    statement = one["statement"][:1].upper() + one["statement"][1:]
    return f"- {title}: {amount}. {statement}. Evidence: {one['evidence']}."


def format_calibration(calibration: Mapping[str, float] | None) -> str:
    """Return how probabilities were calibrated, and what that changed, on validation rows."""
    if not calibration:
        return "Probabilities were not calibrated."
    if "ridge" in calibration:
        how = (
            "The head's last layer is fitted anew on validation rows only, held near the trained one by a ridge of "
            f"{calibration['ridge']:g}. There, each row judged by a layer fitted without it,"
        )
    else:
        how = (
            "Probabilities are scaled by temperature: the head's logits are divided by "
            f"{calibration['temperature']:.3f}, fitted on validation rows only. There"
        )
    return (
        f"{how} the expected calibration error was {calibration['ece_before']:.3f} before and "
        f"{calibration['ece_after']:.3f} after, the log loss {calibration['nll_before']:.3f} and "
        f"{calibration['nll_after']:.3f}."
    )


def format_behaviour(behaviour: Mapping[str, Mapping[str, Any]] | None) -> str:
    """Return a table row per capability: ``row_count``, ``accuracy`` (0..1), its interval, and pairs where it has any.

    A pair counts as right when both of its headlines are.
    """
    if not behaviour:
        return "Not measured."
    lines = ["| capability | headlines | right | pairs | both right |", "| --- | --- | --- | --- | --- |"]
    for name, one in behaviour.items():
        right = f"{one['accuracy']:.2f}{_interval(one.get('accuracy_interval'), 2)}"
        pairs, both = one.get("pair_count") or "", ""
        if pairs:
            both = f"{one['pair_accuracy']:.2f}{_interval(one.get('pair_accuracy_interval'), 2)}"
        lines.append(f"| {name} | {one['row_count']} | {right} | {pairs} | {both} |")
    return "\n".join(lines)


def format_weakness(behaviour: Mapping[str, Mapping[str, Any]] | None) -> str:
    """Return what the model does worst of all that was tried, and what was never tried."""
    if not behaviour:
        return "Not examined: sarcasm, comparisons between companies, numbers whose meaning hangs on what was expected."
    tried = sorted((one["accuracy"], name) for name, one in behaviour.items() if name != "overall")
    worst = ", ".join(f"{name} ({accuracy:.2f} right)" for accuracy, name in tried[:WEAKEST_COUNT])
    return f"Weakest, of what was tried: {worst}. Not examined: sarcasm."


def format_speed(speed: Mapping[str, Any] | None) -> str:
    """Return what `python -m benchmarks.scoring --card` measured, and on what."""
    if not speed:
        return "Not measured."
    chips = ", ".join(speed["instructions"])
    return (
        f"{speed['headlines_per_s']:,.0f} headlines a second ({speed['row_count']:,} in one call, "
        f"{speed['mean_token_count']:.1f} tokens on average, {speed['thread_count']} threads), "
        f"{speed['baseline_ratio']:.1f} times a {speed['baseline']} in the same run; first score "
        f"{speed['first_score_s']:.2f} s after the start of a process, at most {speed['peak_mb']:.0f} MB for all of "
        f"them. Measured on {speed['measured_on']}, {speed['processor']}{f' ({chips})' if chips else ''}, onnxruntime "
        f"{speed['onnxruntime']}."
    )


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
    yield f"- run: {adapter.get('id', 'unknown')}, revision {provenance.get('revision', 'unknown')}"
    yield f"- recipe: {provenance.get('recipe', 'unknown')} (recipe.toml), seed {provenance.get('seed', 'unknown')}"
    libraries = provenance.get("export", {}).get("libraries", {})
    yield "- exported with " + ", ".join(f"{name} {version}" for name, version in libraries.items())


def _describe_dataset(source: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data set as the model-index names it; a revision only for one that was read from the Hub."""
    title, known = DATASETS.get(source, (source, source))
    origin, revision = str(data.get("origin") or ""), data.get("revision") or None
    is_hub = bool(revision and _HUB_ID.fullmatch(origin))
    return {
        "dataset_name": title,
        "dataset_type": origin if is_hub else known,
        "dataset_revision": revision if is_hub else None,
    }


def _interval(bounds: Sequence[float] | None, digits: int = 3) -> str:
    return f" ({bounds[0]:.{digits}f}-{bounds[1]:.{digits}f})" if bounds else ""


def _both(values: Mapping[str, float] | None) -> str:
    return f"{values['accuracy']:.3f} / {values['macro_f1']:.3f}" if values else ""
