"""Stored records and the plan -> the generated part of docs/EXPERIMENTS.md. Pure: the same records, the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .compare import NO_DIFFERENCE, ONE_SEED, Comparison, Group, Spread, compare_records
from .comparison_table import Table, mark_table, show_p, show_spread, tabulate_baselines
from .data import SOURCES
from .evaluate import MIX
from .experiments import Experiment, ExperimentError
from .marks import replace_between
from .recipe import RANDOM
from .run_record import Run

BASELINE = "baseline"
BEGIN = "<!-- generated from training/results; do not edit from here to the end mark -->"
END = "<!-- end of the generated part -->"
RULE = (
    "Verdict: a recipe is *better* only if its mean accuracy is above the baseline's by more than the larger of their "
    "two standard deviations over seeds, it is ahead on the test rows under every shared seed, and the largest of the "
    "seeds' p-values is below 0.05 (McNemar's exact test on the same rows; for the mix, a paired z-test of the "
    "weighted accuracies); *worse* likewise; otherwise *no difference shown*. The p-values are not corrected for the "
    "number of recipes. They count the rows of one headline as independent: SEntFiN, where many headlines are judged "
    "for several companies, would get too small a p, so the verdicts are on the mix and on FiQA, whose headlines have "
    "one row each with few exceptions. Minutes are wall time on a machine shared with other work."
)
OVERALL_GOAL, FIQA_GOAL, MINUTES_GOAL = 0.87, 0.60, 30


def write_report(records: Sequence[Run], plan: Sequence[Experiment]) -> str:
    """Return Markdown: protocol, what each experiment changes, every source, smoke runs, the criteria set beforehand.

    Raises:
        PipelineError: no record is of the baseline, or test rows differ between records.
    """
    order = [experiment.recipe for experiment in plan if experiment.is_comparable]
    runs = sorted((r for r in records if r.recipe in order), key=lambda r: (order.index(r.recipe), r.seed))
    if BASELINE not in (run.recipe for run in runs):
        raise ExperimentError(f"no record of {BASELINE!r} among {len(records)}; run the experiments first")
    comparison = compare_records(runs, BASELINE)
    beaten = next((run.baselines for run in runs if run.baselines), {})
    sections = [
        "## Protocol",
        describe_protocol(runs),
        RULE,
        "## What each change does",
        mark_table(tabulate_verdicts(comparison, plan)),
        "## What they have to beat",
        "The majority class of each source's training rows, and VADER's word list, on the same test rows.",
        mark_table(tabulate_baselines(beaten)) if beaten else "No stored record holds them.",
        "## Every source",
        mark_table(tabulate_sources(comparison)),
        "## Smoke-tested only",
        "\n".join(list_smoke_tested(records, plan)),
        "## The criteria set beforehand",
        mark_table(tabulate_criteria(comparison, runs)),
        "The highest of many recipes is picked by these very test rows, and so a little too good.",
    ]
    missing = [f"`{name}`" for name in order if name not in {run.recipe for run in runs}]
    if missing:
        sections.insert(5, f"Not run: {', '.join(missing)}.")
    return "\n\n".join(sections) + "\n"


def replace_report(document: str, report: str) -> str:
    """Return ``document`` with ``report`` between the marks BEGIN and END.

    Raises:
        ExperimentError: a mark is missing.
    """
    return replace_between(document, (BEGIN, END), report.rstrip("\n"), "the document", ExperimentError)


def describe_protocol(runs: Sequence[Run]) -> str:
    """Return a paragraph on what the runs have in common; where they differ, every value that occurs."""
    counts = ", ".join(f"{source} {len(right):,}" for source, right in runs[0].right.items())
    mix = ", ".join(f"{source} {weight:.0%}" for source, weight in MIX.items())
    rows, rates, epochs = (
        _join(values)
        for values in (
            (run.settings["epoch_rows"] for run in runs),
            (run.settings["learning_rate"] for run in runs),
            (run.settings["epochs"] for run in runs),
        )
    )
    libraries = _join(f"{name} {version}" for run in runs for name, version in run.libraries.items())
    unseen = _join(source for source in SOURCES if not any(source in run.settings["sources"] for run in runs))
    return (
        f"{len(runs)} runs: {len({run.recipe for run in runs})} recipes under seeds {_join(run.seed for run in runs)}, "
        f"all on the base {_join(run.base['id'] + ' ' + run.base['revision'] for run in runs)}, with "
        f"{rows} training rows per epoch, drawn anew every epoch, at most {epochs} epochs, learning rates {rates}. "
        f"Every run is measured on the same test rows ({counts}); the mix is the mean over sources weighted {mix}. "
        + (f"No recipe was trained on {unseen}: there it shows what carries over. " if unseen else "")
        + "Epoch and temperature were chosen on validation rows. "
        f"Device: {_join(run.device for run in runs)}, threads per run: {_join(run.torch_threads for run in runs)}. "
        f"Libraries: {libraries}. Test rows: SHA-256 {_join(run.test_sha256[:12] for run in runs)}. "
        "The figures compare recipes with each other on this base; they are not what a recipe reaches on the base it "
        "was written for."
    )


def tabulate_verdicts(comparison: Comparison, plan: Sequence[Experiment]) -> Table:
    """Return question, change, the mix, and the verdicts against the baseline, in the plan's order."""
    groups = {group.recipe: group for group in comparison.groups}
    header = ("", "recipe", "question", "change", "seeds", "mix accuracy", "mix macro-F1", "p", "verdict on the mix",
              "FiQA accuracy", "p", "verdict on FiQA")  # fmt: skip
    rows = []
    for experiment in plan:
        group = groups.get(experiment.recipe)
        if group is None or not experiment.is_comparable:
            continue
        told = (experiment.number, f"`{experiment.recipe}`", experiment.question, experiment.change)
        rows.append((*told, str(len(group.seeds)), *_show_place(group, "mix", True), *_show_place(group, "fiqa")))
    return Table("", header, tuple(rows))


