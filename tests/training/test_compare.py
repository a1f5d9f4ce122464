"""Runs beside each other: spreads over seeds by hand, the stated rule, and refusal of what does not compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from pipeline.errors import ModelError
from pipeline.model_folder import read_json, write_json, write_provenance
from training.compare import (
    BETTER,
    NO_DIFFERENCE,
    ONE_SEED,
    WORSE,
    CompareError,
    Spread,
    compare_records,
    compare_runs,
    judge,
    summarise,
)
from training.comparison_table import format_markdown, format_table
from training.data import Example
from training.predictions import write_predictions
from training.recipe import format_recipe, load_recipe
from training.results import compare_model
from training.run_record import load_records, read_run, store_records

SOURCES = ("phrasebank", "twitter", "fiqa", "sentfin")
COUNT = 60
RECIPES = Path(__file__).parents[2] / "training" / "recipes"
BASE = load_recipe(RECIPES / "default.toml")


def make_rows(count: int = COUNT) -> list[Example]:
    """Return ``count`` test rows per source."""
    return [
        Example(f"row {i}", "Acme", i % 3, 0.5 if source == "fiqa" else None, source)
        for source in SOURCES
        for i in range(count)
    ]


def write_run(output: Path, recipe: str, seed: int, wrong: int, rows: Sequence[Example] | None = None) -> Path:
    """Write a run folder in which the first ``wrong`` rows of every source are wrong; return it."""
    rows, folder = rows or make_rows(), output / f"{recipe}-seed{seed}"
    folder.mkdir(parents=True)
    count = len(rows) // len(SOURCES)
    guesses = [(row.label + (i % count < wrong)) % 3 for i, row in enumerate(rows)]
    probabilities = np.eye(3)[guesses] * 0.7 + 0.1
    (folder / "recipe.toml").write_text(format_recipe(replace(BASE, name=recipe, seed=seed, epoch_rows=3000)))
    write_predictions(folder / "predictions.csv", {"test": rows}, {"test": probabilities})
    calibration = {"temperature": 1.2, "ece_before": 0.2, "ece_after": 0.1, "nll_before": 0.6, "nll_after": 0.5}
    metrics = {"wall_s": 90.0 + seed, "peak_rss_mib": 900.0, "peak_gpu_mib": None, "best_epoch": 2, "train_count": 3000}
    metrics |= {"calibration": calibration, "test": compare_model(rows, rows, probabilities)}
    write_json(folder / "metrics.json", metrics)
    provenance = {"base": {"id": BASE.base, "revision": BASE.revision}, "device": "cpu", "torch_threads": 1}
    splits = {"train": "cd" * 32, "validation": "ef" * 32, "test": "ab" * 32}
    provenance |= {"libraries": {"python": "3.11", "torch": "2.13.0"}, "splits": splits}
    write_provenance(folder, provenance)
    return folder


def revise_run(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> Path:
    """Let ``change`` alter a JSON file of the run, and seal the folder anew; return it."""
    content = read_json(folder / name)
    change(content)
    write_json(folder / name, content)
    write_provenance(folder, read_json(folder / "provenance.json"))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three seeds each of a baseline, a much better recipe, and one that is hardly different."""
    output = tmp_path_factory.mktemp("runs")
    return [
        *(write_run(output, "baseline", seed, wrong) for seed, wrong in ((1, 30), (2, 31), (3, 32))),
        *(write_run(output, "better", seed, wrong) for seed, wrong in ((1, 10), (2, 11), (3, 9))),
        *(write_run(output, "alike", seed, wrong) for seed, wrong in ((1, 31), (2, 30), (3, 31))),
    ]


@pytest.mark.parametrize("values", [[0.7, 0.8, 0.75], [0.5, 0.5, 0.6, 0.9], [0.1, 0.2]])
def test_the_interval_of_the_mean_is_student_t(values: list[float]) -> None:
    found = summarise(values)
    interval = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.mean, found.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_one_seed_has_no_spread() -> None:
    assert summarise([0.7]) == Spread(0.7, None, None, None)


RULE = [
    # ours, theirs, rows ahead per seed, p per seed
    ([0.80, 0.81], [0.70, 0.71], [40, 41], [0.01, 0.04], BETTER),
    ([0.70, 0.71], [0.80, 0.81], [-40, -41], [0.01, 0.04], WORSE),
    ([0.80, 0.81], [0.70, 0.71], [40, 41], [0.001, 0.05], NO_DIFFERENCE),
    ([0.80, 0.81], [0.70, 0.71], [40, -41], [0.01, 0.01], NO_DIFFERENCE),
    ([0.80, 0.60], [0.65, 0.66], [40, 41], [0.01, 0.01], NO_DIFFERENCE),
    ([0.80, 0.81], [0.60, 0.90], [40, 41], [0.01, 0.01], NO_DIFFERENCE),
    ([0.75, 0.75], [0.75, 0.75], [0, 0], [1.0, 1.0], NO_DIFFERENCE),
    ([0.80], [0.70], [40], [0.001], ONE_SEED),
]


