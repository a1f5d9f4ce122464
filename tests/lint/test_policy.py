"""The project's own rules hold for every workflow; and each rule refuses a workflow that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import policy
from .commands import use_known_commands
from .made_workflow import COMMAND, GOOD, write_spoilt
from .policy import RULES, list_pins
from .workflow_files import ACTIONS, GITHUB, WORKFLOWS, read_workflow

EVERY = [*RULES, use_known_commands]


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: f"{path.parent.name}-{path.name}")
@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: rule.__name__)
def test_the_rule_holds(rule: policy.Rule, path: Path) -> None:
    assert list(rule(read_workflow(path))) == []


def test_an_action_has_one_commit_in_all_files() -> None:
    pins = {pin for path in [*WORKFLOWS, *ACTIONS] for pin in list_pins(read_workflow(path))}
    assert sorted(name for name, _ in pins) == sorted({name for name, _ in pins})


def test_no_file_is_overlooked() -> None:
    seen = {*WORKFLOWS, *ACTIONS, GITHUB / "dependabot.yml", GITHUB / "zizmor.yml"}
    assert {path for path in GITHUB.rglob("*") if path.is_file()} - seen == set()


def test_every_rule_accepts_the_good_workflow(tmp_path: Path) -> None:
    workflow = read_workflow(write_spoilt(tmp_path, GOOD, GOOD))
    assert [said for rule in EVERY for said in rule(workflow)] == []


SHA = "@de0fac2e4500dabe0009e67214ff5f5447ce83dd"


@pytest.mark.parametrize(
    ("rule", "old", "new", "said"),
    [
        ("grant_nothing_on_top", "permissions: {}", "permissions: {contents: read}", "expected permissions: {} on top"),
        ("grant_nothing_on_top", "permissions: {}\n", "", "expected permissions: {} on top"),
        ("grant_nothing_on_top", "permissions:\n      contents: write", "permissions: write-all", "each by name"),
        ("write_only_where_needed", COMMAND, "make demo", "contents: write, but no command"),
        ("write_only_where_needed", "contents: write", "packages: write", "packages: write, but no command"),
        ("name_everything", "name: Good\n", "", "no name"),
        ("name_everything", "    name: Run\n", "", "run: no name"),
        ("name_everything", "- name: Set up\n        uses", "- uses", "a step without name"),
        ("bound_every_job", "    timeout-minutes: 10\n", "", "expected timeout-minutes"),
        ("pin_every_action", f"{SHA} # v6.0.2", "@v6", "expected a commit of 40 hex digits"),
        ("pin_every_action", f"{SHA} # v6.0.2", SHA, "expected a comment with its version"),
        ("pin_every_action", "actions/setup\n", "actions/absent\n", "no such file"),
        ("keep_no_credentials", "persist-credentials: false", "persist-credentials: true", "persist-credentials"),
        ("keep_no_credentials", "        with:\n          persist-credentials: false\n", "", "persist-credentials"),
        ("keep_expressions_out_of_shells", '"$STORE"', '"${{ inputs.store }}"', "${{ in Commit"),
        ("name_no_secret", "github.token", "secrets.TOKEN", "names a secret"),
        ("name_no_secret", "github.token", "secrets['TOKEN']", "names a secret"),
        ("tick_off_the_hour", "17 9", "0 9", "neither 0 nor 30"),
        ("tick_off_the_hour", "17 9", "*/15 9", "neither 0 nor 30"),
        ("tick_off_the_hour", "\n      timezone: America/New_York", "", "expected timezone"),
        ("tick_off_the_hour", "America/New_York", "UTC", "expected timezone"),
        ("write_the_store_one_at_a_time", "queue: max", "queue: single", "expected concurrency"),
        ("write_the_store_one_at_a_time", "in-progress: false", "in-progress: true", "expected concurrency"),
        ("write_the_store_one_at_a_time", "group: feature-store", "group: mine", "expected concurrency"),
        ("run_one_command_a_step", COMMAND, f"{COMMAND}; make demo", "expected one plain command"),
        ("run_one_command_a_step", COMMAND, f"|\n          {COMMAND}\n          make demo", "expected one plain"),
        ("run_one_command_a_step", COMMAND, "echo $(make demo)", "expected one plain command"),
        ("declare_every_variable", "STORE: feature_store", "SHOP: feature_store", "$STORE is not declared"),
        ("pin_every_runner", "ubuntu-24.04", "ubuntu-latest", "expected one release"),
        ("set_up_what_is_used", "line: daily", "line: full", "daily is used, not set up"),
        ("set_up_what_is_used", "line: daily", "line: dialy", "dialy: no such line"),
        ("use_known_commands", "pipeline commit", "pipeline comit", "no verb comit"),
        ("use_known_commands", "--store", "--shop", "commit has no option --shop"),
        ("use_known_commands", COMMAND, "python3 -m pipeline.actions summary", "summary needs --report"),
        ("use_known_commands", COMMAND, "python3 -m pipeline.actions enable absent.yml", "no workflow absent.yml"),
        ("use_known_commands", COMMAND, "make demos", "no target demos"),
        ("use_known_commands", COMMAND, "curl example.org", "expected make, scripts/"),
        ("use_known_commands", COMMAND, "scripts/absent.sh", "no such script"),
        ("use_known_commands", COMMAND, ".venv/bin/python -m training train", "lacks what training needs"),
        ("use_known_commands", ".venv/bin/python", "python3", "lacks what pipeline needs"),
    ],
)
def test_the_rule_refuses(tmp_path: Path, rule: str, old: str, new: str, said: str) -> None:
    workflow = read_workflow(write_spoilt(tmp_path, old, new))
    complaints = [found for one in EVERY if one.__name__ == rule for found in one(workflow)]
    assert said in " ".join(complaints)