def tabulate_sources(comparison: Comparison) -> Table:
    """Return accuracy / macro-F1 of every recipe and source, FiQA's R2, calibration error and minutes."""
    rows = []
    for group in comparison.groups:
        cells = [" / ".join(_show(group, place, key) for key in ("accuracy", "macro_f1")) for place in _PLACES]
        figures = [show_spread(group.figures.get(name)) for name in ("r2", "score_head_r2", "ece")]
        wall = group.figures["wall_s"]
        minutes = Spread(wall.mean / 60, None if wall.sd is None else wall.sd / 60, None, None)
        rows.append((f"`{group.recipe}`", *cells, *figures, show_spread(minutes, 1)))
    header = ("recipe", *(f"{p} acc / F1" for p in _PLACES), "FiQA R2", "of its own head", "ECE", "minutes")
    return Table("", header, tuple(rows))


def list_smoke_tested(records: Iterable[Run], plan: Iterable[Experiment]) -> Iterator[str]:
    """Yield a list item per recipe that cannot be compared here: why, and whether its smoke run finished."""
    finished = {run.recipe for run in records if run.base["id"].startswith(RANDOM)}
    for experiment in plan:
        if not experiment.is_comparable:
            works = f"{experiment.recipe}-smoke" in finished
            state = "its smoke run (untrained one-layer model of its kind) finished" if works else "no smoke run stored"
            why = f"Not measured: {experiment.reason}; {state}."
            yield f"- {experiment.number} `{experiment.recipe}`: {experiment.question} {why}"


def tabulate_criteria(comparison: Comparison, runs: Sequence[Run]) -> Table:
    """Return the criteria set beforehand beside the baseline and the highest mean of all recipes."""
    base = next(group for group in comparison.groups if group.recipe == BASELINE)
    rows = []
    for title, place, goal in (
        (f"accuracy of the mix at least {OVERALL_GOAL:.0%}", "mix", OVERALL_GOAL),
        (f"accuracy of all test rows at least {OVERALL_GOAL:.0%}", "overall", OVERALL_GOAL),
        (f"FiQA accuracy at least {FIQA_GOAL:.0%}", "fiqa", FIQA_GOAL),
    ):
        best = max(comparison.groups, key=lambda group: group.measures[place]["accuracy"].mean)
        values = [group.measures[place]["accuracy"].mean for group in (base, best)]
        ours, theirs = (f"{value:.3f}, {'met' if value >= goal else 'not met'}" for value in values)
        rows.append((title, ours, f"`{best.recipe}` {theirs}"))
    rows.append((f"training under {MINUTES_GOAL} min on a GPU", *_judge_minutes(runs)))
    return Table("", ("criterion", "baseline", "highest of all recipes"), tuple(rows))


_PLACES = ("overall", *SOURCES)


def _judge_minutes(runs: Sequence[Run]) -> tuple[str, str]:
    on_gpu = [run for run in runs if run.figures.get("peak_gpu_mib")]
    if not on_gpu:
        return "not measured here: no GPU", "not measured here: no GPU"
    cells = []
    for group in ([run for run in on_gpu if run.recipe == BASELINE], on_gpu):
        minutes = max((float(run.figures["wall_s"] or 0) / 60 for run in group), default=None)
        verdict = "met" if minutes is not None and minutes < MINUTES_GOAL else "not met"
        cells.append("no run on a GPU" if minutes is None else f"longest run {minutes:.1f} min, {verdict}")
    return cells[0], cells[1]


def _show_place(group: Group, place: str, is_f1_shown: bool = False) -> Iterator[str]:
    """Yield accuracy, macro-F1 where asked, p and verdict; the baseline has no p and is its own measure."""
    yield _show(group, place, "accuracy")
    if is_f1_shown:
        yield _show(group, place, "macro_f1")
    if place not in group.against:
        yield from ("", "the baseline" if group.recipe == BASELINE else "no seed shared with the baseline")
        return
    found = group.against[place]
    is_open = found.verdict in (NO_DIFFERENCE, ONE_SEED)
    yield show_p(found.largest_p)
    yield found.verdict if is_open else f"**{found.verdict}** ({found.accuracy:+.3f})"


def _show(group: Group, place: str, key: str) -> str:
    return show_spread(group.measures.get(place, {}).get(key))


def _join(values: Iterable[object]) -> str:
    """Return the distinct values in order of appearance."""
    return ", ".join(dict.fromkeys(str(value) for value in values))
