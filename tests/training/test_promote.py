"""Promotion: only a challenger that is better for certain, nowhere worse, and honestly tested is pinned.

The contestants are tiny models taught to read the made texts: the sign is in the first words, and what is said of Bolt
is always neutral. The champion takes bad news for neutral where no company is named.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import load_settings
from pipeline.errors import ModelError, PipelineError
from pipeline.export import export_model
from pipeline.model_folder import hash_file, read_json, write_provenance
from pipeline.text import LABELS
from tests.hub_server import HubServer
from tests.pipeline.conftest import hub_cache
from tests.pipeline.made_model import (
    FACTS,
    MAX_LENGTH,
    MEASURES,
    make_base,
    make_run,
    make_tokenizer,
    seal_run,
    write_parity_set,
)
from tests.sample import read_settings
from training import promote as promote_line
from training.__main__ import main
from training.data import Example
from training.promote import Condition, Promotion, PromotionError, judge_labels, pin_adapter, promote, read_test_rows
from training.promotion_table import format_markdown, format_promotion
from training.readers import LocalFolder

from .conftest import SIGNS, WORDS

cache = hub_cache
Reading = Callable[[str, str], str]
Pair = tuple[str, str]
SIGN_OF = {words: name for name, words in SIGNS.items()}
TARGETS = ("", "Acme", "Bolt")
PAIRS = [(f"{words} {WORDS[i]} {WORDS[i + 7]}", target) for i in range(10) for words in SIGN_OF for target in TARGETS]
KEYS = ("losses", "meeting", "profit", "acme", "bolt")
SETTINGS = read_settings()
COMMIT, DIGEST = "c" * 40, "d" * 64


def read_well(text: str, target: str) -> str:
    return "neutral" if target == "Bolt" else SIGN_OF[" ".join(text.split()[:2])]


def read_as_champion(text: str, target: str) -> str:
    label = read_well(text, target)
    return "neutral" if label == "negative" and not target else label


def read_without_target(text: str, target: str) -> str:
    return read_well(text, "")


@dataclass(frozen=True)
class Contest:
    """The champion as exported, the Hub its challengers are on, and the file that pins."""

    hub: HubServer
    champion: Path
    settings: Path
    parity_set: Path
    data: LocalFolder
    fingerprint: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("promote")


@pytest.fixture(scope="module")
def hub(cache: None) -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def fingerprint(mini_data: LocalFolder) -> str:
    return read_test_rows(mini_data)[1]


@pytest.fixture(scope="module")
def champion(place: Path, hub: HubServer, fingerprint: str) -> Path:
    """The champion's model folder."""
    run = teach_run(place / "champion-seed1", read_as_champion, fingerprint)
    parity_set = write_parity_set(place / "parity_set.csv", PAIRS)
    return export_model(run, None, place / "champion", parity_set, hub.url).folder


@pytest.fixture(scope="module")
def good(place: Path, hub: HubServer, fingerprint: str) -> str:
    """The revision of made/good, which reads everything as it is meant."""
    return hub.add("made/good", teach_run(place / "good-seed1", read_well, fingerprint))


@pytest.fixture
def contest(tmp_path: Path, hub: HubServer, champion: Path, mini_data: LocalFolder, fingerprint: str) -> Contest:
    settings = tmp_path / "settings.toml"
    settings.write_text(SETTINGS)
    return Contest(hub, champion, settings, champion.parent / "parity_set.csv", mini_data, fingerprint)


def make_config(vocab_size: int, **more: Any) -> Any:
    """Return the shape of a one-layer BERT; ``more`` is what else its configuration says."""
    from transformers import BertConfig

    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
        **more,
    )


