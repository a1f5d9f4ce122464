"""python -m training VERB: the only place that reads arguments and the environment."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.errors import PipelineError

from .data import find_root, hash_files, load_examples
from .recipe import load_recipe

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; return 0, 2 after one line on stderr for a user's error, or 130 after Ctrl-C."""
    options = build_parser().parse_args(arguments)
    try:
        options.run(options)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"error: {error.name} is not installed; pip install -r training/requirements.txt", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nerror: interrupted; nothing was published", file=sys.stderr)
        return INTERRUPTED
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every verb."""
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Fine-tune, and measure, the sentiment model. Data: FINANCIAL_SENTIMENT_DATA, else ../shared/data.",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    prepare = _add_verb(
        verbs, "prepare", "show the data and splits of a recipe", "prepare training/recipes/default.toml"
    )
    prepare.add_argument("recipe", type=Path, help="recipe file")
    train = _add_verb(verbs, "train", "train a recipe into a run folder", "train training/recipes/smoke.toml --seed 1")
    train.add_argument("recipe", type=Path, help="recipe file")
    train.add_argument("--seed", type=int, help="use this seed instead of the recipe's")
    train.add_argument("--output", type=Path, default=Path("runs"), help="where run folders go (default: runs)")
    evaluate = _add_verb(verbs, "evaluate", "measure a model on the test rows", "evaluate runs/default-seed42")
    evaluate.add_argument("folder", type=Path, help="run folder, or exported model folder")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="also write the measures here")
    evaluate.add_argument("--card", action="store_true", help="also write them into an exported folder's card")
    for verb, run in ((prepare, run_prepare), (train, run_train), (evaluate, run_evaluate)):
        verb.set_defaults(run=run)
    return parser


def run_prepare(options: argparse.Namespace) -> None:
    """Print rows, labels, dropped rows and file hashes of a recipe's splits."""
    from .results import format_splits
    from .splits import SPLIT_SEED, split_examples

    recipe, root = load_recipe(options.recipe), find_root()
    examples = load_examples(root, recipe.sources)
    print(format_splits(examples, split_examples(examples, SPLIT_SEED), hash_files(root, recipe.sources)))


def run_train(options: argparse.Namespace) -> None:
    """Train and say where the run folder is."""
    load_recipe(options.recipe)  # before the slow import, so that a typing error answers at once
    root = find_root()
    from .train import train_recipe

    folder = train_recipe(options.recipe, root, options.output, options.seed)
    print(f"run folder: {folder}\nmeasure it: python -m training evaluate {folder}")


def run_evaluate(options: argparse.Namespace) -> None:
    """Print the test measures of a model folder, and write them where asked."""
    from pipeline.card import SHIPPED, add_metrics
    from pipeline.model_folder import read_model_folder, write_json

    from .predict import evaluate_folder
    from .results import format_results

    if options.json and not options.json.parent.is_dir():
        raise PipelineError(f"--json {options.json}: folder {options.json.parent} does not exist")
    if options.card:
        read_model_folder(options.folder)  # only an exported, undamaged folder has a card
    results = evaluate_folder(options.folder, find_root())
    for file in results["changed_files"] or ():
        print(f"warning: {file} is not the file trained on; test rows may have been seen", file=sys.stderr)
    print(format_results(results))
    if options.json:
        write_json(options.json, results)
    if options.card:
        add_metrics(options.folder, SHIPPED, {key: results[key] for key in ("model", "baselines")})


def _add_verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, example: str
) -> argparse.ArgumentParser:
    return verbs.add_parser(name, help=text, description=text, epilog=f"example: python -m training {example}")


if __name__ == "__main__":
    sys.exit(main())
