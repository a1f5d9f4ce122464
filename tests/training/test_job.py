"""Training on a Job of the Hub: one is started, followed to its end, and cancelled when nobody waits for it."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import requests
from huggingface_hub import configure_http_backend

torch = pytest.importorskip("torch", reason="training needs torch")

from tests.hub_server import READ_TOKEN, TOKEN, Fault, HubServer  # noqa: E402
from training.__main__ import main  # noqa: E402
from training.job import IMAGE, MISSED_LOOKS, POLL_S, SCRIPT, JobError, Order, find_revision, parse_length, run_job  # noqa: E402
from training.job_verb import check_recipe  # noqa: E402
from training.recipe import format_recipe, load_recipe  # noqa: E402

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
NAME = "made/adapter"
COMMIT = "c" * 40
SOURCE = "https://github.example/owner/project"
ORDER = Order(SOURCE, COMMIT, "training/recipes/full-raw.toml", NAME, "l4x1", 7200, 7, "made/base@" + "b" * 40)


class ToHub(requests.adapters.HTTPAdapter):
    """Sends what is meant for the Hub to the one on this machine: this client starts Jobs nowhere else."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        request.url = str(request.url).replace("https://huggingface.co", self.url)
        return super().send(request, *args, **options)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    def open_session() -> requests.Session:
        session = requests.Session()
        session.mount("https://huggingface.co/", ToHub(server.url))
        return session

    with HubServer() as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        configure_http_backend(open_session)
        yield server
    configure_http_backend()


class Waiting:
    """Waits no time; at the pause called ``interrupt_at`` somebody presses Ctrl-C."""

    def __init__(self, interrupt_at: int = 0) -> None:
        self.waits: list[float] = []
        self.interrupt_at = interrupt_at

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        if len(self.waits) == self.interrupt_at:
            raise KeyboardInterrupt


def order(pause: Waiting | None = None, token: str = TOKEN, job: Order = ORDER) -> tuple[str, list[str]]:
    said: list[str] = []
    return run_job(job, token, pause or Waiting(), said.append), said


def test_a_job_is_followed_to_the_commit_it_publishes(hub: HubServer) -> None:
    revision = hub.add(NAME, {"config.json": b"{}"})
    hub.jobs.plan("SCHEDULING", "RUNNING", "A STAGE TO COME", "COMPLETED", lines=("training", f"revision={revision}"))
    pause = Waiting()
    found, said = order(pause)
    assert found == revision
    assert said == [
        f"job job1 on l4x1: {hub.url}/jobs/made/job1",
        "job job1: RUNNING",
        "job job1: A STAGE TO COME",
        "job job1: COMPLETED",
        "job: training",
        f"job: revision={revision}",
    ]
    assert pause.waits == [POLL_S, POLL_S]
    assert "cancel_job" not in hub.stages()


def test_what_differs_from_job_to_job_is_in_variables_and_the_token_is_a_secret(hub: HubServer) -> None:
    hub.jobs.plan("COMPLETED", lines=(f"revision={hub.add(NAME, {'a': b'1'})}",))
    order()
    spec = hub.jobs.started["job1"].spec
    assert spec == {
        "command": ["bash", "-c", SCRIPT],
        "arguments": [],
        "environment": {
            "SOURCE": SOURCE,
            "COMMIT": COMMIT,
            "RECIPE": "training/recipes/full-raw.toml",
            "REPOSITORY": NAME,
            "SEED": "7",
            "BASE": "made/base@" + "b" * 40,
        },
        "flavor": "l4x1",
        "secrets": {"HF_TOKEN": TOKEN},
        "timeoutSeconds": 7200,
        "dockerImage": IMAGE,
    }


def test_the_log_gives_a_runner_no_commands(hub: HubServer) -> None:
    revision = hub.add(NAME, {"a": b"1"})
    hub.jobs.plan("COMPLETED", lines=("::set-output name=x::y", "##[error]z", f"revision={revision}"))
    _, said = order()
    assert said[2:4] == ["job: ::set-output name=x::y", "job: ## [error]z"]


