"""A run's store to a bare origin: what is pushed, what never is, and what happens when others are faster."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from pipeline.commit import Published, commit_store, follow
from pipeline.errors import StoreError
from pipeline.git import GitError, PushRefusedError, Repository
from pipeline.store import FeatureStore

from .made_origin import BRANCH, MERGE, Origin, git
from .made_session import DAY, NEXT_DAY, REVISION, made_evidence, made_manifest_row, made_rows
from .made_store import FEATURES, HEADLINES, LINES, capture_and_seal, edit, made_restatement, read_tree

CLOSE = made_manifest_row(DAY)["cutoff_at"]


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


def refuse_to_wait(attempt: int) -> None:
    raise AssertionError(f"had to try again: {attempt}")


def commit(run: tuple[Repository, FeatureStore]) -> Published:
    """Commit and follow, as the verb does; nobody else pushes meanwhile."""
    repository, store = run
    published = commit_store(repository, store, BRANCH, MERGE, refuse_to_wait)
    assert follow(repository, store, BRANCH, published)
    assert git(repository.root, "status", "--porcelain") == ""
    return published


def own_headline(name: str) -> pd.DataFrame:
    """Return a headline of AAPL that no other run has seen, of the session that is open."""
    row = made_evidence(DAY).iloc[:1]
    return row.assign(headline_id=name, story_id=name, title=f"Only {name} saw this", url=f"https://example.com/{name}")


def test_a_sealed_session_is_pushed_with_its_counts_and_its_model(origin: Origin) -> None:
    run = origin.clone()
    capture_and_seal(run[1], DAY)
    published = commit(run)
    assert published.message.splitlines() == [
        "Seal 2026-11-20",
        "",
        f"2026-11-20: sealed, 3 rows, 4 headline rows, model {REVISION}, 9 feeds answered, 1 did not",
    ]
    assert git(origin.path, "log", "-1", "--format=%B", BRANCH) == published.message.strip()
    assert read_tree(origin.store().root) == read_tree(run[1].root)


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        (lambda store: store.append_headlines(made_evidence(DAY)), "Capture 4 headline rows for 2026-11-20"),
        (lambda store: capture_and_seal(store, DAY, NEXT_DAY), "Seal 2026-11-20 to 2026-11-23"),
        (lambda store: (capture_and_seal(store, DAY), store.restate(made_restatement())), "Seal 2026-11-20"),
        (
            lambda store: edit(store.root / "state/feeds.csv", b"\n", b"\na,https://x,,,,,\n"),
            "Note how the feeds answered",
        ),
    ],
)
def test_the_subject_says_what_was_done(origin: Origin, change: object, subject: str) -> None:
    run = origin.clone()
    change(run[1])  # type: ignore[operator]
    commit(run)
    assert origin.subjects()[0] == subject


def test_a_store_that_is_published_already_makes_no_commit(origin: Origin) -> None:
    run = origin.clone()
    capture_and_seal(run[1], DAY)
    revision = commit(run).revision
    assert commit(run) == Published(revision, "")
    assert len(origin.subjects()) == 2


def test_nothing_but_generated_files_can_be_committed(origin: Origin) -> None:
    repository, store = origin.clone()
    before = origin.paths()
    capture_and_seal(store, DAY)
    strays = ["notes.txt", "features/2026/run.sh", "features/2026/2026-13-45.csv", "features/2026/.x.csv.tmp", "x.py"]
    for name in strays:
        (store.root / name).write_text("mine")
    (store.root / "README.md").write_text("mine")
    (store.root / "features/2026/2026-11-24.csv").symlink_to("/etc/passwd")
    (repository.root / "settings.toml").write_text("a = 2\n")
    git(repository.root, "add", "--all")
    commit_store(repository, store, BRANCH, MERGE, refuse_to_wait)
    written = origin.paths() - before
    assert written == {f"feature_store/{name}" for name in (FEATURES, HEADLINES, LINES)}
    tip = git(origin.path, "rev-parse", BRANCH)
    assert git(origin.path, "show", f"{tip}:feature_store/README.md") == "How to read it."
    assert git(origin.path, "show", f"{tip}:settings.toml") == "a = 1"


def test_what_an_interrupted_sealing_has_left_is_no_data(origin: Origin) -> None:
    run = origin.clone()
    capture_and_seal(run[1], DAY)
    leftovers = [run[1].root / name for name in ("features/2026/2026-11-23.csv", "state/lines/2026/2026-11-23.csv")]
    for path in leftovers:
        path.write_text("half of a session")
    commit(run)
    assert not [path for path in origin.paths() if "2026-11-23" in path]
    assert not [path for path in leftovers if path.exists()]


def test_what_a_run_found_is_added_to_what_a_faster_one_has_pushed(origin: Origin) -> None:
    fast, slow = origin.clone(), origin.clone()
    fast[1].append_headlines(own_headline("fast"))
    slow[1].append_headlines(own_headline("slow"))
    commit(fast)
    published = commit(slow)
    assert published.merge is not None
    assert published.merge.row_count == 1
    assert "Merged with what others had published meanwhile; headline rows added: 1." in published.message
    assert set(origin.store().read_headlines(DAY).headline_id) == {"fast", "slow"}
    assert read_tree(slow[1].root) == read_tree(origin.store().root)


def test_the_session_sealed_first_wins_and_the_other_runs_headlines_count_for_the_next(origin: Origin) -> None:
    first, second = origin.clone(), origin.clone()
    capture_and_seal(first[1], DAY)
    second[1].append_headlines(pd.concat([made_evidence(DAY), own_headline("late")]))
    later = CLOSE + timedelta(minutes=50)
    second[1].seal(made_rows(DAY, available_at=later), made_manifest_row(DAY, available_at=later))
    commit(first)
    sealed = read_tree(first[1].root)
    published = commit(second)
    assert "our sealing of 2026-11-20" in published.message
    found = origin.store()
    assert {name: read_tree(found.root)[name] for name in (FEATURES, HEADLINES, LINES, "manifest.csv")} == {
        name: sealed[name] for name in (FEATURES, HEADLINES, LINES, "manifest.csv")
    }
    assert found.read_headlines(NEXT_DAY)[["headline_id", "is_late"]].values.tolist() == [["late", True]]
    assert found.verify() == []


def test_a_push_of_other_files_is_built_upon(origin: Origin) -> None:
    person, run = origin.clone(), origin.clone()
    (person[0].root / "settings.toml").write_text("a = 3\n")
    git(person[0].root, "commit", "--quiet", "--all", "--message", "Set a")
    git(person[0].root, "push", "--quiet", "origin", BRANCH)
    capture_and_seal(run[1], DAY)
    assert commit(run).merge is None
    assert origin.subjects() == ["Seal 2026-11-20", "Set a", "Begin"]
    assert (run[0].root / "settings.toml").read_text() == "a = 3\n"


def test_runs_that_push_at_the_same_time_all_get_through(origin: Origin) -> None:
    names = ["one", "two", "three", "four"]
    runs = [origin.clone("--depth", "1") for _ in names]
    for name, (_, store) in zip(names, runs, strict=True):
        store.append_headlines(own_headline(name))
    with ThreadPoolExecutor(len(runs)) as pool:
        done = [pool.submit(commit_store, *run, BRANCH, MERGE, lambda attempt: None, attempts=50) for run in runs]
        assert all(one.result().message for one in done)
    assert sorted(origin.store().read_headlines(DAY).headline_id) == sorted(names)
    assert len(origin.subjects()) == 1 + len(names)
    assert origin.store().verify() == []


def test_a_remote_that_does_not_answer_is_tried_so_often_and_no_more(origin: Origin) -> None:
    repository, store = origin.clone()
    capture_and_seal(store, DAY)
    git(repository.root, "remote", "set-url", "origin", str(origin.place / "nowhere"))
    waited: list[int] = []
    with pytest.raises(GitError, match="main: not pushed after 3 attempts; git fetch: "):
        commit_store(repository, store, BRANCH, MERGE, waited.append, attempts=3)
    assert waited == [1, 2]
    assert git(repository.root, "rev-parse", "HEAD") == git(origin.path, "rev-parse", BRANCH)
    assert store.verify() == []


def test_a_push_whose_answer_was_lost_is_not_pushed_again(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    repository, store = origin.clone()
    capture_and_seal(store, DAY)
    push = Repository.push

    def push_and_hang_up(self: Repository, commit: str, branch: str) -> None:
        push(self, commit, branch)
        raise PushRefusedError("the connection was closed")

    monkeypatch.setattr(Repository, "push", push_and_hang_up)
    published = commit_store(repository, store, BRANCH, MERGE, lambda attempt: None)
    assert published.message.startswith("Seal 2026-11-20")
    assert origin.subjects() == ["Seal 2026-11-20", "Begin"]


def test_a_checkout_that_never_learnt_of_its_own_push_goes_on_from_there(origin: Origin) -> None:
    run = origin.clone()
    capture_and_seal(run[1], DAY)
    commit_store(*run, BRANCH, MERGE, refuse_to_wait)  # and killed before it could follow
    run[1].append_headlines(made_evidence(NEXT_DAY, url="https://example.com/next"))
    run[1].seal(made_rows(NEXT_DAY), made_manifest_row(NEXT_DAY))
    published = commit(run)
    assert published.merge is not None
    assert published.merge.taken == ((NEXT_DAY, 1),)
    assert read_tree(origin.store().root) == read_tree(run[1].root)
    assert origin.subjects() == ["Seal 2026-11-23", "Seal 2026-11-20", "Begin"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: edit(root / FEATURES, b"AAPL", b"AAPM"), f"{FEATURES}: its session is sealed"),
        (lambda root: (root / HEADLINES).unlink(), f"{HEADLINES}: missing, though its session is sealed"),
        (lambda root: edit(root / "manifest.csv", b",4,", b",5,"), "session 2026-11-20 is sealed; its line never"),
        (lambda root: (root / "manifest.csv").unlink(), "session 2026-11-20 is sealed; its line never changes"),
    ],
)
def test_what_is_sealed_is_never_changed_by_a_commit(origin: Origin, spoil: object, message: str) -> None:
    run = origin.clone()
    capture_and_seal(run[1], DAY)
    commit(run)
    spoil(run[1].root)  # type: ignore[operator]
    with pytest.raises(StoreError, match=message):
        commit_store(*run, BRANCH, MERGE, refuse_to_wait)
    assert origin.subjects() == ["Seal 2026-11-20", "Begin"]


def test_a_dry_run_says_what_it_would_push(origin: Origin) -> None:
    repository, store = origin.clone()
    capture_and_seal(store, DAY)
    found = commit_store(repository, store, BRANCH, MERGE, refuse_to_wait, is_dry_run=True)
    assert found.message.startswith("Seal 2026-11-20\n")
    assert origin.subjects() == ["Begin"]


def test_a_checkout_of_something_else_is_left_alone(origin: Origin) -> None:
    repository, store = origin.clone()
    git(repository.root, "checkout", "--quiet", "--detach")
    capture_and_seal(store, DAY)
    published = commit_store(repository, store, BRANCH, MERGE, refuse_to_wait)
    before = git(repository.root, "rev-parse", "HEAD")
    assert not follow(repository, store, BRANCH, published)
    assert git(repository.root, "rev-parse", "HEAD") == before


def test_a_store_outside_the_repository_is_refused(origin: Origin, tmp_path: Path) -> None:
    repository, _ = origin.clone()
    with pytest.raises(GitError, match="elsewhere: lies outside the repository"):
        commit_store(repository, FeatureStore(tmp_path / "elsewhere"), BRANCH, MERGE, refuse_to_wait)


def test_a_commit_needs_an_author(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    repository, store = origin.clone()
    for name in ("user.name", "user.email"):
        git(repository.root, "config", "--unset", name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(origin.place))
    git(repository.root, "config", "user.useConfigOnly", "true")
    capture_and_seal(store, DAY)
    with pytest.raises(GitError, match="git commit-tree: .*user.email"):
        commit_store(repository, store, BRANCH, MERGE, refuse_to_wait)
