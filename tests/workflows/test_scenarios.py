"""What real schedules suffer, on the workflows' own lines: no session is lost, doubled or rewritten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest

from pipeline.store import FeatureStore
from tests.github_server import TOKEN

from .sandbox import Sandbox, git

THURSDAY, FRIDAY, MONDAY = date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 23)
NOON = datetime(2026, 11, 20, 17, tzinfo=UTC)
EVENING = datetime(2026, 11, 20, 21, 37, tzinfo=UTC)
MORNING = datetime(2026, 11, 21, 11, 17, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_a_fresh_fork_begins_without_any_secret(fresh: Sandbox) -> None:
    fresh.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON))
    run = fresh.tick("daily.yml", EVENING)
    assert run.result == "success", run.describe()
    fresh.check(sealed={FRIDAY})
    assert fresh.subjects() == ["Seal 2026-11-20"]
    assert fresh.github.issues == {}
    assert "Session 2026-11-20" in run.jobs["seal"].summary


def test_a_normal_day(sandbox: Sandbox) -> None:
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON - 3 * HOUR))
    runs = [sandbox.tick("capture.yml", NOON - 2 * HOUR)]
    sandbox.serve("MSFT", ("Microsoft misses cloud forecast", NOON))
    runs += [sandbox.tick("capture.yml", NOON + HOUR), sandbox.tick("daily.yml", EVENING)]
    sealed = sandbox.tip()
    runs += [sandbox.tick("daily.yml", MORNING), sandbox.tick("watchdog.yml", MORNING + 11 * HOUR)]
    assert [run.result for run in runs] == ["success"] * 5, "\n".join(run.describe() for run in runs)
    sandbox.check(sealed={THURSDAY, FRIDAY})
    assert sandbox.subjects()[1:4] == [
        "Seal 2026-11-20",
        "Capture 1 headline rows for 2026-11-20",
        "Capture 1 headline rows for 2026-11-20",
    ]
    assert sandbox.store().read_features(FRIDAY).ticker.tolist() == ["AAPL", "BRK.B", "MSFT", "NVDA"]
    assert sealed != sandbox.tip()
    assert set(sandbox.github.workflows.values()) == {"active"}


def test_a_tick_that_comes_nine_and_a_half_hours_late(sandbox: Sandbox) -> None:
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON), ("Apple opens a lab", EVENING + HOUR))
    run = sandbox.tick("daily.yml", EVENING + 9.5 * HOUR)
    assert run.result == "success", run.describe()
    sandbox.check(sealed={THURSDAY, FRIDAY})
    assert sandbox.store().read_headlines(FRIDAY).title.tolist() == ["Apple beats estimates on iPhone sales"]
    assert sandbox.store().read_headlines(MONDAY).title.tolist() == ["Apple opens a lab"]


def test_a_day_without_any_run_is_caught_up(sandbox: Sandbox) -> None:
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON), ("Apple cuts prices", NOON + 3 * DAY))
    assert sandbox.tick("watchdog.yml", EVENING + 2 * DAY).result == "failure"
    assert len(sandbox.github.open_numbers()) == 1
    assert "2026-11-20" in sandbox.github.issues[sandbox.github.open_numbers()[0]]["body"]
    run = sandbox.tick("daily.yml", EVENING + 3 * DAY)
    assert run.result == "success", run.describe()
    sandbox.check(sealed={THURSDAY, FRIDAY, MONDAY})
    assert sandbox.subjects() == ["Seal 2026-11-20 to 2026-11-23"]
    assert sandbox.tick("watchdog.yml", EVENING + 3.5 * DAY).result == "success"
    assert sandbox.github.open_numbers() == []


def test_half_of_the_feeds_down(sandbox: Sandbox) -> None:
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON))
    sandbox.break_feeds(["blog"])
    run = sandbox.tick("daily.yml", EVENING)
    assert run.result == "success", run.describe()
    sandbox.check(sealed={THURSDAY, FRIDAY})
    assert set(sandbox.store().read_features(FRIDAY).status) == {"news", "fetch_failed"}


def test_all_feeds_down_writes_nothing_and_opens_one_issue_until_they_are_back(sandbox: Sandbox) -> None:
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON))
    sandbox.break_feeds()
    before = sandbox.tip()
    for at in (EVENING, MORNING):
        assert sandbox.tick("daily.yml", at).result == "failure"
    assert sandbox.tip() == before
    (number,) = sandbox.github.open_numbers()
    assert "enough feeds answered this capture" in sandbox.github.issues[number]["body"]
    assert "#too-many-feeds-failed" in sandbox.github.issues[number]["body"]
    sandbox.mend_feeds()
    run = sandbox.tick("daily.yml", MORNING + DAY)
    assert run.result == "success", run.describe()
    sandbox.check(sealed={THURSDAY, FRIDAY})
    assert sandbox.github.open_numbers() == []


def test_what_was_captured_is_kept_when_the_day_is_refused(sandbox: Sandbox) -> None:
    sandbox.change("pipeline/settings.toml", {"min_headlines = 1 ": "min_headlines = 2 "})
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON))
    run = sandbox.tick("daily.yml", EVENING)
    assert run.result == "failure"
    sandbox.check(sealed={THURSDAY})
    (number,) = sandbox.github.open_numbers()
    assert "#the-day-was-refused" in sandbox.github.issues[number]["body"]
    sandbox.serve("MSFT", ("Microsoft misses cloud forecast", NOON + HOUR))
    assert sandbox.tick("daily.yml", MORNING).result == "success"
    sandbox.check(sealed={THURSDAY, FRIDAY})


# Before the store, between capturing and its feeds' states, among the files of the session, and before the manifest.
@pytest.mark.parametrize("number", [1, 4, 7, 9])
def test_killed_while_it_writes(sandbox: Sandbox, number: int) -> None:
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON))
    run = sandbox.tick("daily.yml", EVENING, fault=f"daily:os.replace:{number}:kill")
    assert run.result == "failure"
    assert "Killed" in run.said("seal")
    sandbox.check(sealed={THURSDAY}, titles=())
    run = sandbox.tick("daily.yml", MORNING)
    assert run.result == "success", run.describe()
    sandbox.check(sealed={THURSDAY, FRIDAY})
    assert sandbox.github.open_numbers() == []


@pytest.mark.parametrize("number", [1, 9])
def test_a_full_disk(sandbox: Sandbox, number: int) -> None:
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON))
    run = sandbox.tick("daily.yml", EVENING, fault=f"daily:os.fsync:{number}:ENOSPC")
    assert run.result == "failure"
    assert "No space left on device" in run.said("seal")
    assert "Traceback" not in run.said("seal")
    sandbox.check(sealed={THURSDAY}, titles=())
    assert sandbox.tick("daily.yml", MORNING).result == "success"
    sandbox.check(sealed={THURSDAY, FRIDAY})


@pytest.mark.parametrize(("hook", "arrived"), [("pre-receive", False), ("post-receive", True)])
def test_killed_while_it_pushes(sandbox: Sandbox, hook: str, arrived: bool) -> None:
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON))
    sandbox.kill_push(hook)
    run = sandbox.tick("daily.yml", EVENING)
    assert run.result == "failure"
    assert (sandbox.subjects() == ["Seal 2026-11-20"]) is arrived
    workspace = run.jobs["seal"].workspace
    assert workspace is not None
    touched = {line.split()[-1].split("/")[0] for line in git(workspace, "status", "--porcelain").splitlines()}
    assert touched == {"feature_store", ".venv", ".venv-full"}
    assert git(workspace, "rev-parse", "HEAD") == git(workspace, "rev-parse", "origin/main")
    assert not list((workspace / ".git").glob("**/*.lock"))
    assert sandbox.tick("daily.yml", MORNING).result == "success"
    sandbox.check(sealed={THURSDAY, FRIDAY})


@pytest.mark.parametrize(("place", "number"), [("daily", 7), ("pre-receive", 0), ("post-receive", 0)])
def test_a_checkout_that_stays_is_healed_by_its_next_run(sandbox: Sandbox, place: str, number: int) -> None:
    """A machine of one's own, where a run was killed among the files of a session or in its push."""
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON))
    if number:
        sandbox.work("own", "daily", EVENING, fault=f"{place}:os.replace:{number}:kill", is_killed=True)
    else:
        sandbox.work("own", "daily", EVENING)
        sandbox.kill_push(place)
        sandbox.work("own", "commit", EVENING, may_push=True, is_killed=True)
    sandbox.work("own", "daily", MORNING)
    sandbox.work("own", "commit", MORNING, may_push=True)
    sandbox.check(sealed={THURSDAY, FRIDAY})
    left = {line.split()[-1] for line in git(sandbox.place / "own", "status", "--porcelain").splitlines()}
    assert left == {".venv", ".venv-full"}
    assert git(sandbox.place / "own", "rev-parse", "HEAD") == sandbox.tip()