@pytest.mark.parametrize(("ours", "theirs", "leads", "ps", "verdict"), RULE)
def test_the_rule(ours: list[float], theirs: list[float], leads: list[int], ps: list[float], verdict: str) -> None:
    assert judge(ours, theirs, leads, ps) == verdict


def test_runs_are_grouped_over_seeds_and_held_against_the_baseline(folders: list[Path]) -> None:
    found = compare_runs(folders, "baseline")
    assert found.row_count == COUNT * len(SOURCES)
    base, better, alike = found.groups
    assert [group.recipe for group in found.groups] == ["baseline", "better", "alike"]
    assert base.seeds == (1, 2, 3)
    assert not base.against
    assert base.measures["overall"]["accuracy"].mean == pytest.approx(29 / 60)
    assert base.measures["mix"]["accuracy"].sd == pytest.approx(1 / 60)
    assert base.figures["wall_s"].mean == pytest.approx(92)
    assert "peak_gpu_mib" not in base.figures
    assert better.against["mix"].accuracy == pytest.approx(21 / 60)
    assert {place: one.verdict for place, one in better.against.items()} == dict.fromkeys(
        ("mix", "overall", *SOURCES), BETTER
    )
    assert {one.verdict for one in alike.against.values()} == {NO_DIFFERENCE}


def test_the_largest_p_is_mcnemars_of_the_closest_seed(folders: list[Path]) -> None:
    alike = compare_runs(folders, "baseline").groups[2]
    # seed 1: one row per source lost, seeds 2 and 3: one won; a single row against none has p 1
    assert alike.against["fiqa"].largest_p == 1.0
    better = compare_runs(folders, "baseline").groups[1]
    assert better.against["fiqa"].largest_p == pytest.approx(2 / 2**20)
    assert better.against["mix"].largest_p < 1e-6


def test_macro_f1_is_resampled_per_seed_where_predictions_are_at_hand(folders: list[Path]) -> None:
    against = compare_runs(folders, "baseline").groups[1].against
    assert list(against["overall"].macro_f1_draws) == [1, 2, 3]
    assert all(draw.low > 0 and draw.not_above_share == 0 for draw in against["overall"].macro_f1_draws.values())
    assert not against["mix"].macro_f1_draws


def test_stored_records_compare_as_their_folders_do_and_hold_neither_text_nor_label(
    folders: list[Path], tmp_path: Path
) -> None:
    runs = [read_run(folder) for folder in folders]
    store_records(runs, tmp_path)
    paths = [tmp_path / f"{folder.name}.json" for folder in folders]
    loaded = load_records(paths)
    assert loaded == runs
    stored, direct = compare_records(loaded, "baseline"), compare_runs(folders, "baseline")
    assert [group.measures for group in stored.groups] == [group.measures for group in direct.groups]
    assert [group.figures for group in stored.groups] == [group.figures for group in direct.groups]
    content = paths[0].read_text()
    assert "Acme" not in content
    assert '"label' not in content
    assert len(content) < 6000
    before = paths[0].read_bytes()
    store_records(runs, tmp_path)
    assert paths[0].read_bytes() == before


def test_a_damaged_record_is_refused(folders: list[Path], tmp_path: Path) -> None:
    record = asdict(read_run(folders[0]))
    del record["right"]
    (tmp_path / "a.json").write_text(json.dumps(record))
    with pytest.raises(ModelError, match=r"a.json: keys right missing or unknown"):
        load_records([tmp_path / "a.json"])


def test_tables_name_recipes_places_and_verdicts(folders: list[Path]) -> None:
    comparison = compare_runs(folders, "baseline")
    text, markdown = format_table(comparison), format_markdown(comparison)
    for word in ("baseline", "better", "1 2 3", "mix", "sentfin", "FiQA R2", "0.483 ± 0.017", NO_DIFFERENCE, "<0.001"):
        assert word in text
        assert word in markdown
    assert not any(line.endswith(" ") for line in text.splitlines())
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)
    json.dumps(asdict(comparison))


def test_without_a_baseline_nothing_is_judged(folders: list[Path]) -> None:
    comparison = compare_runs(folders, None)
    assert not any(group.against for group in comparison.groups)
    assert "verdict" not in format_table(comparison)


