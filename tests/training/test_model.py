"""Every recipe's model is built, trained, saved and loaded as the same model; bases are what they say, or refused."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from pipeline.errors import ModelError
from pipeline.hub import pull_snapshot
from pipeline.model_folder import read_json, write_provenance
from pipeline.text import LABELS
from tests.hub_server import HubServer
from training import bases
from training.bases import DROPOUTS
from training.batches import encode_examples
from training.calibrate import apply_temperature
from training.data import Example
from training.heads import find_last, read_head, write_head
from training.model import (
    build_model,
    load_base,
    load_labelled_base,
    load_run,
    load_trainable,
    save_model,
    trainable_state,
    unquantise_model,
)
from training.recipe import ARCHITECTURES, RANDOM, Recipe, load_recipe, shrink_recipe
from training.tiny import write_tiny

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))
ABSENT = "0" * 40
TEXTS = ["profit rises", "a loss that is wider than what was feared", "meeting held", "Profit falls", ""]
TARGETS = ["Acme", "", "Bolt", "Zenith Corp", ""]
METHODS = ("full", "lora", "qlora")


def make_recipe(architecture: str = "bert", method: str = "lora", **changes: object) -> Recipe:
    recipe = load_recipe(RECIPES / "smoke.toml")
    return replace(recipe, base=RANDOM + architecture, architecture=architecture, method=method, **changes)


def build(recipe: Recipe, seed: int = 1):  # noqa: ANN201
    torch.manual_seed(seed)
    return build_model(recipe)


def encode(tokenizer, texts: Sequence[str] = TEXTS, targets: Sequence[str] = TARGETS, length: int = 64):  # noqa: ANN001, ANN201
    return tokenizer(
        list(texts), list(targets), truncation="longest_first", max_length=length, padding=True, return_tensors="pt"
    )


@torch.inference_mode()
def answer(model: nn.Module, tokenizer, length: int = 64) -> np.ndarray:  # noqa: ANN001
    return model.eval()(**encode(tokenizer, length=length)).logits[:, : len(LABELS)].softmax(dim=1).numpy()


def take_step(model: nn.Module, tokenizer) -> None:  # noqa: ANN001
    """One large step over every output, so that no trained weight stays where it was."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=0.5)
    logits = model.train()(**encode(tokenizer)).logits
    torch.nn.functional.cross_entropy(logits, torch.arange(len(TEXTS)) % logits.shape[1]).backward()
    optimizer.step()


def save_run(model: nn.Module, tokenizer, recipe: Recipe, folder: Path) -> Path:  # noqa: ANN001
    folder.mkdir()
    save_model(model, tokenizer, recipe, folder)
    base = {"id": recipe.base, "revision": recipe.revision, "weight_sha256": recipe.weight_sha256}
    write_provenance(folder, {"base": {**base, "architecture": recipe.architecture}})
    return folder


def reseal(folder: Path) -> None:
    write_provenance(folder, json.loads((folder / "provenance.json").read_text()))


