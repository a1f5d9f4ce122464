"""A tiny model of our own for tests: a two-layer random BERT with LoRA, its base.

Heavy libraries are imported inside functions, so that collecting the tests stays quick.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.text import LABELS
from tests.hub_server import HubServer

BASE = "made/base"
ADAPTER = "made/adapter"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MAX_LENGTH = 32
WORDS = ["profit", "loss", "falls", "rises", "cuts", "lifts", "outlook", "shares", "deal", "fine", "recall", "record"]
WORDS += ["warns", "beats", "misses", "flat", "hires"]
HEADLINES = [f"{WORDS[i % 17]} {WORDS[(3 * i + 1) % 17]} {WORDS[(7 * i + 2) % 17]}" for i in range(80)]
MEASURES = {
    "seed": 1,
    "wall_s": 12.5,
    "peak_rss_mib": 300.0,
    "peak_gpu_mib": None,
    "train_count": 90,
    "best_epoch": 2,
    "epochs": [{"epoch": 1}, {"epoch": 2}, {"epoch": 3}],
    "calibration": {"temperature": 1.25, "ece_before": 0.2, "ece_after": 0.1, "nll_before": 0.9, "nll_after": 0.8},
}
FACTS: dict[str, Any] = {
    "recipe": "made",
    "seed": 1,
    "max_length": MAX_LENGTH,
    "data": {
        "twitter": {"origin": "made/tweets", "revision": "a" * 40, "row_count": 90, "sha256": "b" * 64},
        "phrasebank": {"origin": "local copy, made", "revision": "", "row_count": 10, "sha256": "c" * 64},
    },
    "splits": {"train": "d" * 64, "validation": "e" * 64, "test": "f" * 64},
    "contamination": [],
    "libraries": {"torch": "0.0"},
    "device": "made processor",
}
PAIRS = [(headline, ("", "Acme", "Zenith Corp")[i % 3]) for i, headline in enumerate(HEADLINES)]


def make_base(folder: Path, blind_to_first: bool = False) -> Path:
    """Write the base. ``blind_to_first`` hides weights that do not matter in float32 but swamp the int8 scales."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(_vocabulary()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.4,
    )
    model = BertModel(config)
    if blind_to_first:
        _hide_outliers(model)
    model.save_pretrained(folder)
    return folder


def make_run(folder: Path, base: Path, labels: Sequence[str] = LABELS) -> Path:
    """Write what `python -m training train` would: a LoRA adapter on ``base`` whose head has ``labels`` in this order.

    The same network for every order of labels: only the head's rows and id2label are permuted.
    """
    import torch
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(1)
    names = dict(enumerate(labels))
    model = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=3, id2label=names, label2id={name: i for i, name in names.items()}
    )
    order = [LABELS.index(label) for label in labels]
    lora = LoraConfig(
        task_type=TaskType.SEQ_CLS, r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False
    )
    model = get_peft_model(model, lora)
    with torch.no_grad():
        torch.manual_seed(2)
        weight = torch.randn(3, 32) * 0.3
        weight -= weight.mean(dim=0)
        model.base_model.model.classifier.modules_to_save["default"].weight.copy_(weight[order])
        model.base_model.model.classifier.modules_to_save["default"].bias.zero_()
    model.save_pretrained(str(folder), save_embedding_layers=False)
    model.get_base_model().config.save_pretrained(folder)
    adapter = json.loads((folder / "adapter_config.json").read_text())
    adapter["base_model_name_or_path"] = BASE
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    (folder / "README.md").unlink()
    make_tokenizer().save_pretrained(folder)
    (folder / "vocab.txt").unlink(missing_ok=True)
    (folder / "recipe.toml").write_text('name = "made"\n\n[repeats]\nphrasebank = 2\ntwitter = 1\n')
    measures = {"row_count": 9, "accuracy": 0.5, "accuracy_interval": [0.25, 0.75], "macro_f1": 0.4}
    guesses = {"twitter": {"accuracy": 0.3, "macro_f1": 0.2}}
    test = {"model": {"twitter": measures, "overall": measures}, "baselines": {"majority": guesses, "vader": guesses}}
    (folder / "metrics.json").write_text(json.dumps({**MEASURES, "test": test}))
    seal_run(folder, base)
    return folder


def seal_run(folder: Path, base: Path, /, **facts: Any) -> None:
    """Write the run's provenance.json, with ``facts`` in the place of its own."""
    hashes = {p.name: _digest(p) for p in sorted(folder.iterdir()) if p.name != "provenance.json"}
    origin = {"id": BASE, "revision": COMMIT, "weight_sha256": _digest(base / "model.safetensors")}
    (folder / "provenance.json").write_text(json.dumps({"base": origin, **FACTS, "files": hashes, **facts}))


def make_tokenizer(words: Sequence[str] = WORDS):  # noqa: ANN201 (transformers is not imported here)
    """Return a WordPiece tokenizer over ``words`` and single characters, with the padding trap of real files set."""
    from tokenizers.implementations import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    pieces = BertWordPieceTokenizer({token: i for i, token in enumerate(_vocabulary(words))}, lowercase=True)
    pieces.enable_padding(length=64)
    return BertTokenizerFast(tokenizer_object=pieces._tokenizer, do_lower_case=True, model_max_length=MAX_LENGTH)


def write_parity_set(path: Path, pairs: Sequence[tuple[str, str]] = PAIRS) -> Path:
    """Write a parity set; labels go round, since a random network has no opinion worth agreeing with."""
    rows = [f'"{headline}",{company},{LABELS[i % 3]}' for i, (headline, company) in enumerate(pairs)]
    path.write_text("\n".join(["headline,company,label", *rows]) + "\n")
    return path


def serve_model(hub: HubServer, base: Path, run: Path | None = None, commit: str = COMMIT) -> None:
    """Put the base, and a run if given, into ``hub``."""
    hub.add(BASE, base, revision=commit)
    if run:
        hub.add(ADAPTER, run, revision=commit)


def _vocabulary(words: Sequence[str] = WORDS) -> list[str]:
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *characters, *(f"##{c}" for c in characters)]


def _hide_outliers(model) -> None:  # noqa: ANN001
    """Make every layer's first input always zero, and the weights on it huge."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "LayerNorm" in name:
                parameter[0] = 0
            if name.endswith("weight") and any(part in name for part in ("query", "key", "value", "intermediate")):
                parameter[:, 0] = 1e4


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