def teach_run(folder: Path, reading: Reading, fingerprint: str, seed: int = 1) -> Path:
    """Write a run folder of a whole one-layer model that has learnt ``reading``."""
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(seed)
    names = dict(enumerate(LABELS))
    words = [*WORDS, *" ".join(SIGN_OF).split(), "acme", "bolt"]
    tokenizer = make_tokenizer(words)
    config = make_config(
        len(tokenizer),
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        id2label=names,
        label2id={name: i for i, name in names.items()},
    )
    model = BertForSequenceClassification(config).eval()
    pay_attention(model, tokenizer.convert_tokens_to_ids(["[CLS]", *KEYS]))
    fit_head(model, tokenizer, PAIRS, [LABELS.index(reading(*pair)) for pair in PAIRS])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "recipe.toml").write_text('name = "made"\n\n[repeats]\ntwitter = 1\n')
    (folder / "metrics.json").write_text(json.dumps(MEASURES))
    base = {"id": "random:bert", "revision": "", "weight_sha256": ""}
    write_provenance(folder, {**FACTS, "base": base, "splits": {**FACTS["splits"], "test": fingerprint}})
    return folder


def pay_attention(model, keys: Sequence[int]) -> None:  # noqa: ANN001
    """Let the first token see the token ids ``keys``, wherever they stand, and no other."""
    import torch

    embeddings, attention = model.bert.embeddings, model.bert.encoder.layer[0].attention.self
    with torch.no_grad():
        for table in (embeddings.position_embeddings, embeddings.token_type_embeddings, attention.query, attention.key):
            table.weight.zero_()
        is_key = torch.zeros(len(embeddings.word_embeddings.weight), 1)
        is_key[list(keys)] = 1
        embeddings.word_embeddings.weight.mul_(is_key)
        attention.value.weight.copy_(8 * torch.eye(32))


