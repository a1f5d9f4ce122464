"""The shape of the house: who may import whom, where torch may live, and that importing does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
MODULES = sorted([*(PROJECT / "pipeline").glob("*.py"), *(PROJECT / "training").rglob("*.py")])
HEAVY = {
    "torch",
    "transformers",
    "peft",
    "optimum",
    "datasets",
    "bitsandbytes",
    "accelerate",
    "onnx",
    "sklearn",
    "scipy",
    "captum",
    "statsmodels",
    "arch",
    "lightgbm",
    "ray",
}
EXPORT_ONLY = {"export", "quantize", "quantize_attention", "quantize_layers", "quantize_products", "quantize_rounding"}
FOUNDATION = {"records", "errors", "text", "similarity"}
STAGES = {"fetch", "replay", "parse", "link", "dedupe", "score", "aggregate", "validate", "store"}
SHARED_WITH_TRAINING = {
    "errors",
    "text",
    "similarity",
    "score",
    "model_folder",
    "card",
    "hub",
    "licence",
    "markdown",
    "git",
}
PROMOTION_ONLY = {"export", "parity", "config", "pinned"}
"""To judge an adapter as the daily line would run it, and to pin it there, `promote` alone needs these."""
ACTIONS = sorted((PROJECT / "pipeline" / "actions").glob("*.py"))
SHARED_WITH_ACTIONS = {"config", "errors", "git", "markdown", "pinned"}
"""What the verbs of workflows share with the line; like them, it needs nothing installed."""


def imports(path: Path) -> set[str]:
    """Return every imported module of a file, relative ones as package.module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            found |= {f"{path.parent.name}.{node.module or alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module in ("pipeline", "training"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent.name == "pipeline"], ids=lambda p: p.stem)
def test_the_daily_line_knows_neither_training_nor_torch(path: Path) -> None:
    found = imports(path)
    assert not [name for name in found if name.split(".")[0] == "training"]
    if path.stem not in EXPORT_ONLY:
        assert {name.split(".")[0] for name in found} & HEAVY <= ({"ray"} if path.stem == "backfill_ray" else set())


@pytest.mark.parametrize("path", ACTIONS, ids=lambda p: p.stem)
def test_actions_need_nothing_installed(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 2:
            assert node.module in SHARED_WITH_ACTIONS
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert str(node.module).split(".")[0] in sys.stdlib_module_names
        elif isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= sys.stdlib_module_names


def test_actions_start_without_anything_installed() -> None:
    """-S hides what is installed, so that what is shared is seen to need nothing either."""
    subprocess.run([sys.executable, "-S", "-c", "import pipeline.actions.__main__"], cwd=PROJECT, check=True)


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.is_relative_to(PROJECT / "training")], ids=lambda p: p.stem
)
def test_training_meets_the_daily_line_only_in_text_and_model_folder(path: Path) -> None:
    used = {name.split(".")[1] for name in imports(path) if name.startswith("pipeline.")}
    assert used <= SHARED_WITH_TRAINING | (PROMOTION_ONLY if path.stem == "promote" else set())


@pytest.mark.parametrize("name", sorted(STAGES))
def test_stages_do_not_import_each_other(name: str) -> None:
    used = {
        found.split(".")[1] for found in imports(PROJECT / "pipeline" / f"{name}.py") if found.startswith("pipeline.")
    }
    assert not used & (STAGES - {name})
    assert not used & {"run", "__main__"}


@pytest.mark.parametrize("name", sorted(FOUNDATION - {"similarity"}))
def test_the_foundation_imports_nothing_of_the_project(name: str) -> None:
    assert not [found for found in imports(PROJECT / "pipeline" / f"{name}.py") if found.startswith("pipeline.")]


def test_the_daily_line_starts_without_torch() -> None:
    code = (
        "import sys, pipeline.__main__\n"
        f"loaded = set(sys.modules) & {HEAVY!r}\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True)


@pytest.mark.parametrize(
    "path", sorted([*PROJECT.glob("benchmarks/*.py"), *PROJECT.glob("scripts/*.py")]), ids=lambda p: p.stem
)
def test_what_no_test_runs_can_at_least_be_imported(path: Path) -> None:
    name = path.relative_to(PROJECT).with_suffix("").as_posix().replace("/", ".")
    subprocess.run([sys.executable, "-c", f"import {name}"], cwd=PROJECT, check=True)
