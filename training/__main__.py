"""python -m training VERB: the only place that reads arguments. Verbs that measure are in measure_verbs.py."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from pipeline.errors import PipelineError

from . import job_verb
from .inputs import check_recipe_path, replace_base
from .measure_verbs import add_behaviour, add_compare, add_evaluate, add_explain, add_study
from .outputs import check_target, make_parent
from .readers import open_data
from .recipe import OURS, Recipe, load_recipe, rebase_recipe, reseed_recipe, shrink_recipe
from .verbs import Verbs, add_verb, read_text

HOME = Path(__file__).parent
JUDGED_AGAINST = 1
REFUSED = 2
INTERRUPTED = 130
UNREAD = 141


def main(arguments: list[str] | None = None) -> int:
    """Run one verb.

    Returns 0; 1 where the verb judged and judged against; 2 after one line on stderr for a user's error; 130 after
    Ctrl-C; 141 where the reader of the output left.
    """
    options = build_parser().parse_args(arguments)
    try:
        code = options.run(options) or 0
        sys.stdout.flush()  # here, where a reader that left can still be told from a fault
        return code
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return INTERRUPTED if isinstance(error.__cause__, KeyboardInterrupt) else REFUSED
    except ModuleNotFoundError as error:
        print(f"error: {error.name} is not installed; pip install -r training/requirements.txt", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("\nerror: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads us, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every verb."""
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Fine-tune, measure and publish the sentiment model. The labelled sets are read from the folder "
        "FINANCIAL_SENTIMENT_DATA, else from ../shared/data where that exists, else from the Hub.",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", dest="verb")
    for add in (
        add_prepare,
        add_pretrain,
        add_train,
        add_evaluate,
        add_behaviour,
        add_explain,
        add_compare,
        add_experiments,
        add_publish,
        add_job,
        add_promote,
        add_study,
    ):
        add(verbs)
    return parser


def add_prepare(verbs: Verbs) -> None:
    """Add the verb that shows the data and the splits."""
    verb = add_verb(verbs, "prepare", run_prepare, "training/recipes/baseline.toml --manifest data.json")
    verb.add_argument("recipe", type=Path, help="recipe file")
    verb.add_argument(
        "--manifest", type=Path, metavar="FILE", help="where it all goes, with hashes, as JSON (runs/data.json)"
    )


def run_prepare(options: argparse.Namespace) -> None:
    """show what the data holds, how a recipe splits it, what was dropped and why; write it as a manifest with hashes"""
    from pipeline.model_folder import write_json

    from .prepare import format_manifest, prepare_data

    check_target("--manifest", options.manifest)
    manifest = prepare_data(load_recipe(options.recipe), open_data())
    print(format_manifest(manifest))
    path = options.manifest or Path("runs") / "data.json"
    path.parent.mkdir(exist_ok=True)
    write_json(path, manifest)
    print(f"\nmanifest: {path}")


def add_pretrain(verbs: Verbs) -> None:
    """Add the verb that makes an encoder."""
    verb = add_verb(verbs, "pretrain", run_pretrain, "training/encoders/finance.toml")
    verb.add_argument("recipe", type=Path, help="encoder recipe file")
    verb.add_argument("--output", type=Path, default=Path("runs"), help="where the folder goes (default: runs)")


def run_pretrain(options: argparse.Namespace) -> None:
    """make an encoder that knows the language of headlines, by masked words; a recipe's base names its folder"""
    from .encoder_recipe import load_encoder_recipe

    recipe = load_encoder_recipe(options.recipe)
    from .pretrain import pretrain_encoder

    print(f"encoder: {pretrain_encoder(recipe, open_data(), options.output)}")


