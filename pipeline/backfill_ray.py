"""The engine for more than one machine: a backfill's pairs scored by actors of one Ray Data stream, in order.

    one task, beside the months' files          N actors, anywhere                the caller
    months -> linked -> deduplicated -> blocks  -> scored, model loaded once  ->  aggregated -> sealed

Blocks keep their order and are held back when a later step is slow, so that memory does not grow with the archive. The
model travels through the object store: no other machine needs a path of this one. A score does not depend on who
computes it, so the store is the local engine's to the byte (on processors of one kind: see docs/BACKFILL.md).
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from .archive import INSTALL
from .backfill_link import LinkJob, list_blocks
from .config import HOME
from .errors import EngineError
from .evidence import add_scores, list_pairs
from .report import Report
from .schema import HEADLINE_TABLE
from .score import OnnxScorer
from .tables import to_frame

_STORE_BYTES = 512 * 2**20
"""Object store of a cluster of our own: blocks under way are a few megabytes, the model some tens."""
BLOCK_BYTES = 2**20
"""Ray Data joins and cuts what a task yields to this size, some 2,000 pairs: small, so that all actors have work."""


def score_on_ray(
    job: LinkJob, report: Report, scorer: OnnxScorer, workers: int, address: str | None = None
) -> Iterator[pd.DataFrame]:
    """Score a job with ``workers`` actors of one thread each: the engine of backfill.run_backfill.

    ``address`` joins a running cluster; without it one is started on this machine, and stopped at the end. A cluster
    that this process has joined already is used as it is.

    Raises:
        EngineError: Ray is not installed or does not start, or a worker failed; says why in one line.
    """
    with ExitStack() as stack:
        with report.stage("started", "actors") as stage:
            ray = stack.enter_context(open_cluster(workers, address))
            stage.count += workers
        try:
            parts = _part_by_session(_stream(ray, job, scorer, workers))
            day, rows = _wait_for(parts, report)
            for session in job.sessions:
                if day == session.session_date:
                    yield rows
                    day, rows = _wait_for(parts, report)
                else:
                    yield to_frame(HEADLINE_TABLE, [])
        except ray.exceptions.RayError as error:
            raise EngineError(f"a Ray worker failed: {_first_line(error)}") from error


class ScoreActor:
    """A model folder's bytes, loaded once; scores one block of evidence after the other."""

    def __init__(self, model: Any, batch_tokens: int) -> None:
        import ray

        with tempfile.TemporaryDirectory(prefix="model-") as name:
            for path, content in ray.get(model).items():
                (Path(name) / path).parent.mkdir(parents=True, exist_ok=True)
                (Path(name) / path).write_bytes(content)
            self._scorer = OnnxScorer(Path(name), threads=1, batch_tokens=batch_tokens)

    def __call__(self, block: pd.DataFrame) -> pd.DataFrame:
        """Return ``block`` with its scores."""
        return add_scores(block, self._scorer.score(list_pairs(block)), self._scorer.revision)


def yield_blocks(_: pd.DataFrame, job: LinkJob) -> Iterator[pd.DataFrame]:
    """Yield the pairs of ``job`` block by block; sessions without any leave no trace."""
    unread = Report("backfill", job.sessions[0].cutoff_at, "", "")
    for block in list_blocks(job, unread):
        frames = [frame for frame in block if len(frame)]
        if frames:
            yield pd.concat(frames, ignore_index=True)


def _stream(ray: Any, job: LinkJob, scorer: OnnxScorer, workers: int) -> Iterator[pd.DataFrame]:
    """Yield scored blocks in order, from one streaming execution."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = context.print_on_execution_start = False
    context.target_max_block_size, context.target_min_block_size = BLOCK_BYTES, 0
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    model = ray.put(_read_folder(scorer.folder.path))
    dataset = ray.data.from_items([0]).map_batches(
        yield_blocks, fn_kwargs={"job": job}, batch_format="pandas", num_cpus=0, label_selector=here
    )
    dataset = dataset.map_batches(
        ScoreActor,
        fn_constructor_kwargs={"model": model, "batch_tokens": scorer.batch_tokens},
        batch_size=None,
        batch_format="pandas",
        concurrency=workers,
        num_cpus=1,
    )
    return dataset.iter_batches(batch_size=None, batch_format="pandas", prefetch_batches=0)


def _part_by_session(blocks: Iterator[pd.DataFrame]) -> Iterator[tuple[date, pd.DataFrame]]:
    """Yield (session_date, rows) of every session in blocks that follow each other; a session may span several."""
    waiting: list[pd.DataFrame] = []
    for block in blocks:
        for day, rows in block.groupby("session_date", sort=True):
            if waiting and waiting[0]["session_date"].iloc[0] != day:
                yield waiting[0]["session_date"].iloc[0], pd.concat(waiting, ignore_index=True)
                waiting = []
            waiting.append(rows)
    if waiting:
        yield waiting[0]["session_date"].iloc[0], pd.concat(waiting, ignore_index=True)


def _wait_for(parts: Iterator[tuple[date, pd.DataFrame]], report: Report) -> tuple[date | None, pd.DataFrame]:
    """Return the next session that has evidence, or (None, no rows) after the last one."""
    with report.stage("linked, deduplicated, scored", "headline-ticker pairs") as stage:
        day, rows = next(parts, (None, pd.DataFrame()))
        stage.count += len(rows)
    return day, rows


@contextmanager
def open_cluster(workers: int, address: str | None) -> Iterator[Any]:
    """Yield the ray module, connected; quiet, and without usage statistics."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise EngineError(f"--engine ray needs Ray: {INSTALL}") from error
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"ray\.")  # that the first operator has one input is meant
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"runtime_env": {"env_vars": {"RAYON_NUM_THREADS": "1"}}}
    if address:
        options["runtime_env"]["py_modules"] = [str(HOME)]
    else:
        options |= {"num_cpus": workers, "object_store_memory": _STORE_BYTES, "include_dashboard": False}
    try:
        with _hush():
            ray.init(address or "local", logging_level=logging.ERROR, log_to_driver=False, **options)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise EngineError(f"Ray does not start at {address or 'this machine'}: {_first_line(error)}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _hush() -> Iterator[None]:
    """Throw away what is written to stderr below Python: Ray says there that it will say nothing."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _read_folder(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _first_line(error: BaseException) -> str:
    """Return what went wrong: the fault on the worker where there is one, without Ray's advice below it."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0]}" if lines else type(cause).__name__
