"""The plan runs completely, once, side by side; its report is made of stored records alone."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from training import experiments
from training.__main__ import main
from training.experiment_report import BEGIN, END, RULE, replace_report, write_report
from training.experiments import (
    Experiment,
    ExperimentError,
    load_plan,
    plan_jobs,
    run_experiments,
)
from training.recipe import ENCODER, PACKAGE, RANDOM, Recipe, format_recipe, load_recipe
from training.run_record import Run, list_records, load_records, read_run, store_records

from .test_compare import RECIPES, write_run

TRAINER = """
import json, os, pathlib, sys, tomllib
recipe, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[3])
table = tomllib.loads(recipe.read_text())
print("learning", os.environ["OMP_NUM_THREADS"])
if table["name"] == "no-fiqa":
    sys.exit("error: out of memory at batch_size 32")
folder = output / f"{table['name']}-seed{table['seed']}"
folder.mkdir()
(folder / "recipe.toml").write_text(recipe.read_text())
(folder / "metrics.json").write_text(json.dumps({"test": {"model": {"mix": {"accuracy": 0.7}}}}))
(folder / "provenance.json").write_text("{}")
"""
PLAN = [
    Experiment("baseline", "baseline", "What?", "nothing", True),
    Experiment("2.9", "class-weights", "Weights?", "weights", True),
    Experiment("2.5", "finbert", "FinBERT?", "base", False, "its base is out of reach"),
]


@pytest.fixture
def train(tmp_path: Path) -> tuple[str, ...]:
    """A stand-in for the train verb: a real process that makes a folder, or ends as one that failed."""
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER)
    return sys.executable, str(script)


def test_the_plan_that_ships_names_every_recipe_of_the_roadmap_once() -> None:
    plan = load_plan()
    names = [experiment.recipe for experiment in plan]
    assert len(names) == len(set(names)) == 27
    assert names[0] == "baseline"
    numbers = {experiment.number.split(",")[0] for experiment in plan}
    assert numbers >= {f"2.{i}" for i in range(1, 11)}
    for experiment in plan:
        recipe = load_recipe(RECIPES / f"{experiment.recipe}.toml")
        assert recipe.name == experiment.recipe
        baseline = load_recipe(RECIPES / "baseline.toml")
        is_own_base = recipe.base != baseline.base and not recipe.base.startswith(ENCODER)
        assert experiment.is_comparable != is_own_base, f"{experiment.recipe}: compared, yet its base is its point"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('number = "1"', "number = 1", "experiment 1: number is 1; expected number, recipe"),
        ('number = "1"', 'number = "1"\nnote = "x"', "experiment 1: note is 'x'"),
        ('question = "q"\n', "", "experiment 1: question is None"),
        ("is_comparable = true", "is_comparable = false", "a reason exactly where is_comparable is false"),
        ("is_comparable = true", 'is_comparable = true\nreason = "r"', "a reason exactly where"),
        ("[[experiment]]", "[[experiment", "cannot be read as TOML"),
    ],
)
def test_a_malformed_plan_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    content = '[[experiment]]\nnumber = "1"\nrecipe = "r"\nquestion = "q"\nchange = "c"\nis_comparable = true\n'
    assert old in content
    (tmp_path / "plan.toml").write_text(content.replace(old, new))
    with pytest.raises(ExperimentError, match=re.escape(message)):
        load_plan(tmp_path / "plan.toml")


def test_comparable_recipes_run_on_one_base_with_equal_epochs_and_the_others_as_smoke_runs(tmp_path: Path) -> None:
    jobs = plan_jobs(PLAN, tmp_path, [1, 2], 3000)
    assert [job.folder.name for job in jobs] == [
        "baseline-seed1", "baseline-seed2", "class-weights-seed1", "class-weights-seed2", "finbert-smoke-seed42",
    ]  # fmt: skip
    assert [job.recipe.base for job in jobs] == [PACKAGE] * 4 + [f"{RANDOM}bert"]
    assert [(job.recipe.epoch_rows, job.recipe.train_limit) for job in jobs[:4]] == [(3000, 0)] * 4
    assert [job.recipe.seed for job in jobs[:4]] == [1, 2, 1, 2]


def test_effective_recipes_are_written_as_files_that_load(tmp_path: Path) -> None:
    for job in plan_jobs(load_plan(), tmp_path, [7], 3000):
        path = tmp_path / "recipe.toml"
        path.write_text(format_recipe(job.recipe))
        assert load_recipe(path) == job.recipe


def test_runs_go_side_by_side_and_finished_ones_are_not_made_again(tmp_path: Path, train: tuple[str, ...]) -> None:
    lines: list[str] = []
    output = tmp_path / "runs"
    folders = run_experiments(PLAN, output, [1, 2], 3000, 2, report=lines.append, train=train)
    assert sorted(folders) == sorted(path.parent for path in output.glob("*/provenance.json"))
    assert len(lines) == 5
    assert all(re.fullmatch(r"\d/5 [a-z-]+-seed\d+: .*(accuracy mix 0.700|smoke run works.*)", line) for line in lines)
    assert (output / "logs" / "baseline-seed1.log").read_text() == "learning 1\n"
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    assert run_experiments(PLAN, output, [1, 2], 3000, 2, report=lines.append, train=train) == folders
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()} == before


def test_what_runs_build_on_is_made_before_any_of_them_and_not_for_a_finished_one(
    tmp_path: Path, train: tuple[str, ...]
) -> None:
    seen: list[tuple[str, int]] = []

    def prepare(recipe: Recipe) -> None:
        assert len(list(tmp_path.glob("*/provenance.json"))) == finished
        seen.append((recipe.name, recipe.seed))

    finished = 0
    run_experiments(PLAN[:2], tmp_path, [1], 3000, 2, report=str, train=train, prepare=prepare)
    assert seen == [("baseline", 1), ("class-weights", 1)]
    finished = 2
    run_experiments(PLAN[:2], tmp_path, [1, 2], 3000, 2, report=str, train=train, prepare=prepare)
    assert seen[2:] == [("baseline", 2), ("class-weights", 2)]


def test_a_failed_run_is_named_and_the_others_go_on(tmp_path: Path, train: tuple[str, ...]) -> None:
    plan = [Experiment("2.1", "no-fiqa", "?", "?", True), *PLAN]
    lines: list[str] = []
    with pytest.raises(ExperimentError, match=r"1 of 4 runs failed: no-fiqa-seed1; see .*logs"):
        run_experiments(plan, tmp_path / "runs", [1], 3000, 1, report=lines.append, train=train)
    assert "failed with exit code 1: error: out of memory at batch_size 32" in lines[0]
    assert len(list((tmp_path / "runs").glob("*/provenance.json"))) == 3


def test_a_finished_run_of_another_recipe_is_not_taken_for_this_one(tmp_path: Path, train: tuple[str, ...]) -> None:
    run_experiments(PLAN[:1], tmp_path, [1], 3000, 1, report=str, train=train)
    with pytest.raises(ExperimentError, match=r"baseline-seed1: made with other epoch_rows; remove it"):
        run_experiments(PLAN[:1], tmp_path, [1], 4000, 1, report=str, train=train)


@pytest.mark.parametrize(
    ("seeds", "epoch_rows", "workers", "message"),
    [
        ([1, 1], 3000, 1, "baseline-seed1 is planned twice; expected every recipe and seed once"),
        ([1], 3000, 0, "--workers is 0; expected 1 or more"),
        ([-1], 3000, 1, "--seed: seed is -1"),
        ([1], -1, 1, "--epoch-rows: epoch_rows is -1"),
    ],
)
def test_an_impossible_plan_starts_nothing(
    seeds: list[int], epoch_rows: int, workers: int, message: str, tmp_path: Path, train: tuple[str, ...]
) -> None:
    with pytest.raises(PipelineError, match=message):
        run_experiments(PLAN, tmp_path / "runs", seeds, epoch_rows, workers, report=str, train=train)
    assert not (tmp_path / "runs").exists()


def test_the_results_of_a_plan_are_its_own_runs_alone(tmp_path: Path) -> None:
    runs = [read_run(write_run(tmp_path / "runs", "baseline", seed, 30)) for seed in (1, 2)]
    results = tmp_path / "results"
    store_records(runs, results)
    (results / "notes.json").write_text("{}")
    store_records(runs[1:], results)
    assert [path.name for path in list_records(results)] == ["baseline-seed2.json"]
    assert (results / "notes.json").exists()


def test_the_verb_keeps_and_reports_the_runs_of_its_own_plan_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, results, report = tmp_path / "runs", tmp_path / "results", tmp_path / "report.md"
    stale, *own = [write_run(output, "baseline", seed, 30) for seed in (1, 2, 3)]
    store_records([read_run(stale)], results)
    report.write_text(f"{BEGIN}\n{END}\n")
    monkeypatch.setattr(experiments, "run_experiments", lambda *_, **__: own)
    options = ["--output", str(output), "--results", str(results), "--report", str(report)]
    assert main(["experiments", "--seeds", "2,3", *options]) == 0
    assert [path.name for path in list_records(results)] == ["baseline-seed2.json", "baseline-seed3.json"]
    assert "under seeds 2, 3," in report.read_text()


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two recipes under two seeds and one smoke run, read back from their stored form."""
    output = tmp_path_factory.mktemp("runs")
    wrong = {("baseline", 1): 30, ("baseline", 2): 31, ("class-weights", 1): 10, ("class-weights", 2): 11}
    runs = [read_run(write_run(output, *key, count)) for key, count in wrong.items()]
    smoke = read_run(write_run(output, "finbert-smoke", 42, 55))
    smoke = replace(smoke, base={"id": f"{RANDOM}bert", "revision": ""})
    store_records([*runs, smoke], output / "results")
    return load_records(sorted((output / "results").glob("*.json")))