def read_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_trained_saved_and_loaded_as_the_same_model(tmp_path: Path, name: str) -> None:
    recipe = shrink_recipe(load_recipe(RECIPES / f"{name}.toml"))
    model, tokenizer = build(recipe)
    before = answer(model, tokenizer)
    take_step(model, tokenizer)
    model = unquantise_model(model, recipe)
    expected = answer(model, tokenizer)
    assert np.abs(expected - before).max() > 1e-3, "the step must show, or the comparison below proves little"
    folder = save_run(model, tokenizer, recipe, tmp_path / "run")
    loaded, theirs, length = load_run(folder)
    assert np.abs(answer(loaded, theirs) - expected).max() < 1e-5
    assert length == recipe.max_length
    assert not loaded.training
    assert json.loads((folder / "config.json").read_text())["id2label"] == dict(zip("012", LABELS, strict=True))
    for file, content in read_bytes(folder).items():
        for place in (str(tmp_path), sys.prefix, f"{tempfile.gettempdir()}/"):
            assert place.encode() not in content, file
    weights = {"config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "provenance.json"}
    weights |= (
        {"model.safetensors"} if recipe.method == "full" else {"adapter_model.safetensors", "adapter_config.json"}
    )
    assert set(read_bytes(folder)) == weights


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_takes_every_method_with_either_head(tmp_path: Path, architecture: str, method: str) -> None:
    recipe = make_recipe(architecture, method, score_head="separate", score_weight=1.0, dora=method == "lora")
    model, tokenizer = build(recipe)
    assert model(**encode(tokenizer)).logits.shape == (len(TEXTS), 4)
    take_step(model, tokenizer)
    model = unquantise_model(model, recipe)
    expected = answer(model, tokenizer)
    folder = save_run(model, tokenizer, recipe, tmp_path / "run")
    loaded, theirs, _ = load_run(folder)
    assert loaded(**encode(theirs)).logits.shape == (len(TEXTS), 3)
    assert np.abs(answer(loaded, theirs) - expected).max() < 1e-5


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_seed_saves_the_same_bytes(tmp_path: Path, architecture: str, method: str) -> None:
    recipe = make_recipe(architecture, method)
    one, two, other = (
        save_run(*build(recipe, seed), recipe, tmp_path / name) for name, seed in (("1", 1), ("2", 1), ("3", 2))
    )
    assert read_bytes(one) == read_bytes(two)
    assert read_bytes(one) != read_bytes(other)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_dividing_the_head_by_a_temperature_is_applying_it(architecture: str, method: str) -> None:
    for head in ("difference", "separate"):
        model, tokenizer = build(make_recipe(architecture, method, score_head=head, score_weight=1.0))
        before = answer(model, tokenizer)
        write_head(model, read_head(model) / 1.7)
        assert np.abs(answer(model, tokenizer) - apply_temperature(before, 1.7)).max() < 1e-6


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_lora_trains_the_adapter_and_the_head_and_nothing_else(architecture: str) -> None:
    model, _ = build(make_recipe(architecture))
    plain = model.get_base_model()
    names = [name for name, weight in plain.named_parameters() if weight.requires_grad]
    inside = [name.startswith(f"{plain.base_model_prefix}.") for name in names]
    assert ["lora_" in name for name in names] == inside
    assert ["modules_to_save" in name for name in names] == [not one for one in inside]
    assert any("lora_" in name for name in names)
    assert any("modules_to_save" in name for name in names)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_recipes_dropout_reaches_every_dropout_of_the_model(architecture: str) -> None:
    config = load_base(make_recipe(architecture, encoder_dropout=0.25))[0].config
    assert [getattr(config, key) for key in DROPOUTS[architecture]] == [0.25] * len(DROPOUTS[architecture])
    unset = [name for name, value in config.to_dict().items() if "drop" in name and value not in (0.25, None)]
    assert set(unset) <= {"qa_dropout"}, "the question-answering head's is not built"


def test_a_dropout_the_configuration_does_not_know_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DROPOUTS, "bert", ("hidden_dropout_prob", "attic_dropout"))
    with pytest.raises(ModelError, match="encoder_dropout: the bert configuration has no attic_dropout"):
        build(make_recipe())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_and_neighbours_do_not_matter(architecture: str) -> None:
    model, tokenizer = build(make_recipe(architecture))
    together = model.eval()(**encode(tokenizer)).logits
    for i, pair in enumerate(zip(TEXTS, TARGETS, strict=True)):
        alone = model(**encode(tokenizer, [pair[0]], [pair[1]])).logits
        assert torch.allclose(together[i], alone[0], atol=1e-5), pair


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_target_matters_and_tokenizer_json_alone_tokenises_alike(tmp_path: Path, architecture: str) -> None:
    recipe = make_recipe(architecture, "full", max_length=24)
    model, tokenizer = build(recipe)
    folder = save_run(model, tokenizer, recipe, tmp_path / "run")
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.enable_truncation(24, strategy="longest_first")
    ours = load_run(folder)[1](TEXTS, TARGETS, truncation="longest_first", max_length=24)["input_ids"]
    assert [found.ids for found in theirs.encode_batch(list(zip(TEXTS, TARGETS, strict=True)))] == ours
    joined, parted = (
        answer(model, lambda *_, pair=pair, **__: encode(tokenizer, *pair))
        for pair in ((["ab"], ["c"]), (["a"], ["bc"]))
    )
    assert np.abs(joined - parted).max() > 1e-5, "where the text ends must show"


