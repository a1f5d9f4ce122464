"""Whether the commands that workflows name exist: programs, verbs, their options, targets of the Makefile."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shlex
from collections.abc import Iterator
from functools import cache

from .workflow_files import GITHUB, PROJECT, Workflow, iterate_commands

PYTHONS = {"python3": "system", ".venv/bin/python": "daily", ".venv-full/bin/python": "full"}
PARSERS = {
    "pipeline": ("pipeline.__main__", "_parser"),
    "pipeline.actions": ("pipeline.actions.__main__", "_parser"),
    "training": ("training.__main__", "build_parser"),
}
"""Where each package's command line is made."""

NEEDS = {"pipeline.actions": {"system", "daily", "full"}, "pipeline": {"daily", "full"}, "training": {"full"}}
"""Which Pythons have what a package imports."""


def use_known_commands(workflow: Workflow) -> Iterator[str]:
    """Every command is `make TARGET`, a script of ours, or a verb of ours with options that the verb has."""
    for job_id, _, command in iterate_commands(workflow):
        yield from (f"{job_id}: {command}: {said}" for said in _judge(shlex.split(command)))


def _judge(words: list[str]) -> Iterator[str]:
    if words[0] == "make":
        yield from (f"no target {word}" for word in words[1:] if "=" not in word and not is_target(word))
    elif words[0].startswith("scripts/"):
        if not os.access(PROJECT / words[0], os.X_OK):
            yield "no such script"
    elif words[0] not in PYTHONS or words[1:2] != ["-m"] or words[2] not in PARSERS:
        yield "expected make, scripts/, or a Python with -m and one of " + ", ".join(PARSERS)
    elif PYTHONS[words[0]] not in NEEDS[words[2]]:
        yield f"{words[0]} lacks what {words[2]} needs"
    else:
        yield from _judge_verb(words[2], words[3], words[4:])


def _judge_verb(package: str, verb: str, arguments: list[str]) -> Iterator[str]:
    verbs = read_verbs(package)
    if verb not in verbs:
        yield f"no verb {verb}"
        return
    options = {word.split("=")[0] for word in arguments if word.startswith("--")}
    known = {name: action for action in verbs[verb]._actions for name in action.option_strings}
    yield from (f"{verb} has no option {option}" for option in sorted(options - known.keys()))
    for action in {action.dest: action for action in known.values() if action.required}.values():
        if not options & set(action.option_strings):
            yield f"{verb} needs {action.option_strings[-1]}"
    for word in arguments:
        if word.endswith(".yml") and not (GITHUB / "workflows" / word).is_file():
            yield f"no workflow {word}"


@cache
def read_verbs(package: str) -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each verb of a package."""
    module, maker = PARSERS[package]
    parser: argparse.ArgumentParser = getattr(importlib.import_module(module), maker)()
    verbs = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(verbs.choices)


def is_target(word: str) -> bool:
    """Whether the Makefile has a target of this name, in which a variable stands for anything."""
    names = re.findall(r"^([\w./-]+):(?!=)", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    pattern = re.sub(r"\\\$\w+", ".+", re.escape(word))
    return any(re.fullmatch(pattern, name) for name in names)