def test_the_report_is_the_same_bytes_whatever_order_records_come_in(records: list[Run]) -> None:
    report = write_report(records, PLAN)
    assert report == write_report(records[::-1], PLAN)
    assert report.endswith("\n")
    assert not report.endswith("\n\n")


def test_the_report_states_protocol_rule_verdicts_smoke_runs_and_criteria(records: list[Run]) -> None:
    report = write_report(records, PLAN)
    assert "4 runs: 2 recipes under seeds 1, 2" in report
    assert "3000 training rows per epoch" in report
    assert "No recipe was trained on" not in report
    assert "torch 2.13.0" in report
    assert RULE in report
    rows = [line for line in report.splitlines() if line.startswith("| 2.9 |")]
    assert len(rows) == 1
    assert rows[0].count("**better** (+0.333)") == 2
    assert "Weights?" in rows[0]
    assert "- 2.5 `finbert`: FinBERT? Not measured: its base is out of reach; its smoke run" in report
    assert "| accuracy of the mix at least 87% | 0.492, not met | `class-weights` 0.825, not met |" in report
    assert "| FiQA accuracy at least 60% | 0.492, not met | `class-weights` 0.825, met |" in report
    assert "not measured here: no GPU" in report
    assert "Not run" not in report


def test_the_report_shows_what_has_to_be_beaten_in_every_place(records: list[Run]) -> None:
    """A third of the rows is of the commonest class: accuracy 1/3, and F1 1/2 for one class of three."""
    (place,) = (run for run in records if run.name == "class-weights-seed2")
    assert place.baselines["mix"]["majority"] == pytest.approx({"accuracy": 1 / 3, "macro_f1": 1 / 6})
    older = [replace(run, baselines={}) for run in records if run.recipe == "baseline"]
    report = write_report([*older, *(run for run in records if run.recipe != "baseline")], PLAN)
    assert "| baseline | mix acc / F1 | overall acc / F1 | phrasebank acc / F1 | twitter acc / F1 |" in report
    assert f"| majority class |{' 0.333 / 0.167 |' * 6}" in report
    assert f"| VADER |{' 0.333 / 0.167 |' * 6}" in report
    assert "No stored record holds them." in write_report([replace(run, baselines={}) for run in records], PLAN)


