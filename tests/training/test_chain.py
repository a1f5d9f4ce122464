"""What a recipe builds on is made first, once, by the recipes of that name; what cannot be made is refused before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("pyarrow", reason="headlines are Parquet files, which pyarrow reads")

from pipeline.errors import ModelError, PipelineError  # noqa: E402
from pipeline.model_folder import hash_file, read_json, write_provenance  # noqa: E402
from tests.training.conftest import CORPUS, ENCODER, WORDS  # noqa: E402
from training import __main__ as command_line  # noqa: E402
from training import chain, pretrain  # noqa: E402
from training import train as training_line  # noqa: E402
from training.chain import Step, build_prerequisites, list_steps  # noqa: E402
from training.data import load_examples  # noqa: E402
from training.encoder_recipe import format_encoder  # noqa: E402
from training.model import build_model, load_run  # noqa: E402
from training.narrow import narrow_model  # noqa: E402
from training.pretrain import pretrain_encoder  # noqa: E402
from training.readers import LocalFolder  # noqa: E402
from training.recipe import Recipe, format_recipe, load_recipe  # noqa: E402
from training.rows import read_rows  # noqa: E402
from training.run_folder import describe_run  # noqa: E402
from training.steps import TrainingError  # noqa: E402
from training.train import train_recipe  # noqa: E402
from training.unfinished import list_facts  # noqa: E402

PROJECT = Path(__file__).parents[2]
SMOKE = replace(load_recipe(PROJECT / "training" / "recipes" / "smoke.toml"), train_limit=64, epochs=1, method="full")
TEACHER = replace(SMOKE, name="teacher", base="encoder:runs/wire", written_rows=5, flip_share=0.5)
STUDENT = replace(
    TEACHER,
    name="student",
    teachers=["runs/teacher-seed42", "runs/teacher-seed43"],
    teacher_weight=0.5,
    state_weight=1.0,
    unlabelled={CORPUS: 20},
)


@pytest.fixture(autouse=True)
def work_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes of a project of our own, whose folders are relative to where the command runs."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    for folder in ("encoders", "recipes"):
        (tmp_path / "home" / folder).mkdir(parents=True)
    (tmp_path / "home/encoders/wire.toml").write_text(format_encoder(ENCODER))
    (tmp_path / "home/recipes/teacher.toml").write_text(format_recipe(TEACHER))
    (tmp_path / "home/recipes/student.toml").write_text(format_recipe(STUDENT))
    monkeypatch.setattr(chain, "HOME", Path("home"))


@pytest.fixture(scope="module")
def data(corpus_root: Path) -> LocalFolder:
    return LocalFolder(corpus_root)


def test_a_student_is_trained_from_nothing_but_data(
    data: LocalFolder, corpus_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINANCIAL_SENTIMENT_DATA", str(corpus_root))
    assert command_line.main(["train", "home/recipes/student.toml"]) == 0
    assert {path.name for path in Path("runs").iterdir()} == {
        "wire", "teacher-seed42", "teacher-seed43", "student-seed42"
    }  # fmt: skip
    printed = capsys.readouterr().out
    for made in ("runs/wire", "runs/teacher-seed42", "runs/teacher-seed43"):
        assert printed.count(f"builds on {made}: making it by") == 1
    found = json.loads(Path("runs/student-seed42/provenance.json").read_text())
    assert found["base"]["id"] == "random:bert"
    assert found["encoder"]["base"] == found["base"]
    assert [found["encoder"]["corpus"]["file"], *found["unlabelled"]] == [CORPUS, CORPUS]
    assert [teacher["licence"] for teacher in found["teachers"]] == ["cc-by-nc-sa-3.0"] * 2
    assert len({teacher["sha256"] for teacher in found["teachers"]}) == 2
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}
    build_prerequisites(STUDENT, data)
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")} == before
    assert command_line.main(["train", "home/recipes/student.toml"]) == 2
    assert "student-seed42 exists" in capsys.readouterr().err


def test_a_recipe_goes_on_from_a_run_with_its_head_and_fewer_neurons(data: LocalFolder) -> None:
    start = replace(STUDENT, name="start", teachers=["runs/teacher-seed42"])
    Path("home/recipes/start.toml").write_text(format_recipe(start))
    recipe = replace(SMOKE, name="further", base="run:runs/start-seed43", intermediate_size=16)
    build_prerequisites(recipe, data)
    whole, _, _ = load_run(Path("runs/start-seed43"))
    model, tokenizer = build_model(recipe)
    torch.testing.assert_close(model.state_dict(), whole.state_dict(), rtol=0, atol=0)
    narrow_model(model, tokenizer, recipe, load_examples(data))
    assert model.config.intermediate_size == 16
    folder = train_recipe(recipe, data, Path("runs"))
    assert load_run(folder)[0].config.intermediate_size == 16
    found, before = (read_json(one / "provenance.json") for one in (folder, Path("runs/start-seed43")))
    assert found["start"]["sha256"] == hash_file(Path("runs/start-seed43/provenance.json"))
    assert found["base"] == found["start"]["base"] == before["base"]
    assert found["start"]["licence"] == "cc-by-nc-sa-3.0"
    assert (before["start"], found["encoder"]) == (None, None)
    assert "zero_shot" not in read_json(folder / "metrics.json")["test"]["baselines"]


def test_a_student_meets_rows_in_other_words_if_its_teacher_has_words(
    data: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(STUDENT, teachers=["runs/teacher-seed42"], unlabelled={}, reworded_rows=20)
    build_prerequisites(recipe, data)
    with pytest.raises(ModelError, match="reworded_rows: runs/teacher-seed42 has 0 whole words; expected more than 12"):
        train_recipe(recipe, data, Path("runs"))
    monkeypatch.setattr(training_line, "read_near_words", lambda folder: {word: WORDS for word in WORDS})
    monkeypatch.setattr("training.reword.SHARES", (1.0,))
    counts = [
        read_json(train_recipe(replace(recipe, name=f"with-{count}", reworded_rows=count), data, Path("runs"))
        / "metrics.json")["train_count"]
        for count in (0, 20)
    ]  # fmt: skip
    assert counts[0] < counts[1] <= counts[0] + 20


def test_a_head_that_validation_rows_made_is_not_taken_over(data: LocalFolder) -> None:
    folder = train_recipe(replace(SMOKE, name="start", calibration="head"), data, Path("runs"))
    whole, _, _ = load_run(folder)
    model, _ = build_model(replace(SMOKE, name="further", base=f"run:{folder}"))
    kept, taken = whole.state_dict(), model.state_dict()
    assert {key for key in kept if not torch.equal(kept[key], taken[key])} == {"classifier.weight", "classifier.bias"}


def test_a_start_that_is_not_there_or_was_split_otherwise_is_refused(data: LocalFolder) -> None:
    recipe = replace(SMOKE, base="run:runs/start-seed42")
    with pytest.raises(ModelError, match="base run:runs/start-seed42: no run there; make it first: python -m training"):
        train_recipe(recipe, data, Path("runs"))
    folder = train_recipe(replace(SMOKE, name="start"), data, Path("runs"))
    write_provenance(folder, read_json(folder / "provenance.json") | {"splits": {"test": "b" * 64}})
    with pytest.raises(ModelError, match="base run:runs/start-seed42: its test rows are bbbbbbbbbbbb"):
        train_recipe(recipe, data, Path("runs"))


def test_steps_are_the_base_then_the_teachers_and_say_their_command() -> None:
    steps = list_steps(replace(STUDENT, teachers=["runs/teacher-seed42", "elsewhere/other-seed7", "given"]))
    assert steps == [
        Step(Path("runs/wire"), Path("home/encoders/wire.toml")),
        Step(Path("runs/teacher-seed42"), Path("home/recipes/teacher.toml"), 42),
        Step(Path("elsewhere/other-seed7"), Path("home/recipes/other.toml"), 7),
        Step(Path("given"), None),
    ]
    assert [step.command for step in steps[:3]] == [
        "python -m training pretrain home/encoders/wire.toml --output runs",
        "python -m training train home/recipes/teacher.toml --seed 42 --output runs",
        "python -m training train home/recipes/other.toml --seed 7 --output elsewhere",
    ]
    assert list_steps(replace(SMOKE, base="run:runs/start-seed43")) == [
        Step(Path("runs/start-seed43"), Path("home/recipes/start.toml"), 43)
    ]
    assert list_steps(SMOKE) == []


def test_the_chain_that_ships_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    recipes = [load_recipe(path) for path in (PROJECT / "training" / "recipes").glob("*.toml")]
    steps = [step for recipe in recipes for step in list_steps(recipe) if step.folder != Path("pipeline/default_model")]
    assert steps
    assert all(step.recipe is not None and step.recipe.is_file() for step in steps)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (
            replace(STUDENT, teachers=["runs/teacher-seed42", "runs/other-seed1"]),
            "student builds on runs/other-seed1, which is not there, and there is no home/recipes/other.toml",
        ),
        (replace(STUDENT, teachers=["given"]), "student builds on given, which is not there, and its name ends in no"),
        (
            replace(STUDENT, base="encoder:runs/none"),
            "student builds on runs/none, which is not there, and there is no home/encoders/none.toml",
        ),
    ],
)
def test_what_nobody_can_make_is_refused_before_anything_is_made(
    recipe: Recipe, message: str, data: LocalFolder
) -> None:
    with pytest.raises(TrainingError) as refusal:
        build_prerequisites(recipe, data)
    assert str(refusal.value).startswith(message)
    assert "\n" not in str(refusal.value)
    assert not Path("runs").exists()


def test_recipes_that_build_on_each_other_are_refused(data: LocalFolder, tmp_path: Path) -> None:
    circle = replace(SMOKE, base="random:bert", name="circle", teachers=["runs/other-seed1"], teacher_weight=0.5)
    other = replace(circle, name="other", teachers=["runs/circle-seed1"])
    for recipe in (circle, other):
        (tmp_path / f"home/recipes/{recipe.name}.toml").write_text(format_recipe(recipe))
    with pytest.raises(TrainingError, match="circle builds on itself, by way of circle, other"):
        build_prerequisites(circle, data)
    assert not Path("runs").exists()


def test_a_folder_that_is_no_encoder_is_refused_as_a_base(data: LocalFolder, tmp_path: Path) -> None:
    folder = train_recipe(SMOKE, data, tmp_path / "runs")
    with pytest.raises(ModelError, match="base encoder:.*: records no corpus; expected a folder of `python -m"):
        train_recipe(replace(SMOKE, base=f"encoder:{folder}"), data, tmp_path / "other")
    with pytest.raises(ModelError, match="base encoder:runs/wire: no encoder there; make it first: python -m training"):
        train_recipe(TEACHER, data, tmp_path / "other")


def test_another_corpus_or_encoder_under_the_same_name_is_another_fact(data: LocalFolder, tmp_path: Path) -> None:
    pretrain_encoder(ENCODER, data, Path("runs"))
    recipe = replace(STUDENT, teachers=[], unlabelled={CORPUS: 5, f"{CORPUS}#headline": 3})

    def facts() -> dict[str, object]:
        return list_facts(describe_run(recipe, data, rows, torch.device("cpu"), 1))

    rows, digest = read_rows(recipe, data), hash_file(data.find_file(CORPUS))
    before = facts()
    assert before[f"unlabelled {CORPUS}"] == digest[:12]
    write_provenance(Path("runs/wire"), read_json(Path("runs/wire/provenance.json")) | {"seed": 43})
    assert {key for key, value in facts().items() if before[key] != value} == {"encoder"}


def test_several_processes_are_told_what_one_must_make_first(
    data: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (chain, pretrain):
        monkeypatch.setattr(module, "count_processes", lambda: 2)
    with pytest.raises(TrainingError) as refusal:
        build_prerequisites(STUDENT, data)
    assert str(refusal.value) == (
        "student lacks what one process makes, not 2; run first: "
        "python -m training pretrain home/encoders/wire.toml --output runs; "
        "python -m training train home/recipes/teacher.toml --seed 42 --output runs; "
        "python -m training train home/recipes/teacher.toml --seed 43 --output runs"
    )
    with pytest.raises(PipelineError, match="2 processes were started; expected one to pretrain wire"):
        pretrain_encoder(ENCODER, data, Path("runs"))
    assert not Path("runs").exists()
    build_prerequisites(SMOKE, data)