@pytest.mark.parametrize("at_once", [1, 2], ids=["one after the other", "both at once"])
def test_two_runs_race(sandbox: Sandbox, at_once: int) -> None:
    """Both have checked out and sealed the same session before either pushes; each has seen a headline of its own."""
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON))
    folders = []
    for name, title in (("first", "Microsoft misses cloud forecast"), ("second", "Nvidia beats estimates")):
        sandbox.items["/wire/MSFT"].clear()
        sandbox.serve("MSFT", (title, NOON))
        folders.append(sandbox.work(name, "daily", EVENING))
    assert git(sandbox.place / "first", "rev-parse", "--is-shallow-repository") == "true"
    with ThreadPoolExecutor(at_once) as pool:
        done = list(pool.map(lambda folder: sandbox.work(folder, "commit", EVENING, may_push=True), folders))
    assert done == folders
    sandbox.check(
        sealed={THURSDAY, FRIDAY},
        titles=[
            "Apple beats estimates on iPhone sales",
            "Microsoft misses cloud forecast",
            "Nvidia beats estimates",
        ],
    )
    assert len(sandbox.subjects()) == 2
    late = sandbox.store().read_headlines(MONDAY)
    assert late.headline_id.nunique() == 1
    assert late.is_late.all()


@pytest.mark.parametrize(
    ("evening", "before", "counts_for"),
    [
        # Thanksgiving is no session; the Friday after it closes at 13:00, 18:00 UTC.
        (
            "2026-11-27T21:37",
            "2026-11-25",
            {
                "2026-11-26T16:00:00": "2026-11-27",
                "2026-11-27T18:00:00": "2026-11-27",
                "2026-11-27T18:00:01": "2026-11-30",
            },
        ),
        # Clocks went back on Sunday, 1 November: the close moves from 20:00 to 21:00 UTC.
        (
            "2026-11-02T21:37",
            "2026-10-30",
            {"2026-11-02T21:00:00": "2026-11-02", "2026-11-02T21:00:01": "2026-11-03"},
        ),
        # Clocks went forward on Sunday, 8 March: the close moves from 21:00 to 20:00 UTC.
        (
            "2026-03-09T20:37",
            "2026-03-06",
            {"2026-03-09T20:00:00": "2026-03-09", "2026-03-09T20:00:01": "2026-03-10"},
        ),
    ],
    ids=["holiday and half day", "clocks back", "clocks forward"],
)
def test_the_calendars_odd_days(fresh: Sandbox, evening: str, before: str, counts_for: dict[str, str]) -> None:
    at = datetime.fromisoformat(evening).replace(tzinfo=UTC)
    first = datetime.fromisoformat(f"{before}T21:37").replace(tzinfo=UTC)
    titles = ("Apple beats estimates on iPhone sales", "Apple cuts the price of its laptops", "Apple hires a new chief")
    fresh.serve("NVDA", ("Nvidia opens a plant", first - 4 * HOUR))
    assert fresh.tick("daily.yml", first).result == "success"
    published = dict(zip(titles, counts_for, strict=False))
    items = [(title, datetime.fromisoformat(moment).replace(tzinfo=UTC)) for title, moment in published.items()]
    fresh.serve("AAPL", *items)
    fresh.serve("NVDA", ("Nvidia raises its outlook", at - 5 * HOUR))
    run = fresh.tick("daily.yml", at)
    assert run.result == "success", run.describe()
    fresh.check(sealed={date.fromisoformat(before), at.date()})
    rows = fresh.evidence()
    found = {title: [str(day) for day in rows[rows.title == title].session_date] for title in published}
    assert found == {title: [counts_for[moment]] for title, moment in published.items()}


