"""The words that turn a headline's direction round, the company they need, and the words beside which none may turn.

Tables and the patterns made of them. A word counts on its own alone: not in a compound, a cashtag or an address.
"""

from __future__ import annotations

import re

_PAIRS = """
rise/fall rises/falls rose/fell risen/fallen rising/falling gain/drop gains/drops gained/dropped gaining/dropping
jump/slump jumps/slumps jumped/slumped jumping/slumping surge/plunge surges/plunges surged/plunged surging/plunging
soar/tumble soars/tumbles soared/tumbled soaring/tumbling climb/slip climbs/slips climbed/slipped climbing/slipping
rally/slide rallies/slides rallied/slid rallying/sliding advance/decline advances/declines advanced/declined
rebound/retreat rebounds/retreats rebounded/retreated rebounding/retreating increase/decrease increases/decreases
increased/decreased increasing/decreasing grow/shrink grows/shrinks grew/shrank growing/shrinking zooms/tanks
zoomed/tanked spike/dip spikes/dips spiked/dipped spurts/sinks doubles/halves doubled/halved up/down upward/downward
upwards/downwards upside/downside uptrend/downtrend upbeat/downbeat upgrade/downgrade upgrades/downgrades
upgraded/downgraded upgrading/downgrading high/low highs/lows higher/lower highest/lowest above/below strong/weak
stronger/weaker strongest/weakest strength/weakness strengthen/weaken strengthens/weakens
strengthened/weakened strengthening/weakening robust/sluggish improve/worsen improves/worsens improved/worsened
improving/worsening improvement/deterioration better/worse positive/negative positively/negatively bullish/bearish
optimistic/pessimistic optimism/pessimism encouraging/disappointing favourable/unfavourable favorable/unfavorable
profitable/unprofitable outperform/underperform outperforms/underperforms outperformed/underperformed
outperforming/underperforming overweight/underweight gainers/losers inflow/outflow inflows/outflows buying/selling
beat/miss beats/misses raise/cut raises/cuts raised/lowered raising/cutting lift/trim lifts/trims lifted/trimmed
hike/slash hikes/slashes hiked/slashed boosts/reduces boosted/reduced buy/sell profit/loss
"""
RISING = dict(pair.split("/") for pair in _PAIRS.split())
FALLING = {falling: rising for rising, falling in RISING.items()}
OPPOSITES = RISING | FALLING
"""Every word once, so that turning back finds the word it came from."""

AMOUNT = (
    r"(?:(?:Rs\.?|EURO?|INR|USD|GBP|SEK|NOK|DKK|CHF|CAD|AUD|JPY|CNY|RUB|LTL|EEK|US\$|[$€£₹~])\s?)?\d[\d,]*(?:\s?\.\s?\d+)?"
    r"(?:\s?(?:%|pct|per\s?cent|percent|mn|mln|million|m|bn|billion|b|crore|cr|lakh|euros?|cents?|dollars?)(?!\w))*"
)
"""A sum, share or count with its currency and unit."""
_MOVED = (
    r"\b(?:stks?|stocks?|shares?|scrips?|is|are|was|were|ends?|ended|closes?|closed|opens?|opened|trading|trades|sales|"
    r"profits?|net|revenues?|income|pat|earnings|turnover|ebitda|sensex|nifty|index|going|futures|volumes?)\s+$"
)
_ENDS = r"\s*(?:$|[.,;:]|(?:on|as|in|after|ahead|amid|for|by|this|over|today|premarket|post)\b)"
_BY = rf"\s+(?:(?:by|about|around|over|nearly|almost|more than|as much as)\s+)*{AMOUNT}"
_PHRASAL = (
    r"(?<!set )(?<!sets )(?<!pick )(?<!picks )(?<!picked )(?<!snaps )(?<!mops )(?<!buys )(?<!gives )(?<!shut )"
    r"(?<!shuts )(?<!ramp )(?<!pay )(?<!pays )(?<!put )(?<!puts )(?<!takes )(?<!lay )(?<!tied )(?<!ties )$"
)
_FIGURE = (
    r"\s+(?:[\w'%.&-]+\s+){0,4}?(?:forecasts?|guidance|outlook|views?|dividends?|payouts?|stakes?|targets?|estimates?|"
    r"ratings?|pt)\b"
)
_EXPECTED = (
    r"\s+(?:[\w'&-]+\s+){0,3}?(?:estimates?|forecasts?|expectations?|views?|consensus|street|earnings|eps|revenues?)\b"
)
_RATED = (
    r"\b(?:at|(?:\w+grad\w+|rais\w+|cut\w*|lower\w+|mov\w+|coverage|initiat\w+|chang\w+) (?:to|with)|a|rating|"
    r"maintains?|reiterates?|stays?)\s+(?:an?\s+)?['\"‘“]?$"
)
_TRADED = (
    r"\b(?:on|amid|by|of|sustained|fresh|heavy|persistent|continued|aggressive|speculative|stockists|value|"
    r"fii|funds|funds are|investor)\s+$"
)
_POSTED = (
    r"\b(?:posts?|posted|reports?|reported|books?|booked|recorded|made)\s+(?:an?\s+)?"
    r"(?:(?:net|operating|pretax|pre-tax|quarterly|annual)\s+)*$"
)
_STARTED = r"(?:\s*$|\s+(?:to|by|in|on|as|after|from)\b)|" + _BY