def test_what_was_not_run_is_said(records: list[Run]) -> None:
    plan = [*PLAN, Experiment("2.7", "early-stopping", "More?", "epochs", True)]
    report = write_report([run for run in records if "smoke" not in run.recipe], plan)
    assert "Not run: `early-stopping`." in report
    assert "no smoke run stored" in report
    with pytest.raises(ExperimentError, match="no record of 'baseline' among 0"):
        write_report([], plan)


@pytest.mark.parametrize(("wall_s", "expected"), [(1200.0, "20.0 min, met"), (2400.0, "40.0 min, not met")])
def test_minutes_on_a_gpu_are_judged_where_one_was_used(records: list[Run], wall_s: float, expected: str) -> None:
    on_gpu = {"wall_s": wall_s, "peak_gpu_mib": 5000.0}
    runs = [replace(run, figures={**run.figures, **on_gpu}) for run in records]
    assert f"| longest run {expected} | longest run {expected} |" in write_report(runs, PLAN)


def test_the_generated_part_replaces_itself_and_nothing_else(records: list[Run]) -> None:
    report = write_report(records, PLAN)
    document = f"# Experiments\n\nBefore.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n"
    once = replace_report(document, report)
    assert once == replace_report(once, report)
    assert once.startswith("# Experiments\n\nBefore.\n")
    assert once.endswith("\n\nAfter.\n")
    assert "old" not in once
    with pytest.raises(ExperimentError, match="expected both marks"):
        replace_report("# Experiments\n", report)
