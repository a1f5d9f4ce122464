"""A pull request for a pinned adapter: one file, two values, a branch of its own, and the base never touched."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.actions.client import ApiError
from pipeline.actions.propose import check_change, propose
from pipeline.errors import ConfigError, PipelineError
from pipeline.git import Repository
from tests.sample import SETTINGS_PATH

from ...github_server import LONGEST_BODY, Fault, GitHubServer
from .made_run import open_client

NAME = "pipeline/settings.toml"
SHIPPED = SETTINGS_PATH.read_text()
PIN = "ab" * 20


def pin(text: str, revision: str = PIN, repository: str = "owner/adapter") -> str:
    """Return settings with an adapter pinned, as `promote` writes it."""
    text = text.replace('repository = ""', f'repository = "{repository}"')
    text = text.replace('revision = ""', f'revision = "{revision}"')
    return text.replace('sha256 = ""', f'sha256 = "{"5" * 64}"')


def git(folder: Path, *args: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *args], capture_output=True, text=True, check=True).stdout.strip()


class Fork:
    """A checkout of a bare origin, and GitHub beside it."""

    def __init__(self, root: Path) -> None:
        self.origin, self.checkout = root / "origin.git", root / "checkout"
        git(root, "init", "--quiet", "--bare", "--initial-branch=main", str(self.origin))
        git(root, "clone", "--quiet", str(self.origin), str(self.checkout))
        git(self.checkout, "checkout", "--quiet", "-b", "main")
        self.settings = self.checkout / NAME
        self.settings.parent.mkdir()
        self.settings.write_text(SHIPPED)
        (self.checkout / "README.md").write_text("before\n")
        self.publish("begin")
        self.server = GitHubServer(origin=self.origin)

    def publish(self, message: str) -> None:
        """Commit everything in the checkout to main and push it."""
        git(self.checkout, "add", "--all")
        git(self.checkout, "commit", "--quiet", "-m", message)
        git(self.checkout, "push", "--quiet", "origin", "main")

    def propose(self, branch: str = "adapter", base: str = "main", body: str = "| table |\n") -> str | None:
        """Propose the settings as they lie in the checkout."""
        return propose(
            open_client(self.server), Repository(self.checkout), self.settings, branch, base, "Pin an adapter", body
        )


@pytest.fixture
def fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fork]:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "robot")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "robot@example.com")
    fork = Fork(tmp_path)
    with fork.server:
        yield fork


def test_the_branch_changes_the_pinned_revision_and_nothing_else(fork: Fork) -> None:
    fork.settings.write_text(pin(SHIPPED))
    (fork.checkout / "README.md").write_text("changed here, not proposed\n")
    before = git(fork.origin, "rev-parse", "main")
    assert fork.propose() == "https://github.example/owner/repository/pull/1"
    assert git(fork.origin, "rev-parse", "main") == before
    assert git(fork.origin, "rev-parse", "adapter^") == before
    assert git(fork.origin, "diff", "--name-only", "main", "adapter") == NAME
    assert git(fork.origin, "show", f"adapter:{NAME}") == pin(SHIPPED).strip()
    assert git(fork.origin, "log", "-1", "--format=%s", "adapter") == "Pin an adapter"


def test_the_pull_request_says_what_it_was_told(fork: Fork) -> None:
    fork.settings.write_text(pin(SHIPPED))
    fork.propose(body="| table |\n")
    pull = fork.server.issues[1]
    assert (pull["title"], pull["body"], pull["head"]["ref"], pull["base"]["ref"]) == (
        "Pin an adapter",
        "| table |\n",
        "adapter",
        "main",
    )


def test_the_checkout_stays_as_it_was(fork: Fork) -> None:
    fork.settings.write_text(pin(SHIPPED))
    state = [git(fork.checkout, *args.split()) for args in ("status --porcelain", "rev-parse HEAD", "branch --list")]
    fork.propose()
    assert state == [
        git(fork.checkout, *args.split()) for args in ("status --porcelain", "rev-parse HEAD", "branch --list")
    ]


def test_another_adapter_replaces_branch_and_text_of_the_open_pull_request(fork: Fork) -> None:
    fork.settings.write_text(pin(SHIPPED))
    fork.propose(body="first")
    fork.settings.write_text(pin(SHIPPED, "cd" * 20))
    assert fork.propose(body="second") == "https://github.example/owner/repository/pull/1"
    assert len(fork.server.issues) == 1
    assert fork.server.issues[1]["body"] == "second"
    assert git(fork.origin, "rev-list", "--count", "main..adapter") == "1"
    assert "cd" * 20 in git(fork.origin, "show", f"adapter:{NAME}")


def test_a_branch_is_built_on_the_remotes_base_not_on_the_checkout(fork: Fork) -> None:
    git(fork.checkout, "clone", "--quiet", str(fork.origin), str(fork.checkout.parent / "rival"))
    rival = fork.checkout.parent / "rival"
    (rival / "README.md").write_text("later\n")
    git(rival, "commit", "--quiet", "--all", "-m", "later")
    git(rival, "push", "--quiet", "origin", "main")
    fork.settings.write_text(pin(SHIPPED))
    fork.propose()
    assert git(fork.origin, "show", "adapter:README.md") == "later"
    assert git(fork.origin, "diff", "--name-only", "main", "adapter") == NAME


def test_what_the_base_has_already_is_not_proposed(fork: Fork) -> None:
    assert fork.propose() is None
    assert git(fork.origin, "branch", "--list") == "* main"
    assert fork.server.requests == []


@pytest.mark.parametrize("fault", [Fault(502), Fault(0), Fault(502, is_after=True), Fault(0, is_after=True)], ids=str)
@pytest.mark.parametrize("stage", ["pulls", "open_pull"])
def test_a_fault_of_github_opens_no_second_pull_request(fork: Fork, stage: str, fault: Fault) -> None:
    fork.settings.write_text(pin(SHIPPED))
    fork.server.fail(stage, fault)
    assert fork.propose() == "https://github.example/owner/repository/pull/1"
    assert len(fork.server.issues) == 1


def test_where_workflows_may_open_no_pull_request_a_person_is_shown_the_page(fork: Fork) -> None:
    fork.settings.write_text(pin(SHIPPED))
    fork.server.may_open_pulls = False
    page = r"https://github\.example/owner/repository/compare/main\.\.\.adapter"
    with pytest.raises(ApiError, match=rf"not permitted to create.*the branch is pushed.*{page}"):
        fork.propose()
    assert git(fork.origin, "rev-parse", "adapter^") == git(fork.origin, "rev-parse", "main")


def test_a_long_text_is_cut(fork: Fork) -> None:
    fork.settings.write_text(pin(SHIPPED))
    fork.propose(body="| row |\n" * 20_000)
    assert len(fork.server.issues[1]["body"]) <= LONGEST_BODY
    assert "Cut here" in fork.server.issues[1]["body"]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (("min_headlines = 1 ", "min_headlines = 0 "), "differs from the base in validate"),
        (('model = "../default_model"', 'model = "elsewhere"'), "differs from the base in score"),
        (("# The recorded day's own settings", "# Edited"), r"settings\.toml:1: differs"),
        (("# what export-model exports", "# another comment"), "differs from the base"),
        (("# its commit, 40 hex digits", "# another comment"), "differs from the base"),
        (("[sessions]", "\n[sessions]"), "differs from the base"),
        (("below this the session is not sealed", "below this the session is not sealed\n"), "expected a change"),
        (("[adapter] ", "[adapter]\r\n#"), "differs from the base"),
    ],
)
def test_any_other_change_is_refused_and_nothing_is_pushed(fork: Fork, edit: tuple[str, str], said: str) -> None:
    changed = pin(SHIPPED).replace(*edit)
    assert changed != pin(SHIPPED)
    fork.settings.write_bytes(changed.encode())
    with pytest.raises(ConfigError, match=said):
        fork.propose()
    assert git(fork.origin, "branch", "--list") == "* main"
    assert fork.server.requests == []


@pytest.mark.parametrize("revision", ["main", "AB" * 20, "ab" * 19])
def test_a_revision_that_is_no_commit_is_refused(fork: Fork, revision: str) -> None:
    fork.settings.write_text(pin(SHIPPED, revision))
    with pytest.raises(ConfigError, match="adapter.revision"):
        fork.propose()


@pytest.mark.parametrize(
    ("branch", "base"), [("main", "main"), ("a b", "main"), ("-x..y", "main"), ("a", "x~1"), ("", "main")]
)
def test_a_branch_that_is_none_or_the_base_is_refused(fork: Fork, branch: str, base: str) -> None:
    fork.settings.write_text(pin(SHIPPED))
    with pytest.raises(ConfigError, match="--branch|--base"):
        fork.propose(branch, base)
    assert git(fork.origin, "branch", "--list") == "* main"


def test_a_remote_that_is_gone_is_one_line(fork: Fork) -> None:
    fork.settings.write_text(pin(SHIPPED))
    shutil.rmtree(fork.origin)
    with pytest.raises(PipelineError, match="git fetch"):
        fork.propose()


def test_a_table_that_only_looks_like_the_adapters_is_compared_letter_by_letter() -> None:
    inside = 'note = """\n[adapter]\nrevision = "{}"\n"""\n[adapter]\nrevision = "{}"\n'
    check_change(inside.format("x", "a").encode(), inside.format("x", "b").encode(), "s.toml")
    with pytest.raises(ConfigError, match="differs from the base in note"):
        check_change(inside.format("x", "a").encode(), inside.format("y", "a").encode(), "s.toml")


@pytest.mark.parametrize("content", [b"[adapter", b"\xff"])
def test_what_is_not_toml_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigError, match="not valid TOML"):
        check_change(content, b"", "s.toml")
