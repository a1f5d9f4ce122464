"""A recipe -> a Hugging Face Job that trains, measures and publishes it -> the commit it has published.

The Job runs one fixed script. What differs from Job to Job reaches it as environment variables, never as text of the
script, and it takes the code from the project's own repository at one commit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Thread
from typing import Any, cast

from huggingface_hub import HfApi, JobInfo, SpaceHardware

from pipeline.errors import PipelineError
from pipeline.hub import REPOSITORY
from pipeline.markdown import hide_commands, shorten_text

from .patience import read_fault

IMAGE = "python:3.11.9-bookworm"
"""Has git, make and the Python that the pins are for."""

SCRIPT = """
set -eu
git init --quiet work
cd work
git fetch --quiet --depth 1 "$SOURCE" "$COMMIT"
git checkout --quiet FETCH_HEAD
test "$(git rev-parse HEAD)" = "$COMMIT"
env -u HF_TOKEN make set-up-full
.venv-full/bin/python -m training train "$RECIPE" --within . --output runs/new \\
    ${SEED:+"--seed=$SEED"} ${BASE:+"--base=$BASE"}
.venv-full/bin/python -m training evaluate runs/new/*
.venv-full/bin/python -m training publish runs/new/* "$REPOSITORY" --revision-file published
cat published
"""
"""Its last line is the mark that :func:`find_revision` looks for."""

POLL_S = 20.0
QUEUE_S = 3600
"""How long a Job may wait for its hardware and start, on top of its own time limit."""

MISSED_LOOKS = 15
"""Looks in a row that may go wrong before the Job is given up."""

LOG_TRIES = 5
LOG_S = 180.0
"""For one reading of a log: the log of a Job that never started can be without end."""

SHOWN_LINES = 400
ENDED = ("COMPLETED", "CANCELED", "ERROR", "DELETED")
"""Stages that the Hub never takes a Job out of; in any other it may still cost."""

_MARK = re.compile(r"revision=([0-9a-f]{40})")
_LENGTH = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_SOURCE = re.compile(r"https://[\w.-]+(:\d+)?(/[\w.-]+)+", re.ASCII)
_FLAVOR = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class JobError(PipelineError):
    """The Job cannot be started, failed, or was cancelled."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a Job is to do.

    ``source`` is the https address of the project's repository, readable without a login, ``commit`` 40 hex digits;
    ``recipe`` a path inside it; ``repository`` OWNER/NAME on the Hub; ``flavor`` the Hub's word for hardware;
    ``timeout_s`` 60 to 7 days; ``seed`` and ``base`` as in `train`, None and "" for the recipe's own.
    """

    source: str
    commit: str
    recipe: str
    repository: str
    flavor: str
    timeout_s: int
    seed: int | None = None
    base: str = ""

    def to_environment(self) -> dict[str, str]:
        """Return the variables that the script reads."""
        return {
            "SOURCE": self.source,
            "COMMIT": self.commit,
            "RECIPE": self.recipe,
            "REPOSITORY": self.repository,
            "SEED": "" if self.seed is None else str(self.seed),
            "BASE": self.base,
        }


def check_order(order: Order) -> None:
    """Refuse what would only fail, or do harm, after the Job has begun to cost.

    Raises:
        JobError: names the option.
    """
    for is_good, option, found, expected in (
        (
            _SOURCE.fullmatch(order.source),
            "--source",
            order.source,
            "an https address without a login",
        ),
        (re.fullmatch(r"[0-9a-f]{40}", order.commit), "--commit", order.commit, "40 hex digits"),
        (REPOSITORY.fullmatch(order.repository), "--repository", order.repository, "OWNER/NAME on the Hub"),
        (_FLAVOR.fullmatch(order.flavor), "--flavor", order.flavor, "hardware of the Hub, such as l4x1"),
        (60 <= order.timeout_s <= 7 * 86_400, "--timeout", f"{order.timeout_s}s", "a minute to a week"),
    ):
        if not is_good:
            raise JobError(f"{option} is {found!r}; expected {expected}")


def parse_length(text: str) -> int:
    """Return the seconds in ``text``, such as 90m or 2h. Raises JobError."""
    found = _LENGTH.fullmatch(text)
    if not found:
        raise JobError(f"--timeout is {text!r}; expected a number with s, m, h or d, such as 90m or 2h")
    return int(found[1]) * _UNITS[found[2]]


def run_job(
    order: Order,
    token: str,
    pause: Callable[[float], object],
    say: Callable[[str], object] = print,
    log_s: float = LOG_S,
) -> str:
    """Start the Job, follow it to its end, and return the commit it has published.

    Args:
        token: of the Hub; starts the Job, and is its secret to publish with.
        pause: called with seconds between two looks.
        say: called with what there is to tell, a line each.
        log_s: how many seconds one reading of its log may take.

    Raises:
        JobError: it cannot be started, fails, is given up or interrupted (the last two cancel it), or its commit is not
            on the Hub. Interrupted, the cause is a KeyboardInterrupt.
    """
    check_order(order)
    api = HfApi(token=token)
    owner, job = _start(api, order, token)
    try:
        say(f"job {job.id} on {order.flavor}: {job.url}")
        stage, message = _follow(api, owner, job, order.timeout_s + QUEUE_S, pause, say)
    except BaseException as error:
        said = _cancel(api, owner, job)
        if isinstance(error, KeyboardInterrupt):
            raise JobError(f"job {job.id}: interrupted; {said}") from error
        if isinstance(error, JobError):
            raise JobError(f"{error}; {said}") from error
        raise
    lines = _read_log(api, owner, job, pause, log_s)
    for line in lines[-SHOWN_LINES:]:
        say(hide_commands(f"job: {line}"))
    if stage != "COMPLETED":
        raise JobError(f"job {job.id}: {stage}{f': {shorten_text(message)}' if message else ''}; see {job.url}")
    revision = find_revision(lines)
    if revision is None:
        raise JobError(f"job {job.id}: ended well, but its log names no published commit; see {job.url}")
    _ask(f"{order.repository} at {revision}", lambda: api.model_info(order.repository, revision=revision))
    return revision


def find_revision(lines: list[str]) -> str | None:
    """Return the commit in the last line that is a mark and nothing else; None if there is none."""
    marks = [found[1] for line in lines if (found := _MARK.fullmatch(line.strip()))]
    return marks[-1] if marks else None


def _start(api: HfApi, order: Order, token: str) -> tuple[str, JobInfo]:
    """Start the Job, once: an answer may be lost after it was started, and a second one would cost as much."""
    owner = str(_ask("the Hub", api.whoami)["name"])
    return owner, _ask(
        f"a job of {owner} on {order.flavor}",
        lambda: api.run_job(
            image=IMAGE,
            command=["bash", "-c", SCRIPT],
            env=cast(dict[str, Any], order.to_environment()),
            secrets={"HF_TOKEN": token},
            flavor=cast(SpaceHardware, order.flavor),
            timeout=order.timeout_s,
            namespace=owner,
        ),
    )


def _follow(
    api: HfApi, owner: str, job: JobInfo, limit_s: float, pause: Callable[[float], object], say: Callable[[str], object]
) -> tuple[str, str]:
    """Return the stage that the Job ended in, and the Hub's message on it, if any.

    Raises:
        JobError: it has not ended after ``limit_s`` of pauses, or the Hub has stopped answering.
    """
    stage, missed, waited_s = "", 0, 0.0
    while waited_s <= limit_s:
        try:
            status = _ask(f"job {job.id}", lambda: api.inspect_job(job_id=job.id, namespace=owner)).status
            missed = 0
            if status.stage != stage:
                stage = str(status.stage)
                say(f"job {job.id}: {stage}")
            if stage in ENDED:
                return stage, status.message or ""
        except JobError:
            missed += 1
            if missed == MISSED_LOOKS:
                raise
        pause(POLL_S)
        waited_s += POLL_S
    raise JobError(f"job {job.id}: still {stage or 'unknown'} after {waited_s / 3600:.1f} h")


def _cancel(api: HfApi, owner: str, job: JobInfo) -> str:
    """Cancel the Job and return what came of it in words."""
    try:
        _ask(f"job {job.id}", lambda: api.cancel_job(job_id=job.id, namespace=owner))
    except JobError as error:
        return f"it could not be cancelled ({error}); do so at {job.url}"
    return "it was cancelled"


def _read_log(api: HfApi, owner: str, job: JobInfo, pause: Callable[[float], object], log_s: float) -> list[str]:
    """Return the lines the Job has printed. Raises JobError."""
    what = f"the log of job {job.id}"
    for is_last in (*[False] * (LOG_TRIES - 1), True):
        try:
            return _ask(what, lambda: _collect(lambda: api.fetch_job_logs(job_id=job.id, namespace=owner), log_s))
        except JobError:
            if is_last:
                raise
            pause(POLL_S)
    raise AssertionError("the last try returns or raises")


def _collect(read: Callable[[], Iterable[str]], limit_s: float) -> list[str]:
    """Return the lines that ``read`` yields within ``limit_s``, in a thread that is left behind if it yields on.

    The client sets no bound of its own, and takes Ctrl-C for the end of the log.
    """
    lines: list[str] = []
    faults: list[Exception] = []

    def fill() -> None:
        try:
            for line in read():
                lines.append(line)
        except Exception as error:
            faults.append(error)

    thread = Thread(target=fill, daemon=True)
    thread.start()
    thread.join(limit_s)
    if faults:
        raise faults[0]
    return list(lines)


def _ask(what: str, action: Callable[[], Any]) -> Any:
    """Return what ``action`` returns; a fault of the Hub or the network is one line that begins with ``what``."""
    try:
        return action()
    except (OSError, ValueError, KeyError) as error:
        raise JobError(f"{what}: {read_fault(error).reason}") from error
