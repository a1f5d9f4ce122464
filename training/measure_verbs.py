"""Verbs of `python -m training` that measure and change no model: their options, and what they print and write."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from .outputs import check_target
from .readers import open_data
from .verbs import Verbs, add_verb, read_text


def add_evaluate(verbs: Verbs) -> None:
    """Add the verb that measures one model."""
    verb = add_verb(verbs, "evaluate", run_evaluate, "runs/default-seed43")
    verb.add_argument("folder", type=Path, help="run folder, or exported model folder")
    verb.add_argument("--json", type=Path, metavar="FILE", help="also write the measures here")
    verb.add_argument("--card", action="store_true", help="also write them into an exported folder's card")


def run_evaluate(options: argparse.Namespace) -> None:
    """measure a model on the test rows of every source, baselines beside it"""
    from pipeline.card import SHIPPED, add_metrics
    from pipeline.model_folder import read_model_folder, write_json

    from .predict import evaluate_folder
    from .results import format_calibration, format_contamination, format_results

    check_target("--json", options.json)
    if options.card:
        read_model_folder(options.folder)  # only an exported, undamaged folder has a card
    results = evaluate_folder(options.folder, open_data())
    for source in results["changed"] or ():
        print(f"warning: {source} is not the data trained on", file=sys.stderr)
    if results["is_same_test"] is False:
        print("warning: it was split otherwise; test rows may have been trained on", file=sys.stderr)
    if None in (results["changed"], results["is_same_test"]):
        print("warning: no record of its data and splits: it may have been trained on these rows", file=sys.stderr)
    print(format_results(results))
    if results["calibration"]:
        print("\n" + format_calibration(results["calibration"]))
    print("\n" + format_contamination(results["contamination"]))
    if options.json:
        write_json(options.json, results)
    if options.card:
        add_metrics(options.folder, SHIPPED, {key: results[key] for key in ("model", "baselines")})


def add_behaviour(verbs: Verbs) -> None:
    """Add the verb that tries a model on the behavioural suite."""
    example = "training/behaviour_before.json pipeline/default_model --mistakes"
    verb = add_verb(verbs, "behaviour", run_behaviour, example)
    verb.add_argument(
        "models",
        type=Path,
        nargs="+",
        metavar="MODEL",
        help="one, or two (before, after): run folder, exported folder, or figures from --json",
    )
    verb.add_argument("--mistakes", action="store_true", help="also list what the last one gets wrong")
    verb.add_argument("--json", type=Path, metavar="FILE", help="also write the figures of the last one here")
    verb.add_argument(
        "--write", type=Path, metavar="FILE", help="also put the table between the marks of this document"
    )
    verb.add_argument("--card", action="store_true", help="also write them into the card of the last one, if exported")


def run_behaviour(options: argparse.Namespace) -> None:
    """try one model, or two side by side, on sentences that each ask for one thing: negation, sides, costs, numbers"""
    from pipeline.card import BEHAVIOUR, add_metrics
    from pipeline.model_folder import read_model_folder, write_json

    from .behaviour import measure_baselines, measure_folder, read_behaviour
    from .behaviour_table import format_mistakes, format_report, name_models, replace_tables

    check_target("--json", options.json)
    document = read_text(options.write) if options.write else ""
    if options.write:
        replace_tables(document, "", options.write)  # refuse a document without marks now
    if options.card:
        read_model_folder(options.models[-1])
    cases = read_behaviour()
    models = name_models([measure_folder(path, cases) for path in options.models])
    *_, last = models.values()
    report = format_report(models, measure_baselines(cases), cases)
    print(report + (f"\n\n{format_mistakes(last, cases)}" if options.mistakes else ""))
    if options.json:
        write_json(options.json, last)
    if options.write:
        options.write.write_text(replace_tables(document, report, options.write), encoding="utf-8")
    if options.card:
        add_metrics(options.models[-1], BEHAVIOUR, last["capabilities"])


def add_explain(verbs: Verbs) -> None:
    """Add the verb that draws a run."""
    verb = add_verb(verbs, "explain", run_explain, "runs/default-seed43 --output report.html")
    verb.add_argument("folder", type=Path, help="run folder")
    verb.add_argument("--output", type=Path, default=Path("report.html"), help="the page to write (report.html)")


def run_explain(options: argparse.Namespace) -> None:
    """draw a run as one HTML page: where it fails, on which words, how sure it was, which labels look wrong"""
    from .explain import explain_run

    print(f"report: {explain_run(options.folder, open_data(), options.output)}")


def add_compare(verbs: Verbs) -> None:
    """Add the verb that lays runs side by side."""
    verb = add_verb(verbs, "compare", run_compare, "runs/baseline-seed42 runs/lora-seed42 --baseline baseline")
    verb.add_argument("folders", type=Path, nargs="+", help="run folders; seeds of one recipe are put together")
    verb.add_argument("--baseline", metavar="RECIPE", help="hold the others against this recipe")
    verb.add_argument("--markdown", action="store_true", help="print Markdown")
    verb.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")


def run_compare(options: argparse.Namespace) -> None:
    """lay runs side by side: mean and spread over seeds, differences, significance"""
    from pipeline.model_folder import write_json

    from .compare import compare_runs
    from .comparison_table import format_markdown, format_table

    check_target("--json", options.json)
    comparison = compare_runs(options.folders, options.baseline)
    print((format_markdown if options.markdown else format_table)(comparison))
    if options.json:
        write_json(options.json, asdict(comparison))


def add_study(verbs: Verbs) -> None:
    """Add the verb that holds the features against returns."""
    verb = add_verb(verbs, "study", run_study, "--features feature_store --prices prices.parquet")
    verb.add_argument("--features", type=Path, required=True, metavar="ROOT", help="feature store, a local folder")
    verb.add_argument(
        "--prices",
        type=Path,
        required=True,
        metavar="FILE",
        help="Parquet or CSV: ticker,date,open,high,low,close,volume",
    )
    verb.add_argument("--output", type=Path, default=Path("docs") / "STUDY.md", help="report (default: docs/STUDY.md)")
    verb.add_argument("--note", type=Path, metavar="FILE", help="Markdown about the data, put into the report")
    verb.add_argument("--seed", type=int, default=0, help="of placebos, learners and bootstrap (default: 0)")


def run_study(options: argparse.Namespace) -> None:
    """measure whether the features predict returns, by rules set beforehand, and write what was found as a report"""
    from .study import run_study as measure
    from .study_report import write_report

    check_target("--output", options.output)
    note = read_text(options.note) if options.note else ""
    study = measure(options.features, options.prices, options.seed)
    write_report(study, options.output, note)
    print(f"verdict: {study.verdict.answer} ({len(study.tests)} tests)\nreport: {options.output}")