@pytest.mark.parametrize("stage", ["ERROR", "CANCELED", "DELETED"])
def test_a_job_that_fails_is_one_line_after_its_log(hub: HubServer, stage: str) -> None:
    hub.jobs.plan("RUNNING", stage, lines=("error: no such recipe",), message="exit code 2\nsee log")
    said: list[str] = []
    with pytest.raises(JobError, match=f"job job1: {stage}: exit code 2 see log; see http://.*/jobs/made/job1"):
        run_job(ORDER, TOKEN, Waiting(), said.append)
    assert said[-1] == "job: error: no such recipe"
    assert "cancel_job" not in hub.stages()


def test_a_job_that_names_no_commit_has_failed(hub: HubServer) -> None:
    hub.jobs.plan("COMPLETED", lines=("revision=main", f"the revision={COMMIT}"))
    with pytest.raises(JobError, match="ended well, but its log names no published commit"):
        order()


def test_a_commit_that_the_hub_does_not_have_is_not_believed(hub: HubServer) -> None:
    hub.add(NAME, {"a": b"1"})
    hub.jobs.plan("COMPLETED", lines=(f"revision={COMMIT}",))
    with pytest.raises(JobError, match=f"made/adapter at {COMMIT}: HTTP 404"):
        order()


def test_an_interrupted_wait_cancels_the_job(hub: HubServer) -> None:
    hub.jobs.plan("RUNNING")
    with pytest.raises(JobError, match="job job1: interrupted; it was cancelled") as end:
        order(Waiting(interrupt_at=2))
    assert isinstance(end.value.__cause__, KeyboardInterrupt)
    assert hub.jobs.started["job1"].stages == ["CANCELED"]


def test_a_job_that_cannot_be_cancelled_is_named(hub: HubServer) -> None:
    hub.jobs.plan("RUNNING")
    hub.fail("cancel_job", Fault(500))
    with pytest.raises(JobError, match=r"could not be cancelled \(job job1: HTTP 500 made to fail\); do so at http"):
        order(Waiting(interrupt_at=1))


def test_a_job_that_never_ends_is_cancelled(hub: HubServer) -> None:
    hub.jobs.plan("RUNNING")
    pause = Waiting()
    with pytest.raises(JobError, match="job job1: still RUNNING after 1.0 h; it was cancelled"):
        order(pause, job=Order(SOURCE, COMMIT, "a.toml", NAME, "l4x1", 60))
    assert sum(pause.waits) == pytest.approx(3660, abs=POLL_S)


