"""The numbers of the order protocol, each with its reason, and how they are read from text."""

from __future__ import annotations

from dataclasses import dataclass, fields

from krakenlink.numbers import to_decimal


@dataclass(frozen=True, slots=True)
class OrderSettings:
    """The numbers of the protocol, in seconds, each with its reason.

    Attributes:
        deadline: How long Kraken may take to accept the order; Kraken allows 2 to 60. Long enough
            for a slow handshake, short enough that an unknown outcome is settled soon.
        deadline_margin: Waited beyond the deadline by Kraken's own clock, which is only known to
            about a second.
        lookup_gap: Between the two looks that must both find nothing. An order that closed just
            before the first look may be missing from ClosedOrders for 10 s.
        late_books: How long past the deadline an order may be missing from the books although it
            was placed, where something on the way answered in Kraken's place.
        ask_again: First wait after a look without an answer; doubles up to `ask_again_max`.
        ask_again_max: The longest of those waits.
        refusal_wait: First wait after a refusal that may heal; doubles up to `refusal_wait_max`.
        refusal_wait_max: The longest of those waits.
        owed: An order that turned out not to be placed is placed although the price has gone back
            when its crossing is younger than this: a spike is why the rule exists.
        in_line: The longest that a crossing waits in line because Kraken takes no more orders for
            now. Kraken lets at most 225 orders stand on a pair, which is 4 minutes of waiting;
            beyond this today's price has to meet the threshold again.
        write_again: Between two tries to write a state file that cannot be written.
        watch: Between two looks at the open orders, one call for all rows; Kraken's smallest
            allowance regains a call in 3 s.
    """

    deadline: float = 5.0
    deadline_margin: float = 1.5
    lookup_gap: float = 12.0
    late_books: float = 60.0
    ask_again: float = 1.0
    ask_again_max: float = 30.0
    refusal_wait: float = 1.0
    refusal_wait_max: float = 60.0
    owed: float = 60.0
    in_line: float = 600.0
    write_again: float = 1.0
    watch: float = 10.0


def settings_from(text: str) -> OrderSettings:
    """Return the settings of `name=seconds,name=seconds`; names left out keep their defaults.

    Raises:
        ValueError: For an unknown name or a number that is not positive.
    """
    known = {f.name for f in fields(OrderSettings)}
    chosen: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = part.partition("=")
        if name.strip() not in known:
            raise ValueError(f"{name.strip()!r} is none of {', '.join(sorted(known))}")
        number = float(to_decimal(value))
        if number <= 0:
            raise ValueError(f"{name.strip()}={value} is not positive")
        chosen[name.strip()] = number
    return OrderSettings(**chosen)
