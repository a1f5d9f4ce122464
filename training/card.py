"""A run folder's metrics, recipe and provenance -> the card it is published with. The prose is adapter_card.md.

The card never says more than the folder. What it shares with an exported model's card comes from pipeline.card.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any

from pipeline.card import (
    CALIBRATION,
    CARD,
    DATASETS,
    TRAINED,
    describe_card,
    format_calibration,
    format_contamination,
    format_marks,
    format_results,
    read_licence,
)
from pipeline.model_folder import ADAPTER_CONFIG, METRICS, PROVENANCE, RECIPE, read_json, read_marked

TEMPLATE = Path(__file__).with_name("adapter_card.md")
LOAD_ADAPTER = """\
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    config = AutoConfig.from_pretrained(HERE)
    base = AutoModelForSequenceClassification.from_pretrained({base}, config=config)
    model = PeftModel.from_pretrained(base, HERE).eval()
    tokenizer = AutoTokenizer.from_pretrained(HERE)
    model(**tokenizer(["Example Corp beats estimates"], ["Example Corp"], return_tensors="pt")).logits"""
LOAD_FULL = """\
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(HERE).eval()
    tokenizer = AutoTokenizer.from_pretrained(HERE)
    model(**tokenizer(["Example Corp beats estimates"], ["Example Corp"], return_tensors="pt")).logits"""


def write_card(folder: Path, repository: str) -> None:
    """Fill adapter_card.md from the run folder and write it as its README.md.

    ``repository`` (OWNER/NAME) is where it will be read. The same folder gives the same card.

    Raises:
        ModelError: metrics.json, provenance.json or recipe.toml cannot be read.
    """
    (folder / CARD).write_text(render_card(folder, repository), encoding="utf-8")


def render_card(folder: Path, repository: str) -> str:
    """Return the card of the run folder as it will stand in ``repository``."""
    metrics, provenance = read_json(folder / METRICS), read_json(folder / PROVENANCE)
    measured, licence = metrics.get(TRAINED, {}), read_licence(folder, provenance)
    is_adapter = (folder / ADAPTER_CONFIG).is_file()
    metadata = describe_card(repository.split("/")[-1], provenance, measured.get("model", {}), licence)
    for key, value in describe_model(provenance["base"]["id"], is_adapter).items():
        metadata[key] = value
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        metadata=metadata.to_yaml(),
        name=repository.split("/")[-1],
        kind=format_kind(provenance["base"], is_adapter),
        marks=format_marks(read_marked(folder)),
        use=format_use(provenance["base"], repository, is_adapter),
        results=format_results(measured),
        calibration=format_calibration(metrics.get(CALIBRATION)),
        data="\n".join(format_data(provenance)),
        contamination=format_contamination(provenance),
        max_length=provenance["max_length"],
        licence=licence.statement,
        training="\n".join(format_training(metrics, provenance)),
        recipe=(folder / RECIPE).read_text(encoding="utf-8").strip(),
        files="\n".join(format_files(provenance)),
    )


def describe_model(base: str, is_adapter: bool) -> dict[str, Any]:
    """Return the metadata that hangs on what kind of weights these are; only a Hub base can be linked to."""
    kind = {"library_name": "peft" if is_adapter else "transformers", "tags": ["finance", "sentiment"]}
    if is_adapter:
        kind["tags"] = ["finance", "sentiment", "lora"]
    return kind if ":" in base else {**kind, "base_model": base}


def format_kind(base: Mapping[str, str], is_adapter: bool) -> str:
    """Return what the weights are and what they stand on."""
    origin = f"{base['id']} at {base['revision']}" if base["revision"] else base["id"]
    if is_adapter:
        return f"A LoRA adapter and a three-class head for {origin}; the base's own weights are not in here."
    return f"A three-class encoder, every weight trained, from {origin}."


def format_use(base: Mapping[str, str], repository: str, is_adapter: bool) -> str:
    """Return how to load the model, ready to be pasted."""
    place = f'    HERE = "{repository}"  # add revision=, a commit of 40 hex digits, to every call\n'
    if not is_adapter:
        return place + LOAD_FULL
    if base["id"].startswith("random:"):
        return f"The base is {base['id']}, drawn at random to try the line out: nothing to load this onto elsewhere."
    if base["id"].startswith("package:"):
        name = base["id"].removeprefix("package:").replace("-", "_")
        return f"{place}    import {name}\n\n{LOAD_ADAPTER.format(base=f'{name}.get_model_path()')}"
    where = f'"{base["id"]}", revision="{base["revision"]}"'
    return f"{place}\n{LOAD_ADAPTER.format(base=where)}"


def format_data(provenance: Mapping[str, Any]) -> Iterator[str]:
    """Yield one list item per data set read, with its revision and the SHA-256 of its rows, then the splits."""
    for source, read in provenance["data"].items():
        place = f"{read['origin']} at {read['revision']}" if read["revision"] else read["origin"]
        title = DATASETS.get(source, (source, ""))[0]
        yield f"- {title}: {read['row_count']} rows from {place}, SHA-256 of the rows {read['sha256']}"
    for split, digest in provenance["splits"].items():
        yield f"- {split} rows: SHA-256 {digest}"


def format_training(metrics: Mapping[str, Any], provenance: Mapping[str, Any]) -> Iterator[str]:
    """Yield list items: recipe, seed, rows, epochs, where it ran, what it cost, with which libraries."""
    yield f"- recipe {provenance['recipe']}, seed {provenance['seed']}"
    if "train_count" in metrics:
        epochs = f"best epoch {metrics['best_epoch']} of {len(metrics['epochs'])}, chosen on validation rows"
        yield f"- {metrics['train_count']} training rows; {epochs}"
    memory = f"{metrics['peak_rss_mib']:.0f} MiB of memory" if metrics.get("peak_rss_mib") else ""
    graphics = f"{metrics['peak_gpu_mib']:.0f} MiB on the GPU" if metrics.get("peak_gpu_mib") else ""
    wall = f"{metrics['wall_s']:.1f} s" if metrics.get("wall_s") else ""
    if spent := ", ".join(part for part in (wall, memory, graphics) if part):
        yield f"- {provenance.get('device', 'device not recorded')}: {spent}"
    yield "- " + ", ".join(f"{name} {version}" for name, version in provenance.get("libraries", {}).items())


def format_files(provenance: Mapping[str, Any]) -> Iterator[str]:
    """Yield the SHA-256 of every file but the card and provenance.json, which holds the rest."""
    for name, digest in provenance["files"].items():
        if name not in (CARD, PROVENANCE):
            yield f"- {name}: {digest}"