def test_a_look_that_fails_is_taken_again_and_many_in_a_row_end_it(hub: HubServer) -> None:
    revision = hub.add(NAME, {"a": b"1"})
    hub.jobs.plan("RUNNING", "COMPLETED", lines=(f"revision={revision}",))
    hub.fail("job", *[Fault(503), Fault(0)] * ((MISSED_LOOKS - 1) // 2))
    assert order()[0] == revision
    hub.fail("job", *[Fault(503)] * MISSED_LOOKS)
    with pytest.raises(JobError, match="job job2: HTTP 503 made to fail; it was cancelled"):
        order()


def test_a_log_that_breaks_off_is_read_again(hub: HubServer) -> None:
    revision = hub.add(NAME, {"a": b"1"})
    hub.jobs.plan("COMPLETED", lines=(f"revision={revision}",))
    hub.fail("job_log", Fault(0))
    pause = Waiting()
    assert order(pause)[0] == revision
    assert pause.waits == [POLL_S]


def test_a_log_without_end_does_not_hold_up_what_the_hub_says_of_the_job(hub: HubServer) -> None:
    gate = Event()
    hub.jobs.plan("ERROR", message="no such image")
    hub.fail("job_log", Fault(0, before=gate.wait))
    try:
        with pytest.raises(JobError, match="job job1: ERROR: no such image"):
            run_job(ORDER, TOKEN, Waiting(), lambda line: None, log_s=0.05)
    finally:
        gate.set()


def test_a_lost_answer_does_not_start_a_second_job(hub: HubServer) -> None:
    hub.fail("start_job", Fault(500, after=True))
    with pytest.raises(JobError, match="a job of made on l4x1: HTTP 500"):
        order()
    assert hub.stages().count("start_job") == 1


def test_a_token_that_may_not_start_jobs_is_one_line_that_does_not_show_it(hub: HubServer) -> None:
    with pytest.raises(JobError, match="a job of made on l4x1: HTTP 403") as refusal:
        order(token=READ_TOKEN)
    assert READ_TOKEN not in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "http://github.example/a/b"}, "--source is 'http://github.example/a/b'; expected an https address"),
        ({"source": "https://me:secret@github.example/a/b"}, "--source"),
        ({"source": "--upload-pack=touch x"}, "--source"),
        ({"source": ""}, "--source is ''"),
        ({"commit": "main"}, "--commit is 'main'; expected 40 hex digits"),
        ({"repository": "adapter"}, "--repository is 'adapter'; expected OWNER/NAME"),
        ({"flavor": "l4x1 --x"}, "--flavor is 'l4x1 --x'; expected hardware"),
        ({"timeout_s": 59}, "--timeout is '59s'; expected a minute to a week"),
        ({"timeout_s": 604_801}, "--timeout is '604801s'"),
    ],
)
def test_a_bad_order_reaches_no_server(hub: HubServer, changes: dict[str, Any], message: str) -> None:
    values = {name: getattr(ORDER, name) for name in Order.__slots__}
    with pytest.raises(JobError) as refusal:
        order(job=Order(**{**values, **changes}))
    assert message in str(refusal.value)
    assert hub.requests == []


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("90m", 5400), ("2h", 7200), ("1d", 86_400)])
def test_a_length_of_time_is_read(text: str, seconds: int) -> None:
    assert parse_length(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2.5h", "2h ", "٢h"])
def test_other_lengths_are_refused(text: str) -> None:
    with pytest.raises(JobError, match="expected a number with s, m, h or d"):
        parse_length(text)


def test_the_last_mark_counts() -> None:
    assert find_revision([f"revision={'a' * 40}", " revision=" + "b" * 40 + "\r", "bye"]) == "b" * 40
    assert find_revision([]) is None


def test_the_script_runs_the_same_commands_as_a_person(tmp_path: Path) -> None:
    """With git, make and Python replaced by programs that write down how they were called."""
    log, bin_folder = tmp_path / "log", tmp_path / "bin"
    bin_folder.mkdir()
    note = f'#!/bin/bash\nprintf "%q " "${{0##*/}}" "$@" >> {shlex.quote(str(log))}\necho >> {shlex.quote(str(log))}\n'
    git = note + '[ "$1" = init ] && mkdir work\n[ "$1" = rev-parse ] && echo "$COMMIT"\nexit 0\n'
    make = (
        note
        + "[ -v HF_TOKEN ] && exit 9\n"
        + f"mkdir -p .venv-full/bin runs/new/made-seed7\ncp {bin_folder}/python .venv-full/bin/python\n"
    )
    python = note + '[ "$3" = publish ] && echo "revision=$COMMIT" > "${@: -1}"\nexit 0\n'
    for name, text in (("git", git), ("make", make), ("python", python)):
        (bin_folder / name).write_text(text)
        (bin_folder / name).chmod(0o755)
    recipe = "a recipe; touch pwned.toml"
    environment = {**ORDER.to_environment(), "RECIPE": recipe, "HF_TOKEN": TOKEN, "PATH": f"{bin_folder}:/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", SCRIPT], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"revision={COMMIT}\n"
    assert TOKEN not in log.read_text()
    assert [shlex.split(line) for line in log.read_text().splitlines()] == [
        ["git", "init", "--quiet", "work"],
        ["git", "fetch", "--quiet", "--depth", "1", SOURCE, COMMIT],
        ["git", "checkout", "--quiet", "FETCH_HEAD"],
        ["git", "rev-parse", "HEAD"],
        ["make", "set-up-full"],
        [
            *("python", "-m", "training", "train", recipe, "--within", ".", "--output", "runs/new"),
            *("--seed=7", f"--base={ORDER.base}"),
        ],
        ["python", "-m", "training", "evaluate", "runs/new/made-seed7"],
        ["python", "-m", "training", "publish", "runs/new/made-seed7", NAME, "--revision-file", "published"],
    ]


OPTIONS = ["--repository", NAME, "--flavor", "l4x1"]
GIVEN = {"GITHUB_SERVER_URL": "https://github.example", "GITHUB_REPOSITORY": "owner/project", "GITHUB_SHA": COMMIT}


def test_the_verb_takes_code_and_commit_from_the_workflow(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    revision = hub.add(NAME, {"a": b"1"})
    hub.jobs.plan("COMPLETED", lines=(f"revision={revision}",))
    for name, value in {**GIVEN, "HF_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, value)
    target = tmp_path / "outputs"
    assert main(["job", "training/recipes/full-raw.toml", *OPTIONS, "--revision-file", str(target)]) == 0
    assert target.read_text() == f"revision={revision}\n"
    assert hub.jobs.started["job1"].spec["environment"] == {
        "SOURCE": SOURCE,
        "COMMIT": COMMIT,
        "RECIPE": "training/recipes/full-raw.toml",
        "REPOSITORY": NAME,
        "SEED": "",
        "BASE": "",
    }
    printed = capsys.readouterr().out
    assert printed.endswith(f"published: made/adapter at {revision}\n")
    assert TOKEN not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["training/recipes/none.toml"], "training/recipes/none.toml: no file below"),
        (["../shared/STYLE.md"], "../shared/STYLE.md: no file below"),
        (["/etc/passwd"], "/etc/passwd: no file below"),
        (["README.md"], "README.md: expected the path of a .toml file"),
        (["training/recipes/default.toml"], "needs unlabelled/reuters_articles_lead_2006_2013.parquet#lead, which no"),
        (["training/recipes/adapted.toml"], "needs encoder:runs/finance, which no public server has"),
        (["training/recipes/smoke.toml", "--seed", "1;x"], "--seed: '1;x' is no seed"),
        (["training/recipes/smoke.toml", "--seed=-1"], "--seed: seed is -1"),
        (["training/recipes/full-raw.toml", "--base", "made/base@main"], "--base: 'made/base@main' is no base"),
        (["training/recipes/full-raw.toml", "--timeout", "2"], "--timeout is '2'; expected a number with s, m, h or d"),
    ],
)
def test_the_verb_refuses_in_one_line(
    arguments: list[str],
    message: str,
    hub: HubServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {**GIVEN, "HF_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, value)
    assert main(["job", *arguments, *OPTIONS]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert hub.requests == []


def test_a_job_takes_a_model_of_the_repository_as_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.job_verb.PROJECT", tmp_path)
    recipe = replace(load_recipe(RECIPES / "smoke.toml"), base="model:pipeline/default_model", method="full")
    (tmp_path / "own.toml").write_text(format_recipe(recipe))
    assert check_recipe("own.toml", None, "") == recipe


def test_a_token_of_another_hub_is_not_sent_to_the_one_that_runs_jobs(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**GIVEN, "HF_TOKEN": TOKEN, "HF_ENDPOINT": "https://hub.example/"}.items():
        monkeypatch.setenv(name, value)
    assert main(["job", "training/recipes/full-raw.toml", *OPTIONS]) == 2
    assert capsys.readouterr().err.startswith("error: HF_ENDPOINT is https://hub.example; jobs run at https://hugg")
    assert hub.requests == []


def test_without_a_token_nothing_is_started(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert main(["job", "training/recipes/full-raw.toml", *OPTIONS]) == 2
    assert capsys.readouterr().err.startswith("error: no HF_TOKEN; a job is started")
    assert hub.requests == []