def add_train(verbs: Verbs) -> None:
    """Add the verb that trains."""
    verb = add_verb(verbs, "train", run_train, "training/recipes/smoke.toml --seed 1")
    verb.add_argument("recipe", type=Path, help="recipe file")
    verb.add_argument("--seed", type=int, help="use this seed instead of the recipe's")
    verb.add_argument("--output", type=Path, default=Path("runs"), help="where run folders go (default: runs)")
    verb.add_argument("--smoke", action="store_true", help="an untrained one-layer model and a few rows: does it work?")
    base = verb.add_mutually_exclusive_group()
    base.add_argument("--minilm", action="store_true", help="on the packaged MiniLM encoder instead of its own base")
    base.add_argument(
        "--base", metavar="ID@COMMIT", help="on this base instead: a Hub id at 40 hex digits, or package:NAME@VERSION"
    )
    verb.add_argument("--within", type=Path, metavar="FOLDER", help="refuse a recipe that is no file below this folder")
    verb.add_argument("--restart", action="store_true", help="discard the unfinished run of this name, if any")


def run_train(options: argparse.Namespace) -> None:
    """train one recipe into one run folder, and first what it builds on; the same command goes on after a stop"""
    recipe = choose_recipe(options)  # before the slow import, so that a typing error answers at once
    from pipeline.model_folder import METRICS, read_json

    from .train import is_main_process, train_recipe
    from .unfinished import claim_folder

    claim_folder(options.output, recipe)  # refuse a run that is there now, not after hours of what it builds on
    make_ready(recipe)
    folder = train_recipe(recipe, open_data(), options.output, options.restart)
    if is_main_process():
        measured = read_json(folder / METRICS)
        test = measured["test"]["model"]["overall"]
        print(
            f"epoch {measured['best_epoch']} kept; {test['row_count']:,} test rows of all sources: "
            f"accuracy {test['accuracy']:.3f}, macro-F1 {test['macro_f1']:.3f}"
        )
        print(f"run folder: {folder}\nmore of it: python -m training evaluate {folder}, or explain, or compare")


def choose_recipe(options: argparse.Namespace) -> Recipe:
    """Return the recipe that the options of `train` ask for."""
    if options.within:
        check_recipe_path(options.recipe.absolute(), options.within)
    recipe = load_recipe(options.recipe)
    recipe = rebase_recipe(recipe) if options.minilm else recipe
    recipe = replace_base(recipe, options.base) if options.base else recipe
    recipe = shrink_recipe(recipe) if options.smoke else recipe
    return recipe if options.seed is None else reseed_recipe(recipe, options.seed)


def add_experiments(verbs: Verbs) -> None:
    """Add the verb that runs the plan of experiments and writes what came of it."""
    verb = add_verb(verbs, "experiments", run_plan, "--seeds 42,43,44 --epoch-rows 1200 --workers 2")
    verb.add_argument("--output", type=Path, default=Path("runs/experiments"), help="where run folders go")
    verb.add_argument("--seeds", default="42,43,44", help="seeds of every recipe (default: 42,43,44)")
    verb.add_argument("--epoch-rows", type=int, default=1200, help="rows of an epoch (default: 1200)")
    verb.add_argument("--workers", type=int, default=2, help="runs side by side, one thread each (default: 2)")
    verb.add_argument("--report-only", action="store_true", help="train nothing: write the report of stored results")
    verb.add_argument("--results", type=Path, default=HOME / "results", help="holds the figures of these runs alone")
    verb.add_argument("--report", type=Path, default=HOME.parent / "docs" / "EXPERIMENTS.md", help="the file to fill")


def run_plan(options: argparse.Namespace) -> None:
    """run every experiment of training/experiments.toml that is not done yet, store its figures, write the report"""
    from .experiment_report import replace_report, write_report
    from .experiments import load_plan, run_experiments
    from .run_record import list_records, load_records, read_run, store_records

    plan = load_plan()
    replace_report(read_text(options.report), "")  # refuse a file without marks now, not after hours of training
    if not options.report_only:
        seeds = [parse_seed(text) for text in options.seeds.split(",")]
        folders = run_experiments(plan, options.output, seeds, options.epoch_rows, options.workers, prepare=make_ready)
        store_records([read_run(folder) for folder in folders], options.results)
    report = write_report(load_records(list_records(options.results)), plan)
    options.report.write_text(replace_report(read_text(options.report), report), encoding="utf-8")
    print(f"report: {options.report}")