def test_a_decoder_ends_both_segments_and_pads_with_a_token_of_its_own() -> None:
    _, tokenizer = build(make_recipe("qwen2"))
    end = tokenizer.eos_token_id
    rows = encode(tokenizer, ["up", "up"], ["Acme", ""])["input_ids"].tolist()
    assert [row.count(end) for row in rows] == [2, 2]
    assert rows[1][2:4] == [end, end]
    assert rows[1][4:] == [tokenizer.pad_token_id] * 4
    assert tokenizer.pad_token_id != end


def test_qlora_holds_its_encoder_in_four_bits_and_trains_on_after_scoring() -> None:
    import bitsandbytes as bnb

    recipe = make_recipe(method="qlora")
    model, tokenizer = build(recipe)
    packed = [layer for layer in model.modules() if isinstance(layer, bnb.nn.Linear4bit)]
    assert {(layer.weight.quant_state.quant_type, layer.weight.quant_state.nested) for layer in packed} == {
        ("nf4", True)
    }
    assert len(packed) == 7
    for _ in range(2):
        answer(model, tokenizer)
        take_step(model, tokenizer)
    plain = unquantise_model(model, recipe)
    assert not [layer for layer in plain.modules() if isinstance(layer, bnb.nn.Linear4bit)]
    change = np.abs(answer(plain, tokenizer) - answer(model, tokenizer)).max()
    assert 0 < change < 0.1
    assert trainable_state(plain).keys() == trainable_state(model).keys()


@pytest.mark.parametrize("method", METHODS)
def test_trained_weights_come_back(method: str) -> None:
    recipe = make_recipe(method=method)
    model, tokenizer = build(recipe)
    first, state = answer(model, tokenizer), trainable_state(model)
    take_step(model, tokenizer)
    assert np.abs(answer(model, tokenizer) - first).max() > 1e-3
    load_trainable(model, state)
    assert np.array_equal(answer(model, tokenizer), first)
    other, _ = build(recipe, seed=2)
    load_trainable(other, state)
    assert np.abs(answer(other, tokenizer) - first).max() < (0.1 if method == "qlora" else 1e-6)