def test_a_hostile_headline_reaches_neither_shell_nor_summary(sandbox: Sandbox) -> None:
    title = (
        "Apple $(touch pwned) `touch pwned` beats ${{ github.token }} | <img src=x onerror=alert(1)> "
        "@octocat #1 ##[error]no ::error::no ::set-output name=x::y https://evil.example/x"
    )
    sandbox.serve("AAPL", (title, NOON))
    run = sandbox.tick("daily.yml", EVENING)
    assert run.result == "success", run.describe()
    sandbox.check(sealed={THURSDAY, FRIDAY}, titles=())
    assert sandbox.store().read_headlines(FRIDAY).title.str.startswith("Apple $(touch pwned) `touch pwned`").all()
    assert not list(sandbox.place.rglob("pwned"))
    summary = run.jobs["seal"].summary
    assert "Apple" in summary
    for part in ("<img", "@octocat", " #1 ", "https://evil"):
        assert part not in summary
    for said in (run.said("seal"), run.said("alert")):
        assert "##[" not in said
        assert not [line for line in said.splitlines() if line.lstrip().startswith("::")]
        assert TOKEN not in said
    assert "Apple" not in "".join(git(sandbox.origin, "log", "--format=%B", "-5"))


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"session": "", "tickers": "", "dry-run": True}, "daily (dry run)"),
        ({"session": "2026-11-20", "tickers": "AAPL,MSFT", "dry-run": True}, "of 2 tickers with news"),
    ],
)
def test_a_dry_run_by_hand_commits_nothing(sandbox: Sandbox, inputs: dict[str, object], said: str) -> None:
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON))
    run = sandbox.tick("daily.yml", EVENING, inputs)
    assert run.result == "success", run.describe()
    assert said in run.said("seal")
    assert sandbox.subjects() == []


