"""What a study says, in plain sentences chosen by its verdict. Pure: no sentence is chosen by hand after the fact."""

from __future__ import annotations

from .study import Study
from .study_panel import LEGS
from .study_portfolio import BASIS_POINT
from .study_protocol import COSTS_BP, HORIZONS, LEVEL, MINIMUM_VALUES, STORE_SIGNALS
from .study_verdict import RANK_IC

ANSWERS = {
    "yes": "**Yes.** At least one column of the store passes all three rules below.",
    "a trace": "**A trace, but nothing that helps.** At least one column orders later returns better than chance, but "
    "none passes all three rules below.",
    "no": "**No.** No column of the store was shown to order the returns that one could still have earned.",
}


def tell_verdict(study: Study) -> list[str]:
    """Return the verdict as paragraphs."""
    verdict = study.verdict
    alone = tuple(pair for pair in verdict.traces if pair not in verdict.helps)
    lines = [
        ANSWERS[verdict.answer],
        f"- Passes all rules: {_list_pairs(verdict.helps)}.",
        f"- Passes the first rule alone (rank IC): {_list_pairs(alone)}.",
        f"- Horizons at which the store's columns add to prices: {_list_horizons(verdict.adds)}.",
        f"- Horizons at which the store beats VADER: {_list_horizons(verdict.beats_vader)}.",
        f"- {_tell_tests(study)}",
        f"- {_tell_reaction(study)}",
        f"- {_tell_costs(study)}",
        f"- {_tell_power(study)}",
    ]
    return ["\n".join([lines[0], "", *lines[1:]])]


def tell_monthly(study: Study) -> list[str]:
    """Return what a weekly or monthly reader should use."""
    months = study.periods["monthly", "sentiment_score"].ic.test
    opening = (
        f"{months.count} months with a wide enough cross-section are few: a rank IC below about "
        f"{months.detectable:.3f} would be missed in one sample of five or more."
        if months.is_made
        else f"Months with a wide enough cross-section: {months.count}, too few to test; {MINIMUM_VALUES} are needed."
    )
    helps = [f"`{signal}` ({period})" for period, signal in study.verdict.period_helps]
    if helps:
        use = (
            f"Use {', '.join(helps)}: expected sign, p below 0.05 after the correction, and the book earns after "
            f"{COSTS_BP[0]:g} bp a side. Leave out the others, which were not shown to foretell the next period."
        )
    else:
        use = (
            "No weekly or monthly column was shown to foretell the next period's return. Do not expect sentiment to "
            "lift a monthly model, and do not choose stocks by it alone. Who wants it in the model as one input among "
            "many takes few columns, `positive_share` and `negative_share` of the month by `to_monthly`, beside "
            "`has_news`, and keeps them only if they help out of sample in that model, against the same columns "
            "shuffled within the month."
        )
    return [opening, use]


def _tell_tests(study: Study) -> str:
    outcomes = study.tests.values()
    small, smallest = sum(o.p < LEVEL for o in outcomes), min(o.adjusted_p for o in outcomes)
    ics = {
        (signal, h): o for (kind, signal, h), o in study.tests.items() if kind == RANK_IC and signal in STORE_SIGNALS
    }
    (signal, horizon), closest = min(ics.items(), key=lambda item: item[1].p)
    return (
        f"{len(outcomes)} tests; {small} have p < {LEVEL}, where luck alone would give about "
        f"{LEVEL * len(outcomes):.0f}; the smallest p after the correction is {smallest:.2g}. The rank IC farthest "
        f"from luck is that of `{signal}` at {horizon}: {closest.estimate:+.4f}, p {closest.p:.2g} before the "
        f"correction and {closest.adjusted_p:.2g} after it."
    )


def _tell_reaction(study: Study) -> str:
    tests = [study.leg_spreads["sentiment_score", leg].gross_test for leg in LEGS[:4]]
    if not all(test.is_made for test in tests):
        return "Too few days to test what the tickers had done around their headlines."
    before, during, night, after = (test.mean / BASIS_POINT for test in tests)
    return (
        f"Best less worst tickers by `sentiment_score`: {before:+.0f} bp in the gap before the session, "
        f"{during:+.0f} bp during it, {night:+.0f} bp in the night until the entry; from the entry's open to its close "
        f"{after:+.0f} bp. Only the last can be traded; a study that counts the others takes a report for a forecast."
    )


def _tell_costs(study: Study) -> str:
    earning = [(s, h) for (s, h), b in study.books.items() if s in STORE_SIGNALS and b.net_tests[COSTS_BP[0]].mean > 0]
    total = sum(signal in STORE_SIGNALS for signal, _ in study.books)
    return (
        f"Of {total} long-short books of the store's columns, {len(earning)} earn something after {COSTS_BP[0]:g} bp a "
        f"side; this alone is no finding, for half of all worthless books do so before costs."
    )


def _tell_power(study: Study) -> str:
    tests = {horizon: study.ics["sentiment_score", horizon].test for horizon in HORIZONS}
    parts = [f"{test.detectable:.3f} ({horizon})" for horizon, test in tests.items() if test.is_made]
    if not parts:
        return "What could have been found: nothing; there are too few days to test."
    untested = [horizon for horizon, test in tests.items() if not test.is_made]
    rest = f" Too few days to test: {_list_horizons(tuple(untested))}." if untested else ""
    return (
        "What could have been found: true mean rank ICs of `sentiment_score` from about "
        f"{', '.join(parts)} on would show in four samples of five, before the correction. Smaller ones may exist."
        f"{rest}"
    )


def _list_pairs(pairs: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"`{signal}` at {horizon}" for signal, horizon in pairs) or "none"


def _list_horizons(horizons: tuple[str, ...]) -> str:
    return ", ".join(horizons) or "none"