def add_publish(verbs: Verbs) -> None:
    """Add the verb that uploads a run."""
    verb = add_verb(verbs, "publish", run_publish, "runs/default-seed43 OWNER/NAME --private")
    verb.add_argument("folder", type=Path, help="run folder, or exported model folder")
    verb.add_argument("repository", help="Hub repository OWNER/NAME; made if it is missing and the token may")
    verb.add_argument("--private", action="store_true", help="make it a private one")
    verb.add_argument("--revision-file", type=Path, metavar="FILE", help="also append revision=COMMIT to this file")


def run_publish(options: argparse.Namespace) -> None:
    """upload a run or model folder with its card to the Hub in one commit, and print the commit; needs a token of it"""
    from .publish_verb import run

    run(options, os.environ)


def add_job(verbs: Verbs) -> None:
    """Add the verb that trains on the Hub's hardware."""
    job_verb.add_options(add_verb(verbs, "job", run_job, job_verb.EXAMPLE))


def run_job(options: argparse.Namespace) -> None:
    """train, measure and publish a recipe as a Hugging Face Job, and follow it to its end; needs HF_TOKEN"""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a runner that is told to stop sends it
    job_verb.run(options, os.environ)


def add_promote(verbs: Verbs) -> None:
    """Add the verb that pins a better adapter."""
    verb = add_verb(verbs, "promote", run_promote, f"OWNER/NAME --revision {'0' * 40}")
    verb.add_argument("challenger", help="Hub repository OWNER/NAME, or (with --dry-run) a run folder")
    verb.add_argument("--revision", help="its commit, 40 hex digits")
    verb.add_argument(
        "--settings", type=Path, default=HOME.parent / "pipeline" / "settings.toml", help="the settings to pin it in"
    )
    verb.add_argument("--champion", type=Path, help="exported folder to beat (default: the one in use)")
    verb.add_argument(
        "--margin", type=float, default=0.01, help="macro-F1 that a single source may lose (default: 0.01)"
    )
    verb.add_argument("--dry-run", action="store_true", help="compare and say so; pin nothing")
    verb.add_argument("--table", type=Path, metavar="FILE", help="also write the comparison here, as Markdown")
    verb.add_argument(
        "--verdict-file", type=Path, metavar="FILE", help="append accepted=true or false here; a refusal then exits 0"
    )


def run_promote(options: argparse.Namespace) -> int:
    """pin an adapter in the settings if it beats the model in use on the frozen test rows; else say why not"""
    from .outputs import append_output
    from .promote import promote
    from .promotion_table import format_markdown, format_promotion

    make_parent("--table", options.table)
    check_target("--verdict-file", options.verdict_file)
    promotion = promote(
        options.challenger,
        options.revision,
        options.settings,
        options.champion,
        open_data(),
        options.margin,
        dry_run=options.dry_run,
    )
    print(format_promotion(promotion))
    if options.table:
        options.table.write_text(f"{format_markdown(promotion)}\n", encoding="utf-8")
    if options.verdict_file:
        append_output(options.verdict_file, "accepted", str(promotion.is_accepted).lower())
        return 0
    return 0 if promotion.is_accepted else JUDGED_AGAINST


def make_ready(recipe: Recipe) -> None:
    """Make what ``recipe`` builds on and lacks."""
    if not (recipe.base.startswith(OURS) or recipe.teachers):
        return
    from .chain import build_prerequisites

    build_prerequisites(recipe, open_data())


def parse_seed(text: str) -> int:
    """Return a seed of ``--seeds``."""
    if not text.strip().isdecimal():
        raise PipelineError(f"--seeds: {text!r} is no seed; expected whole numbers, separated by commas")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
