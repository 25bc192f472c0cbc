"""Whether the stream tells the truth: REST's last prices beside the stream's, and what follows.

Pure: no thread, no socket, no clock. A subscription can be acknowledged, bring prices for hours
and then fall mute while heartbeats go on (seen with Kraken more than once); nothing on the stream
shows it. What this must never do: cry wolf over a pair that is quiet, or over one that moves while
somebody looks. So prices are compared only where no tick came between the two looks at the stream
that enclose the REST call, and a difference counts only if it is there a second time, some
seconds later, and the stream has still said nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, auto
from typing import Any

from krakenlink.numbers import readable


class Remedy(Enum):
    """What is to be done about a symbol."""

    RESUBSCRIBE = auto()  # distrust it, and ask for it anew
    RECONNECT = auto()  # keep distrusting it, and make the connection anew
    TRUST = auto()  # its prices count again


@dataclass(frozen=True, slots=True)
class View:
    """The stream's side of one symbol at one moment.

    Attributes:
        price: Its last tick's.
        ticks: How many ticks there were ever.
        connection: The number of the connection.
        is_live: Whether it is acknowledged and has had data on that connection.
        of: What tells its subscription from one that was given back before; never looked into.
    """

    price: Decimal
    ticks: int
    connection: int
    is_live: bool
    of: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """A symbol, what is to be done about it, a sentence for people, and what was seen of it."""

    symbol: str
    remedy: Remedy
    sentence: str
    view: View = field(compare=False, repr=False)


# A cure shows within seconds or not at all; after so many looks the usual pace is enough.
_SOON = 3


@dataclass(slots=True)
class _Patient:
    """A distrusted symbol: what was tried last, the stream's side then, and looks since."""

    remedy: Remedy
    view: View
    looks: int = 0


class Audit:
    """Remembers from look to look which symbols are doubted. Not thread-safe.

    Args:
        counts_again: Whether what is doubted counts again by itself, as a book does with its next
            snapshot: then it is doubted as often as it lies.
    """

    def __init__(self, *, counts_again: bool = False) -> None:
        self._counts_again = counts_again
        self._suspects: dict[str, View] = {}
        self._patients: dict[str, _Patient] = {}
        self._resubscribed: dict[str, int] = {}  # on which connection
        self._of: dict[str, object] = {}  # by which subscription each symbol was seen last

    @property
    def is_open(self) -> bool:
        """Whether a further look is due within seconds rather than at the next audit."""
        return bool(self._suspects) or any(p.looks < _SOON for p in self._patients.values())

    def judge(
        self,
        before: Mapping[str, View],
        prices: Mapping[str, Decimal],
        after: Mapping[str, View],
    ) -> list[Finding]:
        """Return what one look has found.

        Args:
            before: The stream by symbol before REST was asked.
            prices: REST's last prices by symbol; those that it has none for are left out.
            after: The stream after REST has answered.
        """
        self._forget_others(after)
        findings = []
        for symbol in after:
            if symbol in before and symbol in prices:
                look = _Look(symbol, before[symbol], prices[symbol], after[symbol])
                is_patient = symbol in self._patients
                finding = self._look_after(look) if is_patient else self._suspect(look)
                findings += [finding] if finding else []
        return findings

    def _forget_others(self, known: Mapping[str, View]) -> None:
        """Forget what was given back: a new subscription counts, whatever was thought of another.

        A patient that is remembered and not distrusted could lie for as long as it likes.
        """
        now = {symbol: view.of for symbol, view in known.items()}
        gone = [i for i, of in self._of.items() if i not in now or now[i] is not of]
        memories: tuple[dict[str, Any], ...] = (
            self._suspects,
            self._patients,
            self._resubscribed,
        )
        for memory in memories:
            for symbol in gone:
                memory.pop(symbol, None)
        self._of = now

    def _suspect(self, look: _Look) -> Finding | None:
        earlier = self._suspects.pop(look.symbol, None)
        if not look.is_contradiction:
            return None
        if earlier is None or _has_spoken(earlier, look.after):
            self._suspects[look.symbol] = look.after
            return None
        return self._treat(look)

    def _treat(self, look: _Look) -> Finding:
        symbol, view = look.symbol, look.after
        said = (
            f"{symbol}: the stream has fallen silent at {readable(view.price)}, Kraken's REST says "
        )
        said += f"{readable(look.price)}; prices come over REST"
        if self._resubscribed.get(symbol) == view.connection:
            self._patients[symbol] = _Patient(Remedy.RECONNECT, view)
            why = f"{said} while the connection is made anew"
            return Finding(symbol, Remedy.RECONNECT, why, view)
        self._resubscribed[symbol] = view.connection
        self._patients[symbol] = _Patient(Remedy.RESUBSCRIBE, view)
        why = f"{said} while the subscription is made anew"
        return Finding(symbol, Remedy.RESUBSCRIBE, why, view)

    def _look_after(self, look: _Look) -> Finding | None:
        symbol, patient = look.symbol, self._patients[look.symbol]
        patient.looks += 1
        if _has_spoken(patient.view, look.after) and look.is_plausible:
            del self._patients[symbol]
            why = f"{symbol}: the stream speaks again and counts"
            return Finding(symbol, Remedy.TRUST, why, look.after)
        is_new_lie = self._counts_again and look.is_contradiction
        if patient.remedy is not Remedy.RESUBSCRIBE and not is_new_lie:
            return None
        self._patients[symbol] = _Patient(Remedy.RECONNECT, look.after)
        return Finding(
            symbol,
            Remedy.RECONNECT,
            f"{symbol}: a new subscription did not help, so the connection is made anew; prices "
            "come over REST",
            look.after,
        )


@dataclass(frozen=True, slots=True)
class _Look:
    """REST's price of a symbol between two looks at the stream."""

    symbol: str
    before: View
    price: Decimal
    after: View

    @property
    def is_contradiction(self) -> bool:
        """Whether both cannot be true: the stream stands still at another price than REST's."""
        return (
            self.after.is_live
            and not _has_spoken(self.before, self.after)
            and self.after.price != self.price
        )

    @property
    def is_plausible(self) -> bool:
        """Whether the stream brings data, and nothing speaks against them."""
        return self.after.is_live and not self.is_contradiction


def _has_spoken(earlier: View, later: View) -> bool:
    """Tell whether data came between two moments; another connection begins with new ones."""
    return later.ticks != earlier.ticks or later.connection != earlier.connection