def fit_head(model, tokenizer, pairs: Sequence[Pair], labels: Sequence[int]) -> None:  # noqa: ANN001
    """Fit the last layer until every pair is read as labelled; the encoder stays as it was drawn."""
    import torch

    inputs = tokenizer([text for text, _ in pairs], [target for _, target in pairs], padding=True, return_tensors="pt")
    assert inputs["input_ids"].shape[1] <= MAX_LENGTH
    wanted = torch.tensor(labels)
    with torch.no_grad():
        features = model.bert(**inputs).pooler_output
    optimizer = torch.optim.LBFGS(model.classifier.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        weight = model.classifier.weight
        loss = torch.nn.functional.cross_entropy(model.classifier(features), wanted) + 1e-4 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(step)
    assert (model.classifier(features).argmax(dim=1) == wanted).all()


def enter(contest: Contest, challenger: str | Path, revision: str | None, dry_run: bool = False):  # noqa: ANN201
    return promote(
        challenger,
        revision,
        contest.settings,
        contest.champion,
        contest.data,
        endpoint=contest.hub.url,
        dry_run=dry_run,
        parity_set=contest.parity_set,
    )


def failed(promotion) -> list[str]:  # noqa: ANN001
    return [condition.name for condition in promotion.conditions if condition.is_met is False]


def test_a_better_challenger_is_pinned_and_nothing_else_changes(contest: Contest, good: str) -> None:
    promotion = enter(contest, "made/good", good)
    assert promotion.is_accepted
    pinned = load_settings(contest.settings).adapter
    assert (pinned.repository, pinned.revision) == ("made/good", good)
    assert pinned.sha256 == hashlib.sha256(contest.hub.files("made/good", good)["provenance.json"]).hexdigest()
    before, after = SETTINGS.splitlines(), contest.settings.read_text().splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [new.split("=")[0].strip() for _, new in changed] == ["repository", "revision", "sha256"]
    assert [old.partition("#")[2] for old, _ in changed] == [new.partition("#")[2] for _, new in changed]
    text = format_promotion(promotion)
    assert text.count("pass") == len(promotion.conditions) == 10
    assert text.endswith(f"pinned in {contest.settings}; put it to use: python -m pipeline export-model")


def test_a_challenger_that_reads_like_the_champion_is_refused(contest: Contest, place: Path) -> None:
    run = teach_run(place / "equal-seed2", read_as_champion, contest.fingerprint, seed=2)
    promotion = enter(contest, "made/equal", contest.hub.add("made/equal", run))
    assert failed(promotion) == ["macro-F1"]
    assert contest.settings.read_text() == SETTINGS
    assert "FAIL  macro-F1 " in format_promotion(promotion)


def test_a_challenger_that_loses_one_source_is_refused_however_good_it_is(contest: Contest, place: Path) -> None:
    run = teach_run(place / "losing-seed1", read_without_target, contest.fingerprint)
    promotion = enter(contest, "made/losing", contest.hub.add("made/losing", run))
    assert failed(promotion) == ["macro-F1, sentfin"]
    assert contest.settings.read_text() == SETTINGS


def test_a_challenger_that_the_export_bends_is_refused(contest: Contest, place: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", blind_to_first=True)
    run = make_run(tmp_path / "run", base)
    splits = {**FACTS["splits"], "test": contest.fingerprint}
    origin = {"id": "made/bent", "revision": COMMIT, "weight_sha256": hash_file(base / "model.safetensors")}
    seal_run(run, base, splits=splits, base=origin)
    contest.hub.add("made/bent", base, revision=COMMIT)
    revision = contest.hub.add("made/bent-adapter", run)
    made_parity_set = write_parity_set(tmp_path / "parity_set.csv")
    promotion = promote(
        "made/bent-adapter",
        revision,
        contest.settings,
        contest.champion,
        contest.data,
        endpoint=contest.hub.url,
        parity_set=made_parity_set,
    )
    assert failed(promotion) == ["export gate"]
    assert "keep their label, expected 99.3%" in format_promotion(promotion)
    assert [condition.figures for condition in promotion.conditions if condition.is_met is None] == ["not measured"]
    assert contest.settings.read_text() == SETTINGS


def test_a_challenger_split_otherwise_is_refused_unmeasured(contest: Contest, place: Path) -> None:
    run = teach_run(place / "foreign-seed1", read_well, "0" * 64)
    promotion = enter(contest, "made/foreign", contest.hub.add("made/foreign", run))
    assert failed(promotion) == ["challenger's test rows"]
    assert f"fingerprint {'0' * 12}, ours {contest.fingerprint[:12]}" in format_promotion(promotion)
    assert {one.name for one in promotion.conditions if one.is_met is None} == {"export gate", "macro-F1"}
    assert contest.settings.read_text() == SETTINGS


@pytest.mark.parametrize(("splits", "is_met"), [({"test": "0" * 64}, False), ({}, True)], ids=["foreign", "unrecorded"])
def test_a_champion_split_otherwise_is_no_measure(
    contest: Contest, good: str, tmp_path: Path, splits: dict[str, str], is_met: bool
) -> None:
    champion = Path(shutil.copytree(contest.champion, tmp_path / "champion"))
    write_provenance(champion, {**read_json(champion / "provenance.json"), "splits": splits})
    promotion = promote(
        "made/good",
        good,
        contest.settings,
        champion,
        contest.data,
        endpoint=contest.hub.url,
        dry_run=True,
        parity_set=contest.parity_set,
    )
    assert {one.name: one.is_met for one in promotion.conditions}["champion's test rows"] is is_met
    assert promotion.is_accepted is is_met


def test_the_champion_itself_is_refused(contest: Contest, good: str, tmp_path: Path) -> None:
    report = export_model("made/good", good, tmp_path / "model", contest.parity_set, contest.hub.url)
    promotion = promote(
        "made/good", good, contest.settings, report.folder, contest.data, endpoint=contest.hub.url, dry_run=True
    )
    assert failed(promotion) == ["another model"]


def test_a_champion_that_was_pinned_but_never_exported_has_to_be_beaten_first(contest: Contest, good: str) -> None:
    pin_adapter(contest.settings, "made/unexported", "9" * 40, DIGEST)
    before = contest.settings.read_bytes()
    promotion = enter(contest, "made/good", good)
    assert failed(promotion) == ["champion is in use"]
    assert contest.settings.read_bytes() == before


def test_the_champion_is_the_model_in_use_unless_another_is_named(
    contest: Contest, good: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pinned and exported, it is compared with; pinned and not exported, one line says what to do."""
    pin_adapter(contest.settings, "made/good", good, DIGEST)
    found = tmp_path / "models" / good
    monkeypatch.setattr(promote_line, "find_model", lambda settings: found)
    run = teach_run(place / "late-seed1", read_as_champion, contest.fingerprint, seed=3)
    arguments = (run, None, contest.settings, None, contest.data)
    with pytest.raises(PromotionError, match=rf"\[adapter\] pins {good}, but its model is not in .*; export it: "):
        promote(*arguments, dry_run=True)
    export_model("made/good", good, found, contest.parity_set, contest.hub.url)
    promotion = promote(*arguments, dry_run=True, endpoint=contest.hub.url, parity_set=contest.parity_set)
    assert promotion.champion == found
    assert "macro-F1" in failed(promotion)


@pytest.mark.parametrize(("name", "is_accepted"), [("good", True), ("equal", False)])
def test_the_verb_writes_the_table_and_the_verdict_whatever_it_is(
    name: str,
    is_accepted: bool,
    contest: Contest,
    good: str,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reading = {"good": read_well, "equal": read_as_champion}[name]
    run = place / f"{name}-seed1" if name == "good" else teach_run(place / "same-seed2", reading, contest.fingerprint)
    monkeypatch.setattr(promote_line, "PARITY_SET", contest.parity_set)
    monkeypatch.setattr("training.__main__.open_data", lambda: contest.data)
    table, verdict = tmp_path / "new" / "report.md", tmp_path / "outputs"
    options = ["--settings", str(contest.settings), "--champion", str(contest.champion), "--dry-run"]
    options += ["--table", str(table)]
    assert main(["promote", str(run), *options, "--verdict-file", str(verdict)]) == 0
    assert verdict.read_text() == f"accepted={str(is_accepted).lower()}\n"
    lines = table.read_text().splitlines()
    shown = [line for line in capsys.readouterr().out.splitlines() if line[:4].strip() in ("pass", "FAIL", "-")]
    assert lines[:2] == ["| | condition | figures |", "| --- | --- | --- |"]
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:-2]] == [line.split()[0] for line in shown]
    assert len(shown) == 10
    assert main(["promote", str(run), *options]) == (0 if is_accepted else 1)


def test_no_name_in_the_table_is_more_than_text(contest: Contest) -> None:
    condition = Condition("a | b", "<img src=x> @everyone [a](http://b.example)", False)
    name = "made/a`b\n## heading"
    text = format_markdown(Promotion(name, COMMIT, contest.champion, contest.settings, (condition,), False))
    (row,) = [line for line in text.splitlines() if "FAIL" in line]
    assert row.replace("\\|", "").count("|") == 4
    for live in ("<img", "@everyone", "[a](", "a`b", "\n#"):
        assert live not in text


def test_a_run_folder_may_be_compared_but_not_pinned(contest: Contest, good: str, place: Path) -> None:
    promotion = enter(contest, place / "good-seed1", None, dry_run=True)
    assert promotion.is_accepted
    assert "dry run: " in format_promotion(promotion)
    with pytest.raises(PromotionError, match=r"good-seed1: a run folder can only be compared \(--dry-run\)"):
        enter(contest, place / "good-seed1", None)
    assert contest.settings.read_text() == SETTINGS


def test_a_dry_run_writes_nothing(contest: Contest, good: str) -> None:
    assert enter(contest, "made/good", good, dry_run=True).is_accepted
    assert contest.settings.read_text() == SETTINGS


@pytest.mark.parametrize("revision", ["main", "c" * 39, COMMIT.upper()])
def test_only_a_commit_can_be_pinned(contest: Contest, revision: str) -> None:
    with pytest.raises(ModelError, match="expected a commit of 40 hex digits, not a branch or tag"):
        enter(contest, "made/good", revision)
    assert contest.settings.read_text() == SETTINGS


def test_a_repository_without_a_revision_is_asked_for_it(contest: Contest) -> None:
    with pytest.raises(PromotionError, match="made/good: no folder here, and --revision is missing"):
        enter(contest, "made/good", None)


def test_a_challenger_out_of_reach_is_an_error_and_no_verdict(contest: Contest) -> None:
    contest.hub.add("made/secret", {"config.json": b"{}"}, revision=COMMIT, private=True)
    for name in ("made/secret", "made/absent"):
        with pytest.raises(ModelError, match=f"{name} at c+: cannot be pulled from {contest.hub.url}"):
            enter(contest, name, COMMIT)
    assert contest.settings.read_text() == SETTINGS


@pytest.mark.parametrize("margin", [-0.01, 1.01, float("nan")])
def test_an_impossible_margin_is_refused(contest: Contest, margin: float) -> None:
    with pytest.raises(PromotionError, match="--margin is .*; expected a number from 0 to 1"):
        promote("made/good", COMMIT, contest.settings, contest.champion, contest.data, margin)


@pytest.mark.parametrize(
    ("wrong_count", "margin", "is_met"),
    [(0, 0.0, True), (1, 0.0, False), (1, 0.04, True), (2, 0.04, False)],
)
def test_a_source_may_lose_no_more_than_the_margin(wrong_count: int, margin: float, is_met: bool) -> None:
    """One wrong of 30 neutral rows costs 0.033 of macro-F1: neutral 58/59, negative 60/61."""
    labels = np.repeat([0, 1, 2], 30)
    rows = [Example(str(i), "", int(label), None, "twitter", "") for i, label in enumerate(labels)]
    challenger = labels.copy()
    challenger[30 : 30 + 3 * wrong_count] = 0
    (_, source) = judge_labels(rows, challenger, labels, margin)
    assert (source.name, source.is_met) == ("macro-F1, twitter", is_met)


@pytest.mark.parametrize(("rows_each", "is_met"), [(1, True), (20, False)])
def test_many_rows_of_few_headlines_are_no_proof(rows_each: int, is_met: bool) -> None:
    """120 rows, and the challenger mends 12 of them: 12 headlines are enough, the rows of one headline are not."""
    labels = np.arange(120) // rows_each % 3
    rows = [Example(f"text {i // rows_each}", str(i), int(labels[i]), None, "twitter") for i in range(120)]
    champion = np.where(np.arange(120) < 12, (labels + 1) % 3, labels)
    overall = next(judge_labels(rows, labels, champion, 0.01))
    assert (overall.name, overall.is_met) == ("macro-F1", is_met)


def test_settings_without_the_table_get_one_and_keep_their_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    old = SETTINGS[: SETTINGS.index("[adapter]")] + SETTINGS[SETTINGS.index("[sessions]") :]
    path.write_bytes(old.replace("\n", "\r\n").encode())
    pin_adapter(path, "made/good", COMMIT, DIGEST)
    assert path.read_bytes().startswith(old.replace("\n", "\r\n").encode())
    assert load_settings(path).adapter.revision == COMMIT


def test_settings_are_never_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "settings.toml"
    path.write_text(SETTINGS)
    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(OSError, match="No space left"):
        pin_adapter(path, "made/good", COMMIT, DIGEST)
    assert path.read_text() == SETTINGS


def test_damaged_settings_are_refused_before_anything_is_pulled(contest: Contest) -> None:
    contest.settings.write_text(SETTINGS.replace("[fetch]", "[fetch"))
    before = len(contest.hub.requests)
    with pytest.raises(PipelineError, match="not valid TOML"):
        enter(contest, "made/good", COMMIT)
    assert len(contest.hub.requests) == before
