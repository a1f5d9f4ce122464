"""GitHub's own actions as far as the workflows use them: what each does to the workspace of the job that asks."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .runner import Worker


class ActionError(Exception):
    """A played action that fails as the real one would."""


def clone_tip(origin: Path, branch: str, folder: Path) -> None:
    """Clone one commit deep, as actions/checkout does; the objects are linked, which is quicker than to send them."""
    command = ["git", "clone", "--quiet", "--no-tags", "--branch", branch, str(origin), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    done = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True)
    (folder / ".git" / "shallow").write_bytes(done.stdout)


def _check_out(worker: Worker, options: dict[str, Any]) -> None:
    assert options.get("persist-credentials") is False, "persist-credentials: false is expected of every checkout"
    machine = worker.run.machine
    branch = str(options.get("ref", machine.branch)).removeprefix("refs/heads/")
    shutil.rmtree(worker.workspace)
    clone_tip(machine.origin, branch, worker.workspace)
    machine.prepare(worker.workspace)


def _restore(worker: Worker, options: dict[str, Any]) -> dict[str, str]:
    kept = worker.run.machine.cache / _slug(options)
    if not kept.exists():
        if options.get("fail-on-cache-miss"):
            raise ActionError(f"no cache entry for {options['key']}")
        return {"cache-hit": ""}
    if not options.get("lookup-only"):
        shutil.copytree(kept, worker.workspace / options["path"], dirs_exist_ok=True)
    return {"cache-hit": "true"}


def _save(worker: Worker, options: dict[str, Any]) -> None:
    shutil.copytree(worker.workspace / options["path"], worker.run.machine.cache / _slug(options))


def _upload(worker: Worker, options: dict[str, Any]) -> None:
    source, kept = worker.workspace / options["path"], worker.run.place / "artifacts" / options["name"]
    if kept.exists() and not options.get("overwrite"):
        raise ActionError(f"artifact {options['name']} is there already")
    if source.exists():
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(source, kept)
    elif options.get("if-no-files-found") == "error":
        raise ActionError(f"{options['path']}: no files were found")


def _download(worker: Worker, options: dict[str, Any]) -> None:
    kept = worker.run.place / "artifacts"
    found = sorted(kept.glob(options.get("pattern", options.get("name", "*"))))
    if "name" in options and not found:
        raise ActionError(f"artifact {options['name']} not found")
    is_flat = "name" in options or options.get("merge-multiple")
    for folder in found:
        target = worker.workspace / options["path"]
        shutil.copytree(folder, target if is_flat else target / folder.name, dirs_exist_ok=True)


ACTIONS: dict[str, Callable[[Worker, dict[str, Any]], dict[str, str] | None]] = {
    "actions/checkout": _check_out,
    "actions/setup-python": lambda worker, options: None,
    "actions/cache/restore": _restore,
    "actions/cache/save": _save,
    "actions/upload-artifact": _upload,
    "actions/download-artifact": _download,
}


OPTIONS = {
    "actions/checkout": {"ref", "persist-credentials"},
    "actions/setup-python": {"python-version"},
    "actions/cache/restore": {"path", "key", "fail-on-cache-miss", "lookup-only"},
    "actions/cache/save": {"path", "key"},
    "actions/upload-artifact": {"name", "path", "overwrite", "if-no-files-found", "retention-days"},
    "actions/download-artifact": {"name", "path", "pattern", "merge-multiple"},
}
"""What each action may be told; all of it is followed but for how long an artifact is kept."""


def _slug(options: Mapping[str, Any]) -> str:
    """Return the name of a cache entry: it is found again under the same key and for the same path only."""
    return f"{options['key']} of {options['path']}".replace("/", "_")