def test_trained_weights_of_another_model_are_refused() -> None:
    model, _ = build(make_recipe())
    for other in (make_recipe(method="full"), make_recipe(lora_r=2), make_recipe("roberta")):
        with pytest.raises(ModelError, match="trained weights are another model's, the first base_model"):
            load_trainable(model, trainable_state(build(other)[0]))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A Hub on this machine, asked instead of the real one; the client keeps what it pulls in a cache of its own."""
    from huggingface_hub import constants
    from huggingface_hub.utils import reset_sessions

    with pytest.MonkeyPatch.context() as patch, HubServer() as server:
        patch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        patch.setattr(bases, "pull_snapshot", partial(pull_snapshot, endpoint=server.url))
        reset_sessions()
        yield server
    reset_sessions()


def make_classifier(folder: Path, names: Sequence[str], architecture: str = "bert") -> dict[str, bytes]:
    """Return the files of a tiny published classifier whose outputs have ``names`` in this order."""
    write_tiny(architecture, folder)
    config = AutoConfig.from_pretrained(folder)
    config.update({"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}})
    torch.manual_seed(5)
    model = AutoModelForSequenceClassification.from_pretrained(folder, config=config)
    nn.init.normal_(find_last(model)[1].bias) if find_last(model)[1].bias is not None else None
    model.save_pretrained(folder)
    return read_bytes(folder)


def publish(
    hub: HubServer, name: str, files: dict[str, bytes], architecture: str = "bert", **changes: object
) -> Recipe:
    revision = hub.add(name, files)
    return replace(make_recipe(architecture), base=name, revision=revision, **changes)


ORDERS = [
    ("positive", "negative", "neutral"),  # ProsusAI/finbert
    ("Positive", "Negative", "Neutral"),
    ("NEUTRAL", "Positive", "negative"),
    ("negative", "neutral", "positive"),
]


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta", "mpnet", "qwen2"])
@pytest.mark.parametrize("names", ORDERS, ids="-".join)
def test_a_base_with_our_classes_keeps_its_head_moved_by_name(
    hub: HubServer, tmp_path: Path, names: tuple[str, ...], architecture: str
) -> None:
    files = make_classifier(tmp_path / "base", names, architecture)
    recipe = publish(hub, f"made/{architecture}-{'-'.join(names)}", files, architecture, encoder_dropout=0.1)
    original = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    model, tokenizer = load_base(recipe)
    original.config.pad_token_id = tokenizer.pad_token_id
    columns = [names.index(next(name for name in names if name.lower() == label)) for label in LABELS]
    expected = answer(original, tokenizer)[:, columns]
    assert np.abs(answer(model, tokenizer) - expected).max() < 1e-6
    assert np.ptp(expected, axis=1).max() > 0.05, "the classes must differ, or no order can be seen"
    labelled = load_labelled_base(recipe)
    assert labelled is not None
    assert labelled[2] == tuple(columns)
    assert np.abs(answer(labelled[0], labelled[1])[:, columns] - expected).max() < 1e-6


def test_an_adapter_on_a_labelled_base_is_loaded_as_it_was_trained(hub: HubServer, tmp_path: Path) -> None:
    recipe = publish(hub, "made/finbert", make_classifier(tmp_path / "base", ORDERS[0]))
    model, tokenizer = build(recipe)
    assert np.abs(answer(model, tokenizer) - answer(load_base(recipe)[0], tokenizer)).max() < 1e-6
    take_step(model, tokenizer)
    loaded, theirs, _ = load_run(save_run(model, tokenizer, recipe, tmp_path / "run"))
    assert np.abs(answer(loaded, theirs) - answer(model, tokenizer)).max() < 1e-5


@pytest.mark.parametrize(
    "names", [("LABEL_0", "LABEL_1", "LABEL_2"), tuple("abcde"), ("bearish", "neutral", "bullish")]
)
def test_a_base_with_other_classes_gets_a_new_head(hub: HubServer, tmp_path: Path, names: tuple[str, ...]) -> None:
    files = make_classifier(tmp_path / "base", names)
    recipe = publish(hub, f"made/other-{names[0].lower()}", files)
    theirs = load_file(tmp_path / "base" / "model.safetensors")["classifier.weight"]
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        heads.append(find_last(load_base(recipe)[0])[1])
    assert heads[0].weight.shape == (3, 32)
    assert torch.equal(heads[0].weight, heads[1].weight)
    assert not torch.equal(heads[0].weight, heads[2].weight)
    assert not torch.equal(heads[0].weight, theirs[:3])
    assert heads[0].bias.abs().max() == 0
    assert load_labelled_base(recipe) is None


def test_an_untrained_base_has_no_answer_without_training() -> None:
    assert load_labelled_base(make_recipe()) is None


def test_a_base_without_tokenizer_json_is_read_from_its_own_files(hub: HubServer, tmp_path: Path) -> None:
    """vocab.txt, as FinBERT has it, and spm.model, as DeBERTa-v3 has it."""
    import sentencepiece

    write_tiny("bert", tmp_path / "bert")
    vocabulary = json.loads((tmp_path / "bert" / "tokenizer.json").read_text())["model"]["vocab"]
    files = {name: (tmp_path / "bert" / name).read_bytes() for name in ("config.json", "model.safetensors")}
    files["vocab.txt"] = "\n".join(vocabulary).encode()
    _, tokenizer = load_base(publish(hub, "made/words", files))
    assert tokenizer(["up"], ["acme"])["input_ids"] == load_base(make_recipe())[1](["up"], ["acme"])["input_ids"]
    assert_saves_without_them(tokenizer, tmp_path / "words")

    write_tiny("deberta-v2", tmp_path / "deberta")
    (tmp_path / "lines.txt").write_text("profit rises while the loss falls and shares jump\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "lines.txt"),
        model_prefix=str(tmp_path / "spm"),
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        pad_piece="[PAD]",
        bos_piece="[CLS]",
        eos_piece="[SEP]",
        unk_piece="[UNK]",
    )
    files = {name: (tmp_path / "deberta" / name).read_bytes() for name in ("config.json", "model.safetensors")}
    files["spm.model"] = (tmp_path / "spm.model").read_bytes()
    files["tokenizer_config.json"] = json.dumps({"do_lower_case": False, "vocab_type": "spm"}).encode()
    model, tokenizer = load_base(publish(hub, "made/pieces", files, "deberta-v2"))
    assert tokenizer.convert_ids_to_tokens(tokenizer(["profit"], ["loss"])["input_ids"][0])[0] == "[CLS]"
    assert answer(model, tokenizer).shape == (len(TEXTS), 3)
    assert_saves_without_them(tokenizer, tmp_path / "pieces")


def assert_saves_without_them(tokenizer, folder: Path) -> None:  # noqa: ANN001
    expected = tokenizer(TEXTS, TARGETS)["input_ids"]
    recipe = make_recipe(method="full")
    save_run(build(recipe)[0], tokenizer, recipe, folder)
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    assert load_run(folder)[1](TEXTS, TARGETS)["input_ids"] == expected


def spoil_config(files: dict[str, bytes], **changes: object) -> None:
    files["config.json"] = json.dumps({**json.loads(files["config.json"]), **changes}).encode()


def drop_layer(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.safetensors"
        path.write_bytes(files["model.safetensors"])
        kept = {name: value.clone() for name, value in load_file(path).items() if "attention.self.query" not in name}
        save_file(kept, path, metadata={"format": "pt"})
        files["model.safetensors"] = path.read_bytes()


REFUSALS: list[tuple[str, Callable[[dict[str, bytes]], object], dict[str, object], str]] = [
    (
        "other kind",
        lambda files: None,
        {"architecture": "roberta"},
        "architecture is 'roberta'; made/.* has model_type 'bert'",
    ),
    (
        "pickled weights",
        lambda files: files.update({"pytorch_model.bin": files.pop("model.safetensors")}),
        {},
        "base made/.* at .*: no model.safetensors; expected weights stored as safetensors",
    ),
    ("code", lambda files: spoil_config(files, auto_map={"AutoModel": "code.Model"}), {}, "config.json has auto_map"),
    ("other weights", lambda files: None, {"weight_sha256": "0" * 64}, "SHA-256 .*; expected 000000000000..."),
    ("half a model", drop_layer, {}, "2 weights of the encoder are missing, the first bert.encoder.layer.0"),
    ("no tokenizer", lambda files: [files.pop(name) for name in list(files) if "token" in name], {}, "no tokenizer"),
    ("damaged", lambda files: files.update({"model.safetensors": b"\x08"}), {}, "base made/.* cannot be loaded"),
    ("no such commit", lambda files: None, {"revision": ABSENT}, f"made/.* at {ABSENT}: cannot be pulled from"),
    (
        "too long",
        lambda files: spoil_config(files, max_position_embeddings=48),
        {},
        "max_length is 64; the base takes 48",
    ),
]


@pytest.mark.parametrize(("name", "spoil", "changes", "message"), REFUSALS, ids=[case[0] for case in REFUSALS])
def test_a_base_that_is_not_what_the_recipe_says_is_refused_in_one_line(
    hub: HubServer, tmp_path: Path, name: str, spoil: Callable, changes: dict[str, object], message: str
) -> None:
    write_tiny("bert", tmp_path)
    files = read_bytes(tmp_path)
    spoil(files)
    recipe = replace(publish(hub, f"made/{name.replace(' ', '-')}", files), **changes)
    with pytest.raises(ModelError, match=message) as refusal:
        build(recipe)
    assert "\n" not in str(refusal.value)


def test_an_encoder_that_lacks_its_pooler_trains_it_whole(hub: HubServer, tmp_path: Path) -> None:
    write_tiny("bert", tmp_path / "base")
    path = tmp_path / "base" / "model.safetensors"
    save_file(
        {name: value.clone() for name, value in load_file(path).items() if "pooler" not in name},
        path,
        metadata={"format": "pt"},
    )
    recipe = publish(hub, "made/headless", read_bytes(tmp_path / "base"))
    model, tokenizer = build(recipe)
    take_step(model, tokenizer)
    loaded, theirs, _ = load_run(save_run(model, tokenizer, recipe, tmp_path / "run"))
    assert np.abs(answer(loaded, theirs) - answer(model, tokenizer)).max() < 1e-5


def write(run: Path, name: str, content: object) -> None:
    (run / name).write_text(json.dumps(content))
    reseal(run)


def zero_weights(run: Path) -> None:
    path = run / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-64] + bytes(64))


def tear_weights(run: Path) -> None:
    path = run / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-64])
    reseal(run)


def drop_head(run: Path) -> None:
    path = run / "adapter_model.safetensors"
    save_file({name: value for name, value in load_file(path).items() if "lora" in name}, path, {"format": "pt"})
    reseal(run)


RUN_REFUSALS: list[tuple[str, Callable[[Path], object], str]] = [
    ("no weights", lambda run: (run / "adapter_model.safetensors").unlink(), "adapter_model.safetensors is missing"),
    ("no provenance", lambda run: (run / "provenance.json").unlink(), "provenance.json is missing"),
    ("no base", lambda run: write_provenance(run, {}), "base is None; expected its id and revision"),
    ("no hashes", lambda run: (run / "provenance.json").write_text("{}"), "no table of files; expected the SHA-256"),
    ("zeroed weights", zero_weights, "adapter_model.safetensors has SHA-256"),
    ("unsealed weights", lambda run: (run / "model.safetensors").write_bytes(b""), "no SHA-256 of model.safetensors"),
    ("a pickle", lambda run: (run / "adapter_model.bin").write_bytes(b""), "may hold pickled code"),
    ("no length", lambda run: write(run, "tokenizer_config.json", {}), "model_max_length is None"),
    ("no tokenizer", lambda run: write(run, "tokenizer.json", {}), "run: cannot be loaded: "),
    ("no adapter", lambda run: write(run, "adapter_config.json", {}), "run: cannot be loaded: 'peft_type'"),
    ("torn weights", tear_weights, "run: cannot be loaded: "),
    ("no head", drop_head, "run: cannot be loaded: "),
    (
        "other order",
        lambda run: write(run, "config.json", {"id2label": {"0": "positive", "1": "neutral"}}),
        "id2label is .*; expected negative, neutral, positive in this order",
    ),
]


@pytest.mark.parametrize(("name", "spoil", "message"), RUN_REFUSALS, ids=[case[0] for case in RUN_REFUSALS])
def test_a_run_folder_that_cannot_be_trusted_is_refused(
    tmp_path: Path, name: str, spoil: Callable, message: str
) -> None:
    recipe = make_recipe()
    folder = save_run(*build(recipe), recipe, tmp_path / "run")
    spoil(folder)
    with pytest.raises(ModelError, match=message) as refusal:
        load_run(folder)
    assert "\n" not in str(refusal.value)


def test_a_run_from_before_architectures_were_named_is_a_bert(tmp_path: Path) -> None:
    recipe = make_recipe()
    model, tokenizer = build(recipe)
    folder = save_run(model, tokenizer, recipe, tmp_path / "run")
    provenance = read_json(folder / "provenance.json")
    del provenance["base"]["architecture"]
    write_provenance(folder, provenance)
    found, tokenizer, length = load_run(folder)
    np.testing.assert_allclose(answer(found, tokenizer, length), answer(model, tokenizer, length), atol=1e-5)


def test_a_run_that_was_trained_with_marks_reads_with_marks(tmp_path: Path) -> None:
    recipe = make_recipe(mark_company=True)
    folder = save_run(*build(recipe), recipe, tmp_path / "run")
    rows = [
        Example("profit at Acme falls", "Acme", 0, None, "sentfin"),
        Example("profit falls", "", 0, None, "twitter"),
    ]
    found = encode_examples(rows, load_run(folder)[1], 64)
    plain = build(make_recipe())[1]
    by_hand = [replace(rows[0], text="profit at * Acme * falls"), rows[1]]
    assert found == encode_examples(by_hand, plain, 64) != encode_examples(rows, plain, 64)
    assert json.loads((folder / "tokenizer_config.json").read_text())["mark_company"] is True
