"""Words beside a name that tell a company from a word, a person, a place or an index. Data only."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LEGAL = _words("inc corp corporation co cos company companies plc ltd llc group holdings")
"""On the right of a name, also after a comma ("Block, Inc.")."""

FIRM = LEGAL | _words("""
    ceo cfo coo chairman chairwoman chief executive executives exec execs boss president board
    investor investors shareholders shareholder stake dividend buyback merger acquisition takeover bid
    subsidiary unit brand profit profits earnings eps revenue results guidance
    acquires acquire acquired agrees agree agreed appoints appoint appointed buys buy bought hires hire hired
    invests invest launches launch launched names name named partners partner says said say sells sell sold
    sues sue sued taps unveils unveil unveiled
""")
"""On the right of a name: what only a firm is, has or does."""

ANY = FIRM | _words("""
    adding adds aims announces announce announced asks backs beefs blames bolsters boosts brings builds buying calls
    cancels claims closes commits completes considering considers continues cuts cutting declares defends delays denies
    discloses ditches doubles drops ends enters expand expands expects explores exploring extends faces fights files
    fires follows forecasts gets gives halts halves helps hiring hopes introduces investing joins keeping keeps kicks
    leads looks loses lures makes mulls offers opens ousts outlines overhauls overtakes owes pares pay pays picks plan
    planning plans plants pledges poaches post posted posts predicts prepares presses prices promises promotes pulls
    pushes puts quits raising reaches readies reassures recall recalled recalling recalls rejects renews replaced
    replaces report reported reports resolves restarts resumes retools returns reveals revives rolls scales scraps
    seeking seeks sees selling set sets settle settled settles shakes sheds shifts shuts signs slams slashing snaps
    spends spins stands starting starts steps stops suspends swings switches takes talks targets teams tells tests
    touts trims triples tries turns unveiling updates urges using wants warns weighs wins withdraws won works
    q1 q2 q3 q4 quarterly sales outlook margins store stores customers employees workers pilots
    cars trucks drug jet jets plane planes flight flights
    beat beats bets bonds boosts climbs cut dip dips downgraded drop eyes fall falls fell gain gains hikes jump jumped
    jumps lifts lose miss missed misses options plunge plunges raise raised raises rallies rally rise rises rose share
    shares sink sinks slashes slide slides slip slips soar soars stock stocks surge surged surges top tops tumble
    tumbles upgraded ipo
""")
"""On the right of a name: what a firm does or its share price does; an index moves like that too."""

AFTER_PAIRS = _words("""
    first_quarter second_quarter third_quarter fourth_quarter full_year same_store &_co &_company
""")
"""Two words on the right of a name."""

BEFORE = _words("""
    rival rivals retailer automaker automakers carmaker maker giant lender insurer firm chain bank airline owner parent
    brand startup supplier competitor
""")
"""On the left of a name."""

BEFORE_PAIRS = _words("""
    shares_of stake_in stakes_in stock_of ceo_of chief_of deal_with owner_of parent_of maker_of unit_of merger_with
    owned_by bid_for takeover_of acquisition_of invest_in
""")
"""Two words on the left of a name."""

PERSON = _words("""
    pm president vice senator sen gov governor minister judge mr mrs ms dr prosecutor coach mayor chancellor justice
    treasurer captain secretary sheriff king queen prince pope head 's
""")
"""On the left of a surname: a title, an office, or the possessive of one ("Fed's Williams")."""

OPENERS = _words("""
    at in on for as why how the can is does after with from by & but will if what when should did are was not despite
    top former ex to
""")
"""Words whose capital comes from their place, not from being part of a name."""

NOT_VERBS = _words("be the a an his her their its new record")
"""What may follow "to" without making it the start of something a company will do."""