def test_a_run_by_hand_seals_no_session_after_the_one_named(sandbox: Sandbox) -> None:
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON), ("Apple cuts prices", NOON + 3 * DAY))
    run = sandbox.tick("daily.yml", EVENING + 3 * DAY, {"session": "2026-11-20", "tickers": "", "dry-run": False})
    assert run.result == "success", run.describe()
    sandbox.check(sealed={THURSDAY, FRIDAY})


def test_a_job_without_the_permission_cannot_push(sandbox: Sandbox) -> None:
    sandbox.serve("AAPL", ("Apple beats estimates on iPhone sales", NOON))
    path = ".github/workflows/daily.yml"
    sandbox.change(path, {"contents: write # pushes the store": "contents: read"})
    run = sandbox.tick("daily.yml", EVENING, SANDBOX_HURRY="1")
    assert run.result == "failure"
    assert "not pushed after 8 attempts" in run.said("seal")
    assert "this job may not push" in run.said("seal")
    (number,) = sandbox.github.open_numbers()
    assert "#the-push-failed" in sandbox.github.issues[number]["body"]


def test_an_archive_is_scored_month_by_month_and_sealed_at_once(sandbox: Sandbox) -> None:
    rows = [
        ("2026-09-29T15:00:00Z", "AAPL", "Apple beats estimates on iPhone sales"),
        ("2026-09-30T15:00:00Z", "MSFT", "Microsoft misses cloud forecast"),
        ("2026-10-01T15:00:00Z", "NVDA", "Nvidia raises its outlook"),
    ]
    text = "\n".join(["published_at,ticker,headline", *(",".join(row) for row in rows)]) + "\n"
    sandbox.change("LICENSE", {"MIT": "MIT"}, files={"archive.csv": text})
    wanted = {"archive": "archive.csv", "start": "2026-09-29", "end": "2026-10-01", "ticker-column": "ticker"}
    run = sandbox.tick("backfill.yml", EVENING, wanted | {"dry-run": True})
    assert run.result == "success", run.describe()
    assert sandbox.subjects() == ["Change settings"]
    run = sandbox.tick("backfill.yml", EVENING, wanted)
    assert run.result == "success", run.describe()
    assert [job for job in run.jobs if job.startswith("score")] == ["score"]
    assert "3 of 3 pairs were at hand" in run.said("seal")
    assert sandbox.subjects()[0] == "Seal 2026-09-29 to 2026-10-01"
    history = FeatureStore(sandbox.checkout() / "history")
    assert history.verify() == []
    assert history.sealed_dates() == {date(2026, 9, 29), date(2026, 9, 30), date(2026, 10, 1)}
    assert sandbox.store().sealed_dates() == {THURSDAY}