def test_seeds_that_are_not_shared_are_left_out_of_the_difference(folders: list[Path]) -> None:
    found = compare_runs([*folders[:2], *folders[3:6]], "baseline").groups[1]
    assert found.seeds == (1, 2, 3)
    assert found.against["mix"].seeds == (1, 2)
    assert not compare_runs([folders[0], folders[4]], "baseline").groups[1].against


def test_what_does_not_compare_is_refused(folders: list[Path], tmp_path: Path) -> None:
    relabelled = [replace(make_rows()[0], label=2), *make_rows()[1:]]

    def resplit(provenance: dict[str, Any]) -> None:
        provenance["splits"] |= {"train": "0" * 64, "validation": "1" * 64}

    cases = [
        ([*folders, folders[0]], "baseline", "baseline-seed1 is given twice"),
        (folders, "best", "baseline 'best' has no run; expected one of alike, baseline, better"),
        ([], None, "no run given"),
        (
            [folders[0], write_run(tmp_path, "short", 1, 3, make_rows(59))],
            None,
            "short-seed1 and baseline-seed1 have other test rows",
        ),
        (
            [folders[0], write_run(tmp_path, "relabelled", 1, 3, relabelled)],
            None,
            "relabelled-seed1 and baseline-seed1",
        ),
        (
            [folders[0], revise_run(write_run(tmp_path, "resplit", 1, 3), "provenance.json", resplit)],
            None,
            "resplit-seed1 and baseline-seed1 have other train, validation rows; expected the same data",
        ),
    ]
    for chosen, baseline, message in cases:
        with pytest.raises(CompareError, match=message):
            compare_runs(chosen, baseline)


def test_a_folder_without_predictions_or_with_old_metrics_is_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "old", 1, 3)
    revise_run(folder, "metrics.json", lambda metrics: metrics.pop("calibration"))
    with pytest.raises(ModelError, match="has no 'calibration'; expected a folder written by"):
        compare_runs([folder], None)
    (folder / "predictions.csv").unlink()
    with pytest.raises(ModelError, match=r"predictions.csv is missing"):
        compare_runs([folder], None)


@pytest.mark.parametrize("name", ["metrics.json", "predictions.csv", "recipe.toml"])
def test_a_file_that_changed_since_the_run_is_refused(name: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path, "edited", 1, 3)
    path = folder / name
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "twitter" not in line))
    with pytest.raises(ModelError, match=f"edited-seed1: {name} has SHA-256"):
        compare_runs([folder], None)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("metrics.json", lambda found: found.update(test=[]), "is malformed"),
        ("metrics.json", lambda found: found["test"].update(model=None), "is malformed"),
        ("metrics.json", lambda found: found["test"]["model"]["fiqa"].pop("accuracy"), "has no 'accuracy'"),
        ("metrics.json", lambda found: found["test"]["model"].pop("twitter"), "has no 'twitter'"),
        ("metrics.json", lambda found: found["test"]["model"]["mix"].update(accuracy="x"), "is malformed"),
        ("provenance.json", lambda found: found.update(base="x"), "is malformed"),
        ("provenance.json", lambda found: found["splits"].pop("train"), "has no 'train'"),
    ],
)
def test_malformed_figures_are_refused_in_one_line(
    name: str, change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    folder = revise_run(write_run(tmp_path, "odd", 1, 3), name, change)
    with pytest.raises(ModelError, match=f"odd-seed1: .*{message}.*; expected a folder written by") as caught:
        read_run(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": BASE.epochs + 1}, "differ in epochs; expected runs of one recipe"),
        ({"base": "random:bert", "revision": "", "weight_sha256": ""}, "differ in base"),
        ({"score_weight": 0.5, "early_stopping": 3}, "differ in early_stopping, score_weight"),
        ({"repeats": {"fiqa": 1}}, "differ in repeats, sources"),
    ],
)
def test_runs_that_only_share_a_recipes_name_are_not_averaged(
    change: dict[str, Any], message: str, folders: list[Path], tmp_path: Path
) -> None:
    other = replace(BASE, name="baseline", seed=9, epoch_rows=3000, **change)
    folder = write_run(tmp_path, "baseline", 9, 30)
    (folder / "recipe.toml").write_text(format_recipe(other))
    base = {"id": other.base, "revision": other.revision}
    revise_run(folder, "provenance.json", lambda provenance: provenance.update(base=base))
    with pytest.raises(CompareError, match=f"baseline-seed9 and baseline-seed1 {message}"):
        compare_runs([*folders, folder], None)
