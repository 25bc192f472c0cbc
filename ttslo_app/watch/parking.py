"""Parking: how each rule stands to the price of its market, one standing a rule.

A rule whose row wants to be told only, and nothing done, is parked while its market is blind: on
the far side of its threshold nothing fires it, and the first price on the near side arms it. A
trade that is seen on the far side meanwhile is remembered: it fires the rule once it is known that
nothing had crossed before. Pure, and used by one thread. What it must never do: let a rule that is
parked fire, or keep one in the books that has fired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from types import MappingProxyType

from ttslo_app.clocks import Reckoning
from ttslo_app.rules.rule import Rule, ThresholdType, WhenBlind
from ttslo_app.watch.crossings import Armed
from ttslo_app.watch.rulebook import RuleBook

_OTHER_SIDE = {
    ThresholdType.ABOVE: ThresholdType.BELOW,
    ThresholdType.BELOW: ThresholdType.ABOVE,
}


class Standing(Enum):
    """How a rule stands to the price of its market."""

    OUT = auto()  # not watched
    ARMED = auto()  # the next price beyond its threshold fires it
    PARKED = auto()  # it was crossed and told; a price on the near side arms it
    IN_DOUBT = auto()  # the same just in case: whether it was crossed is not known yet
    CROSSED_IN_DOUBT = auto()  # and a trade was seen beyond, which fires it if nothing did before
    CROSSED_AND_BACK = auto()  # and the price came back since: armed, and that trade still counts


class Signal(Enum):
    """What happens to a standing."""

    RELEASE = auto()  # it may fire: the price is near, or nothing was crossed
    HIDE = auto()  # nobody looks at its market, or has not yet
    TELL = auto()  # it was crossed, which is told and no more
    CROSS = auto()  # a trade beyond its threshold was seen
    OUTDO = auto()  # something had crossed before that trade, which counts no more


_S, _N = Standing, Signal
TRANSITIONS: Mapping[tuple[Standing, Signal], Standing] = MappingProxyType(
    {
        (_S.OUT, _N.RELEASE): _S.ARMED,
        (_S.OUT, _N.HIDE): _S.IN_DOUBT,
        (_S.OUT, _N.TELL): _S.PARKED,
        (_S.ARMED, _N.RELEASE): _S.ARMED,
        (_S.ARMED, _N.HIDE): _S.IN_DOUBT,
        (_S.ARMED, _N.TELL): _S.PARKED,
        (_S.PARKED, _N.RELEASE): _S.ARMED,
        (_S.PARKED, _N.HIDE): _S.PARKED,
        (_S.IN_DOUBT, _N.RELEASE): _S.ARMED,
        (_S.IN_DOUBT, _N.HIDE): _S.IN_DOUBT,
        (_S.IN_DOUBT, _N.TELL): _S.PARKED,
        (_S.IN_DOUBT, _N.CROSS): _S.CROSSED_IN_DOUBT,
        (_S.CROSSED_IN_DOUBT, _N.RELEASE): _S.CROSSED_AND_BACK,
        (_S.CROSSED_IN_DOUBT, _N.HIDE): _S.CROSSED_IN_DOUBT,
        (_S.CROSSED_IN_DOUBT, _N.OUTDO): _S.IN_DOUBT,
        (_S.CROSSED_AND_BACK, _N.RELEASE): _S.CROSSED_AND_BACK,
        (_S.CROSSED_AND_BACK, _N.HIDE): _S.CROSSED_IN_DOUBT,
        (_S.CROSSED_AND_BACK, _N.OUTDO): _S.ARMED,
    }
)
_MAY_FIRE = (Standing.ARMED, Standing.CROSSED_AND_BACK)


class StandingError(Exception):
    """A signal that makes no sense where a rule stands: a defect of this program."""


@dataclass(slots=True)
class Seat:
    """A rule and how it stands.

    Attributes:
        seen: Price and moment, in nanoseconds since 1970, of the trade that crossed it while it
            was in doubt; None where there is none.
    """

    armed: Armed
    standing: Standing = Standing.OUT
    seen: tuple[Decimal, int] | None = None

    def take(self, signal: Signal) -> None:
        """Change the standing.

        Raises:
            StandingError: If the signal makes no sense here; then nothing has changed.
        """
        after = TRANSITIONS.get((self.standing, signal))
        if after is None:
            name = self.armed.rule.id
            raise StandingError(f"{name}: {self.standing.name} takes no {signal.name}")
        self.standing = after

    @property
    def is_parked(self) -> bool:
        """Whether no price beyond the threshold fires the rule."""
        return self.standing not in _MAY_FIRE


class Parking:
    """Every watched rule in its seat, and the books in which prices find them.

    Args:
        default: The policy of rows that name none.
        told: The rules that an earlier run has left parked.

    Attributes:
        book: What a price fires; whoever takes a rule out of it lets the rule `leave`.
        near: What a price on the near side arms again.
        doubtful: What a trade beyond would have fired.
        seats: Every seat, by rule id.
    """

    def __init__(self, default: WhenBlind, told: Iterable[str] = ()) -> None:
        self.book = RuleBook()
        self.near = RuleBook()
        self.doubtful = RuleBook()
        self._default = default
        self.seats: dict[str, Seat] = {}
        self._by_market: dict[str, dict[str, Seat]] = {}
        self._told = set(told)  # of the rules that are not here

    def __contains__(self, rule_id: object) -> bool:
        return rule_id in self.seats

    @property
    def rules(self) -> dict[str, Armed]:
        """What is watched, by rule id. Any thread."""
        return {rule_id: seat.armed for rule_id, seat in list(self.seats.items())}

    @property
    def parked(self) -> frozenset[str]:
        """The rules of which it was told that they wait for the price to come back.

        Those among them that are not here may come yet.
        """
        parked = (i for i in self.near if self.seats[i].standing is Standing.PARKED)
        return frozenset(self._told.union(parked))

    def policy_of(self, rule: Rule) -> WhenBlind:
        """Return what becomes of a rule that is crossed while blind."""
        return rule.when_blind or self._default

    def is_watched(self, market: str) -> bool:
        """Tell whether any rule of a market is here."""
        return market in self._by_market

    def seat_of(self, rule_id: str) -> Seat | None:
        """Return a rule's seat, None where it is not watched."""
        return self.seats.get(rule_id)

    def seats_of(self, market: str) -> list[Seat]:
        """Return the seats of a market, in the order of arming."""
        return list(self._by_market.get(market, {}).values())

    def distance(self, market: str, price: Decimal | None) -> float:
        """Return how far the nearest threshold is from a market's last price, as a part of it.

        Nothing where a row is parked: it fires at no price before it is known what was missed.
        A float, as it only says who is asked about first.
        """
        near = self.book.nearest(market)
        if price is None or not near or self.near.nearest(market):
            return 0.0
        return float(min(abs(level - price) for level in near) / price)

    def was_told(self, rule_id: str) -> bool:
        """Tell whether a rule that is not here had been parked, and that was told."""
        return rule_id in self._told

    # --- in and out ----------------------------------------------------------------------------

    def enter(self, armed: Armed, signal: Signal) -> None:
        """Let a rule in, or let it take its own seat anew."""
        rule_id, market = armed.rule.id, armed.market.name
        seat = self.seats.get(rule_id)
        if seat is None:
            seat = Seat(armed)
        seat.take(signal)
        seat.armed = armed
        self._told.discard(rule_id)
        self.seats[rule_id] = seat
        self._by_market.setdefault(market, {})[rule_id] = seat
        self._put(seat)

    def leave(self, rule_id: str) -> Armed | None:
        """Take a rule off the books; return it, None where it was not there.

        Should it come again as it was, it is known whether it was parked.
        """
        seat = self.seats.pop(rule_id, None)
        if seat is None:
            return None
        if seat.standing in _MAY_FIRE:
            self.book.disarm(rule_id)
        else:
            self.near.disarm(rule_id)
            self.doubtful.disarm(rule_id)
        market = seat.armed.market.name
        del self._by_market[market][rule_id]
        if not self._by_market[market]:
            del self._by_market[market]
        if seat.standing is Standing.PARKED:
            self._told.add(rule_id)
        return seat.armed

    def forget_told(self, rule_id: str) -> None:
        """Forget that a rule which is not here was parked."""
        self._told.discard(rule_id)

    # --- what happens --------------------------------------------------------------------------

    def put_back(self, rule_ids: Iterable[str]) -> None:
        """Let the books have those of some rules again that were taken out and did not leave."""
        for rule_id in rule_ids:
            if rule_id in self.seats:
                self._put(self.seats[rule_id])

    def hide(self, market: str) -> None:
        """Park what must not fire before it is known what happened while nobody looked."""
        for seat in self.seats_of(market):
            is_told_only = self.policy_of(seat.armed.rule) is WhenBlind.NOTIFY
            if is_told_only and seat.armed.rule.id in self.book:
                self._move(seat, Signal.HIDE)

    def release(self, market: str) -> None:
        """Arm what was parked just in case and was not crossed."""
        for seat in self.seats_of(market):
            if seat.standing is Standing.IN_DOUBT:
                self._move(seat, Signal.RELEASE)

    def look(self, market: str, price: Decimal) -> None:
        """Arm what waits on the far side if `price` is on the near one."""
        for rule_id in self.near.crossed(market, price):
            seat = self.seats[rule_id]
            if seat.armed.rule.is_met_by(price):
                self._put(seat)  # equality is the far side, and that book gives it, too
            else:
                self._move(seat, Signal.RELEASE)

    def waiting(
        self, market: str, in_order: Callable[[Sequence[str]], Sequence[str]] = list
    ) -> dict[str, Armed]:
        """Return the rules of a market of which it is known since when they wait, by id.

        Args:
            market: The market.
            in_order: Returns rules in the order in which one trade fires them.
        """
        seats = ((seat.armed.rule.id, seat.armed) for seat in self.seats_of(market))
        found = {rule_id: armed for rule_id, armed in seats if not armed.is_guess}
        return {rule_id: found[rule_id] for rule_id in in_order([*found])}

    def put_right(self, time: Reckoning) -> list[Armed]:
        """Go by Kraken's clock as it is known now; return the rules that waited since a guess."""
        guesses = [seat for seat in self.seats.values() if seat.armed.is_guess]
        for seat in self.seats.values():
            seat.armed = seat.armed.put_right(time)
        return [seat.armed for seat in guesses]

    def see(self, market: str, price: Decimal, at_ns: int) -> None:
        """Remember a trade, of a moment in nanoseconds since 1970, for what it crosses in doubt."""
        for rule_id in self.doubtful.crossed(market, price):
            seat = self.seats[rule_id]
            if seat.armed.is_guess or at_ns >= seat.armed.since_ns:
                seat.take(Signal.CROSS)
                seat.seen = (price, at_ns)
            else:
                self._doubt(seat.armed)  # it is older than the rule

    def tell(self, seat: Seat) -> None:
        """Park a rule for good reason: until the price has been on the near side."""
        self._move(seat, Signal.TELL)

    def outdo(self, seat: Seat) -> None:
        """Let the trade that was seen in doubt count no more: something had crossed before."""
        seat.take(Signal.OUTDO)
        seat.seen = None
        if seat.standing is Standing.IN_DOUBT:
            self._doubt(seat.armed)

    # --- the books -----------------------------------------------------------------------------

    def _move(self, seat: Seat, signal: Signal) -> None:
        seat.take(signal)
        self._put(seat)

    def _put(self, seat: Seat) -> None:
        """Let the books have a rule as it stands."""
        rule, market = seat.armed.rule, seat.armed.market.name
        if not seat.is_parked:
            self.near.disarm(rule.id)
            self.doubtful.disarm(rule.id)
            self.book.arm(rule.id, market, rule.threshold, rule.threshold_type)
            return
        self.book.disarm(rule.id)
        self.near.arm(rule.id, market, rule.threshold, _OTHER_SIDE[rule.threshold_type])
        if seat.standing is Standing.IN_DOUBT:
            self._doubt(seat.armed)
        else:
            self.doubtful.disarm(rule.id)

    def _doubt(self, armed: Armed) -> None:
        rule = armed.rule
        self.doubtful.arm(rule.id, armed.market.name, rule.threshold, rule.threshold_type)