Context = tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]


def _either(*pairs: tuple[str, str]) -> Context:
    return tuple((re.compile(before, re.IGNORECASE), re.compile(after, re.IGNORECASE)) for before, after in pairs)


_MOVE = _either((_PHRASAL, _BY), (_MOVED, _ENDS))
_CHANGED = _either(("", _FIGURE))
_RESULT = _either(("", _EXPECTED), (r"\b(?:earnings|eps|revenues?|sales|profits?|results?)\s+$", ""))
_ADVICE = _either((_RATED, r"(?!\s+(?:on\s+)?(?:dip|rall))"), (r"^$", r"\s+[\w&. -]+?(?:, target|:| with )"))
_SUM = _either((_POSTED, r"\s*(?:$|[.,;:]|(?:of|in|for)\b)"))
_STEP = _either(("", _STARTED))
_WORDS = (
    ("up down", _MOVE),
    ("beat miss beats misses", _RESULT),
    ("raise cut raises cuts raised lowered raising cutting lift trim lifts trims lifted trimmed", _CHANGED),
    ("hike slash hikes slashes hiked slashed boosts reduces boosted reduced", _CHANGED),
    ("buy sell", _ADVICE),
    ("buying selling", _either((_TRADED, ""))),
    ("profit loss", _SUM),
    ("advance decline advances declines advanced declined tanks zooms spike dip", _STEP),
    ("strengthen weaken strengthens weakens strengthened weakened strengthening weakening", _STEP),
    ("improve worsen improves worsens improved worsened improving worsening", _STEP),
)
CONTEXTS: dict[str, Context] = {word: context for words, context in _WORDS for word in words.split()}
"""What must stand before and after a word that points somewhere in that company alone."""
_MARK = r"(?:\s+[\w$.,%/'-]+){0,4}?\s+(?:highs?|lows?)\b"
HARMLESS: dict[str, Context] = {
    "profit": _either(("", "")),
    "loss": _either((r"\bstop[ -]$", "")),
    "hit": _either(("", _MARK)),
    "hits": _either(("", _MARK)),
    "record": _either(("", r"\s+(?:highs?|lows?)\b")),
    "deal": _either((r"\b(?:trade|after|on) $", "")),
}
"""Where a word that else points somewhere, or forbids turning, says nothing."""

_FORBIDDEN = """
expansion fueling fuelling beyond hails hailed bk slams praises
cost costs expense expenses debt debts losses unemployment jobless layoffs inflation tax taxes rate rates yield yields
npa npas deficit default defaults volatility vix short shorts bankruptcy claims spread spreads tariff tariffs duty
duties fuel premium discount provisions liabilities impairment overdue delinquencies vacancies complaints not no nor
never neither none without cannot fails fail failed failing
unlikely hardly despite but although though however yet while whereas unless instead except otherwise even offset
limited limits pares pare paring erases recoups contrary rather fear fears worry worries concern concerns woes hope
hopes risk risks threat crisis slowdown recession rout crash pressure warning warns warn warned hit hits hurt hurts
suffers suffered lag lags drag drags weigh weighs sour soured poor bad worst best good great nice solid decent
attractive promising safe cheap expensive overvalued undervalued correction booking coronavirus virus outbreak lawsuit
probe fraud scam sues strike recover recovers recovered recovery revival growth boost help helps helped win wins won
nod approval approves award awarded record loses lose losing lost narrowed narrows narrow widens widened widen exceeds
exceeded exceed tops topped outpaces slow slows slowed slower faster accelerates bounce bounces snap snaps squeeze
breakout breakdown bull bulls bear bears contraction shrinkage bottom bottoms peak peaks oversold overbought reversal
resistance support halt halts halted cancel cancels suspended turnaround reverse missed disappoint disappoints
disappointed delay delays delayed shutdown closure resigns quits job jobs cutbacks personnel employees savings
efficiency caution cautious choppy uncertain uncertainty tough difficult headwinds tailwinds buoyed subdued ups add
adds added blames slaps slapped oversupply sanctions spooked rattled dampen dampens tank regain regains regained
plummet plummets plummeted skid skids shed sheds nosedive nosedives crashes crashed skyrocket skyrockets leap leaps
leapt rocket rockets ease eases eased firms soften softens softer pop pops popped dive dives hammered battered toll
swing swings impressive enjoyed upset shine shines stellar healthy broken cracks crack accelerate accelerated sarcasm
penalty penalties long under leave leaves leaving fade fades relief nibbling sidelines uncertainties okays offer
offers oversubscribed break breaks breaking deal merger takeover bid acquire acquires acquisition
"""
FORBIDDEN = frozenset(_FORBIDDEN.split())
"""Beside these a turned text might mean something else: what is good when it falls, negation, contrast, other signs."""

NAMES = re.compile(
    r"\b(?:high (?:court|street|commission|speed|quality|school|end|tech|value)|best buy|bear stearns|advance auto|"
    r"low[- ](?:cost|priced?|fare)|strong(?:er)? (?:buy|sell)|this fall|buy (?:back|side|out)|sell[- ](?:off|side)|"
    r"up(?: to| from| against| for (?:grabs|sale|auction))|down (?:from|to|under)|positive thinking)\b"
    r"|(?<![\w.])[+-]\d[\d.]*\s?%",
    re.IGNORECASE,
)
"""Where a word of direction is part of another thing, or a signed percentage would tell the old one."""
