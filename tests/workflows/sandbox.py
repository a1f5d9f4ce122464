"""A fork without GitHub: a bare repository as origin, feeds and GitHub's interface on loopback, a clock of its own.

sandbox.serve("AAPL", ("Apple beats estimates", FRIDAY_NOON))
run = sandbox.tick("daily.yml", FRIDAY_EVENING)
sandbox.check(run, sealed={THURSDAY, FRIDAY})
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.generated import is_generated, read_key
from pipeline.schema import HEADLINE_TABLE
from pipeline.store import FeatureStore
from pipeline.tables import to_frame
from tests.conftest import PROJECT
from tests.daily_line import COMPANIES, feed_document
from tests.feed_server import Answer, FeedServer
from tests.github_server import READ_TOKEN, TOKEN, GitHubServer
from tests.sample import SETTINGS_PATH

from .runner import PROGRAMS, JobResult, Machine, Run, RunResult

SITE = Path(__file__).parent / "site"
BRANCH = "main"
FEEDS = ("wire", "blog")
LEFT_OUT = ("tests/", "docs/", "training/results/", "benchmarks/", "examples/", "pipeline/sample_day/")
KEPT = ("tests/requirements.txt", "tests/requirements.lock")
OLD = 946_684_800
"""File time of the locks in a checkout, so that make finds the linked environments newer than what they come from."""

OWNERS_SUBJECT = "Change settings"

Item = tuple[str, datetime]


def git(folder: Path, *args: str) -> str:
    """Return what a git command prints."""
    identity = ("-c", "user.name=Owner", "-c", "user.email=owner@example.com")
    done = subprocess.run(["git", "-C", str(folder), *identity, *args], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def make_fork(place: Path, feeds: FeedServer) -> Path:
    """Return a bare repository of this project as it stands here, edited as a fork would edit it."""
    work = place / "fork"
    listed = git(PROJECT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in listed:
        is_wanted = name in KEPT or not (name.startswith(LEFT_OUT) or _is_generated(name))
        if is_wanted and (PROJECT / name).is_file():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, work / name)
    rows = [f"{company.ticker},{company.name},,{company.exchange}" for company in COMPANIES]
    (work / "pipeline/tickers.csv").write_text("\n".join(["ticker,company,aliases,exchange", *rows]) + "\n")
    tables = [f'[{name}]\nsource = "{name.title()}"\nurl = "{feeds.url(f"/{name}/")}{{ticker}}"\n' for name in FEEDS]
    (work / "pipeline/feeds.toml").write_text("\n".join(tables))
    FeatureStore(work / "feature_store").create()
    shutil.copyfile(SETTINGS_PATH, work / "pipeline/settings.toml")
    edit(
        work / "pipeline/settings.toml",
        {
            '"../default_model"': '"default_model"',
            '"../../demo/feature_store"': '"../feature_store"',
            "allow_private_addresses = false": "allow_private_addresses = true",
            "min_interval_s = 0.25": "min_interval_s = 0.0",
            "retries = 2 ": "retries = 0 ",
            "timeout_s = 10.0": "timeout_s = 2.0",
            "per_host = 2 ": "per_host = 8 ",
        },
    )
    git(place, "init", "--quiet", "--initial-branch", BRANCH, str(work))
    git(work, "add", "--all", "--force")
    git(work, "commit", "--quiet", "--message", "Fork")
    git(place, "clone", "--quiet", "--bare", str(work), str(place / "origin.git"))
    return place / "origin.git"


def edit(path: Path, changes: Mapping[str, str]) -> None:
    """Replace parts of a file, each of which must be there."""
    text = path.read_text()
    for old, new in changes.items():
        assert old in text, f"{path}: {old}"
        text = text.replace(old, new)
    path.write_text(text)


class Sandbox:
    """A fork at work below ``place``, begun as a copy of ``origin``."""

    def __init__(self, place: Path, origin: Path, feeds: FeedServer) -> None:
        self.place = place
        self.origin = place / "origin.git"
        git(place, "clone", "--quiet", "--bare", str(origin), str(self.origin))
        self.first = self.tip()
        self.feeds = feeds
        self.github = GitHubServer(origin=self.origin)
        self.github.workflows = dict.fromkeys(("capture.yml", "daily.yml", "watchdog.yml"), "disabled_inactivity")
        self.items: dict[str, dict[str, Item]] = {}
        self._write_hook("pre-receive", '[ -n "$SANDBOX_MAY_PUSH" ] || { echo "this job may not push" >&2; exit 1; }')
        self.machine = Machine(
            place=place,
            origin=self.origin,
            environment={
                "PYTHONPATH": str(SITE),
                "PYTHONDONTWRITEBYTECODE": "1",
                "GITHUB_API_URL": self.github.url,
                "GITHUB_SERVER_URL": "https://github.example",
            },
            prepare=_prepare,
            tokens=(TOKEN, READ_TOKEN),
            tell_github=self._tell,
            branch=BRANCH,
        )
        _write_programs(place / "bin")
        for company in COMPANIES:
            self.serve(company.ticker)

    def serve(self, ticker: str, *items: Item, feed: str = FEEDS[0]) -> None:
        """Add items to a ticker's feed; both feeds of every ticker answer, with nothing to begin with."""
        for name in FEEDS:
            known = self.items.setdefault(f"/{name}/{ticker}", {})
            known.update({title: (title, at) for title, at in items if name == feed})
            self.feeds.add(f"/{name}/{ticker}", Answer(body=feed_document(*known.values())))

    def break_feeds(self, names: Iterable[str] = FEEDS) -> None:
        """Let the feeds called ``names`` answer 503."""
        for name in names:
            for company in COMPANIES:
                self.feeds.add(f"/{name}/{company.ticker}", Answer(503))

    def mend_feeds(self) -> None:
        """Let every feed answer again."""
        for company in COMPANIES:
            self.serve(company.ticker)

    def tick(
        self,
        workflow: str,
        at: datetime,
        inputs: Mapping[str, Any] | None = None,
        fault: str = "",
        only: Collection[str] = (),
        before: Mapping[str, JobResult] | None = None,
        event: str = "",
        **extra: str,
    ) -> RunResult:
        """Run a workflow at a moment, as its schedule would or, with ``inputs``, as a person, or for another event.

        ``only`` these jobs, after those that had ended as ``before`` says; all of them without.
        """
        variables = {"SANDBOX_NOW": at.isoformat(), **({"SANDBOX_FAULT": fault} if fault else {}), **extra}
        event = event or ("schedule" if inputs is None else "workflow_dispatch")
        return Run(self.machine, event, inputs or {}, variables).run(self.checkout(), workflow, only, before)

    def work(
        self, name: str, verb: str, at: datetime, may_push: bool = False, fault: str = "", is_killed: bool = False
    ) -> str:
        """Run a verb in a checkout of its own called ``name``, made at origin's tip when it is not there; return it.

        The checkout stays, one commit deep, as on a machine of one's own. The verb succeeds unless it ``is_killed``.
        """
        folder = self.place / name
        if not folder.exists():
            git(self.place, "clone", "--quiet", "--depth", "1", f"file://{self.origin}", str(folder))
            git(folder, "config", "user.name", "Run")
            git(folder, "config", "user.email", "run@example.com")
            _prepare(folder)
        environment = {**os.environ, **self.machine.environment, "SANDBOX_NOW": at.isoformat()}
        environment |= {"SANDBOX_MAY_PUSH": "1"} if may_push else {}
        environment |= {"SANDBOX_FAULT": fault} if fault else {}
        command = [".venv/bin/python", "-m", "pipeline", verb]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == (-signal.SIGKILL if is_killed else 0), f"{verb}: {done.stdout}{done.stderr}"
        return name

    def checkout(self) -> Path:
        """Return origin's tip in a folder of its own."""
        folder = self.place / "tips" / self.tip()
        if not folder.exists():
            git(self.place, "clone", "--quiet", str(self.origin), str(folder))
        return folder

    def store(self) -> FeatureStore:
        """Return the store at origin's tip."""
        return FeatureStore(self.checkout() / "feature_store")

    def change(self, path: str, changes: Mapping[str, str], files: Mapping[str, str | bytes] = {}) -> None:  # noqa: B006
        """Commit an edit to a file, as the owner would, and new ``files`` beside it."""
        work = self.place / f"owner{len(list(self.place.glob('owner*')))}"
        git(self.place, "clone", "--quiet", str(self.origin), str(work))
        edit(work / path, changes)
        for name, content in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        git(work, "add", "--all")
        git(work, "commit", "--quiet", "--message", OWNERS_SUBJECT)
        environment = {**os.environ, "SANDBOX_MAY_PUSH": "1"}
        subprocess.run(["git", "-C", str(work), "push", "--quiet"], check=True, env=environment, capture_output=True)

    def kill_push(self, hook: str) -> None:
        """Kill the client of the next push: "pre-receive" before the remote takes it, "post-receive" after."""
        line = f'rm -f "$0.armed" && "{sys.executable}" "{Path(__file__).parent / "kill_client.py"}"; exit 1'
        self._write_hook(hook, f'if [ -e "$0.armed" ]; then {line}; fi')
        (self.origin / "hooks" / f"{hook}.armed").touch()

    def tip(self) -> str:
        """Return the commit of origin's branch."""
        return git(self.origin, "rev-parse", BRANCH)

    def subjects(self) -> list[str]:
        """Return the subjects of the commits that runs have made, newest first."""
        return git(self.origin, "log", "--format=%s", f"{self.first}..{BRANCH}").splitlines()

    def evidence(self) -> pd.DataFrame:
        """Return all evidence at the tip."""
        store = self.store()
        frames = [store.read_headlines(day) for day in sorted(store.captured_dates())]
        return pd.concat([to_frame(HEADLINE_TABLE, []), *frames], ignore_index=True)

    def check(self, sealed: set[date], titles: Iterable[str] | None = None) -> None:
        """Assert that no session is lost, doubled or rewritten, no headline lost or doubled, nothing else committed.

        ``titles`` are the headlines that must be there, by default all that were ever served.
        """
        store, rows = self.store(), self.evidence()
        assert store.sealed_dates() == sealed
        assert list(store.entries()) == [(day, 1) for day in sorted(sealed)]
        assert store.verify() == []
        wanted = {title for items in self.items.values() for title in items} if titles is None else set(titles)
        assert wanted <= set(rows.title)
        doubled = [key for key, count in Counter(zip(rows.headline_id, rows.ticker, strict=True)).items() if count > 1]
        assert doubled == []
        self.check_history()

    def check_history(self) -> None:
        """Walk origin's commits: what was sealed once has the same bytes for ever, and only generated files changed."""
        known: dict[str, str] = {}
        later = git(self.origin, "rev-list", "--reverse", f"{self.first}..{BRANCH}").splitlines()
        for commit in [self.first, *later]:
            subject = git(self.origin, "log", "-1", "--format=%s", commit)
            changed = git(self.origin, "diff-tree", "--no-commit-id", "--name-only", "-r", commit).splitlines()
            if commit != self.first and subject != OWNERS_SUBJECT:
                assert [name for name in changed if not _is_generated(name)] == []
            listed = git(self.origin, "ls-tree", "-r", commit, "feature_store/").splitlines()
            blobs = {line.split("\t")[1].removeprefix("feature_store/"): line.split()[2] for line in listed}
            manifest = (
                git(self.origin, "show", f"{commit}:feature_store/manifest.csv") if "manifest.csv" in blobs else ""
            )
            days = {line.split(",")[0] for line in manifest.splitlines()}
            sealed = {name: blob for name, blob in blobs.items() if (key := read_key(name)) and str(key[0]) in days}
            assert {name: blobs.get(name) for name in known} == known, f"{commit} {subject}"
            known |= sealed

    def _tell(self, run_id: int, jobs: Mapping[str, JobResult]) -> None:
        results = {job.name: job.result for job in jobs.values()}
        steps = {job.name: {step.name: step.outcome for step in job.steps} for job in jobs.values()}
        self.github.add_jobs(run_id, results, steps)

    def _write_hook(self, name: str, line: str) -> None:
        path = self.origin / "hooks" / name
        before = path.read_text() if path.exists() else "#!/bin/sh\n"
        path.write_text(f"{before}{line}\n")
        path.chmod(0o755)


def _is_generated(name: str) -> bool:
    """Say whether a path of the repository is one of the store that only runs write."""
    return name.startswith("feature_store/") and is_generated(name.removeprefix("feature_store/"))


def _prepare(workspace: Path) -> None:
    """Link the installed environments into a checkout, and make its locks older than they are."""
    assert (Path(sys.prefix) / "ready").exists(), "the environment was not made by `make test`"
    for name in (".venv", ".venv-full"):
        (workspace / name).symlink_to(sys.prefix)
    for name in ("requirements.lock", "tests/requirements.lock"):
        os.utime(workspace / name, (OLD, OLD))


def _write_programs(folder: Path) -> None:
    """Write the runner's own python3, the standard library and nothing that was installed, and link PROGRAMS."""
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).symlink_to(str(shutil.which(name)))
    path = folder / "python3"
    path.write_text(f'#!/bin/sh\nexec "{sys._base_executable}" -S "$@"\n')  # type: ignore[attr-defined]
    path.chmod(0o755)
