"""The account's stream without its socket: what is asked, what comes, what is known of each order.

Pure and not thread-safe: time, chance and tokens come in as arguments. Kraken's rows are sparse, so
each is joined to what the same subscription has told before. It must never let a hole in the
numbers pass unseen, call an order known that it has not been shown whole, or put a token into a
sentence.

Source: Kraken, spot WebSocket v2 executions channel (read 2026-11). Not written there: where the
numbers begin, whether an account without orders gets a snapshot, whether each move of a stop is
told. It is right either way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum, auto
from typing import Any

from krakenlink.stream.events import Due, Event
from krakenlink.stream.executions import AccountOrder, Repeats, joined, order_id_of
from krakenlink.stream.link import Link
from krakenlink.stream.settings import AccountSettings, FeedSettings
from krakenlink.stream.states import next_state

_CHANNEL = "executions"
_NEVER = float("-inf")
# With the digits on the wire: what is filled is compared, and shown to people.
_DECODER = json.JSONDecoder(parse_float=Decimal)


@dataclass(frozen=True, slots=True)
class AccountFollowed:
    """Kraken has accepted the subscription; a snapshot may follow."""

    at: float


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """The orders that are open, as the subscription began; one that is missing is not open."""

    orders: tuple[AccountOrder, ...]
    at: float


@dataclass(frozen=True, slots=True)
class OrderNews:
    """Something has happened to an order; `order` is all that is known of it now."""

    order: AccountOrder
    at: float


@dataclass(frozen=True, slots=True)
class AccountGap:
    """The numbers do not go on as they should: events may be lost, and all is asked for anew."""

    expected: int
    found: int
    at: float


@dataclass(frozen=True, slots=True)
class AccountLost:
    """Nothing is told any more until `AccountFollowed`; `since` is the last sign of life."""

    reason: str
    since: float
    at: float


@dataclass(frozen=True, slots=True)
class AccountDenied:
    """The key may not follow the account; `error` is in Kraken's words. It is tried again."""

    error: str
    at: float


@dataclass(frozen=True, slots=True)
class AccountClosed:
    """The feed was stopped."""

    at: float


AccountEvent = (
    AccountFollowed
    | AccountSnapshot
    | OrderNews
    | AccountGap
    | AccountLost
    | AccountDenied
    | AccountClosed
)


class AccountState(Enum):
    """The life of the one subscription."""

    WANTED = auto()  # not asked for on this connection yet
    ASKED = auto()
    FOLLOWED = auto()
    LEAVING = auto()  # numbers were missing: left, to be asked for anew


class AccountSignal(Enum):
    """What happens to it."""

    ASK = auto()
    ACK = auto()
    LEAVE = auto()
    LEFT = auto()
    LOST = auto()


ACCOUNT_TRANSITIONS: dict[tuple[AccountState, AccountSignal], AccountState] = {
    (AccountState.WANTED, AccountSignal.ASK): AccountState.ASKED,
    (AccountState.WANTED, AccountSignal.LOST): AccountState.WANTED,
    (AccountState.ASKED, AccountSignal.ACK): AccountState.FOLLOWED,
    (AccountState.ASKED, AccountSignal.LOST): AccountState.WANTED,
    (AccountState.FOLLOWED, AccountSignal.ACK): AccountState.FOLLOWED,
    (AccountState.FOLLOWED, AccountSignal.LEAVE): AccountState.LEAVING,
    (AccountState.FOLLOWED, AccountSignal.LOST): AccountState.WANTED,
    (AccountState.LEAVING, AccountSignal.ACK): AccountState.LEAVING,  # of before
    (AccountState.LEAVING, AccountSignal.LEFT): AccountState.WANTED,
    (AccountState.LEAVING, AccountSignal.LOST): AccountState.WANTED,
}


@dataclass(slots=True)
class AccountDue:
    """What the shell has to do now: frames to send, events to tell, a link to drop.

    `frames` hold the token, and belong into no log. `at_least` is the shortest decent pause after a
    link that is dropped.
    """

    frames: list[str] = field(default_factory=list)
    events: list[AccountEvent] = field(default_factory=list)
    lost: str | None = None
    at_least: float = 0.0


class AccountProtocol:
    """One link, one subscription, and the orders that it has told of.

    Args:
        settings: The numbers of the link.
        account: Those of the subscription.

    Attributes:
        link: The life of the connection; attempts and delays are told to it alone.
        state: Where the subscription is.
        damaged: How many frames or rows could not be read, ever.
        gaps: How often the numbers did not go on, ever.
    """

    def __init__(self, settings: FeedSettings, account: AccountSettings) -> None:
        self.settings = settings
        self.account = account
        self.link = Link(settings)
        self.state = AccountState.WANTED
        self.damaged = self.gaps = 0
        self._orders: dict[str, AccountOrder] = {}
        self._repeats = Repeats()
        self._token = ""
        self._req_id = 0
        self._asked_at = self._left_at = _NEVER
        self._begin()

    def _begin(self) -> None:
        """Forget what belongs to one subscription; what it has told may be overtaken by now."""
        self._doubt()
        self._last: tuple[int, object] | None = None
        self._has_snapshot = False
        self._must_leave = False

    def _doubt(self) -> None:
        """Call no sum certain any more: a part of it may be missing. A snapshot is asked for."""
        self._must_leave = True
        self._orders = {
            txid: order if order.is_final else replace(order, is_certain=False)
            for txid, order in self._orders.items()
        }

    def _step(self, signal: AccountSignal) -> None:
        self.state = next_state(ACCOUNT_TRANSITIONS, self.state, signal)

    # -- connections come and go

    def opened(self, now: float, token: str) -> None:
        """The handshake is done: the subscription is asked for at the next `due`."""
        self.link.opened(now)
        self._token = token
        self._step(AccountSignal.LOST)
        self._begin()

    def lost(
        self, now: float, reason: str, chance: float = 0.0, *, at_least: float = 0.0
    ) -> list[AccountEvent]:
        """The link is gone, or could not be made; what was told before proves nothing now.

        Args:
            now: The moment.
            reason: A sentence for people.
            chance: A random number from 0 to 1 for the jitter.
            at_least: The shortest delay that is decent after such an end, in seconds.
        """
        told = self.link.lost(now, reason, chance, at_least=at_least)
        self._step(AccountSignal.LOST)
        self._begin()
        self._token = ""
        return self._blind(told, reason, now)

    def _blind(self, told: list[Event], reason: str, now: float) -> list[AccountEvent]:
        since = self.link.blind_since
        return [AccountLost(reason, now if since is None else since, now)] if told else []

    def abandon(self, now: float, reason: str) -> list[AccountEvent]:
        """Whoever ran it is gone: nothing is known, and the next one begins after a pause."""
        told = self.link.abandon(now, reason)
        self.state = AccountState.WANTED
        self._begin()
        return self._blind(told, reason, now)

    def close(self, now: float) -> list[AccountEvent]:
        """Stop, and be as new."""
        is_news = bool(self.link.close(now))
        self.state = AccountState.WANTED
        self._begin()
        self._orders.clear()
        self._token = ""
        return [AccountClosed(now)] if is_news else []

    # -- what is known

    def orders(self, now: float) -> dict[str, AccountOrder] | None:
        """Return the open orders by id; None where the stream does not prove them at `now`."""
        is_whole = self.state is AccountState.FOLLOWED and self._has_snapshot
        if not is_whole or self._must_leave or now >= self.link.good_until:
            return None
        return {txid: order for txid, order in self._orders.items() if not order.is_final}

    def is_followed(self, now: float) -> bool:
        """Tell whether events come at `now`, as far as anybody can know."""
        return self.state is AccountState.FOLLOWED and now < self.link.good_until

    # -- what falls due

    def due(self, now: float) -> AccountDue:
        """Return what is to be done at `now`. Cheap when nothing is."""
        due = AccountDue()
        if not self.link.is_open:
            return due
        of_link = Due()
        self.link.check(now, of_link)
        due.frames, due.lost = of_link.frames, of_link.lost
        if due.lost is not None:
            return due
        if self.state is AccountState.WANTED:
            self._step(AccountSignal.ASK)
            self._begin()
            due.frames.append(self._frame("subscribe", snap_orders=True, snap_trades=False))
            self._asked_at = now
        elif self._must_leave and now >= self._left_at + self.account.snapshot_pause:
            self._step(AccountSignal.LEAVE)
            self._left_at = self._asked_at = now
            self._begin()
            due.frames.append(self._frame("unsubscribe"))
        elif self._is_waiting and now >= self._asked_at + self.settings.mute_after:
            due.lost = "the account's subscription is not answered"
        return due

    @property
    def _is_waiting(self) -> bool:
        return self.state in (AccountState.ASKED, AccountState.LEAVING)

    def next_due(self) -> float:
        """Return the moment at which `due` has work again, if nothing happens before."""
        moments = [self.link.next_due()]
        if self.state is AccountState.WANTED:
            return _NEVER
        if self._is_waiting:
            moments.append(self._asked_at + self.settings.mute_after)
        if self._must_leave:
            moments.append(self._left_at + self.account.snapshot_pause)
        return min(moments)

    def _frame(self, method: str, **more: bool) -> str:
        self._req_id += 1
        params = {"channel": _CHANNEL, "token": self._token, **more}
        message = {"method": method, "params": params, "req_id": self._req_id}
        return json.dumps(message, separators=(",", ":"))

    # -- what comes in

    def receive(self, frames: Iterable[str | bytes], now: float) -> AccountDue:
        """Take in frames that came at `now`; of what is returned only events and an end count."""
        due = AccountDue()
        texts = list(frames)
        if self.link.heard(now, len(texts)) is None:
            due.lost = "nothing was heard for longer than orders live; was the machine asleep?"
            return due
        for text in texts:
            self._take(_content_of(text), now, due)
        return due

    def _take(self, content: Mapping[str, Any] | None, now: float, due: AccountDue) -> None:
        if content is None:
            self.damaged += 1
        elif content.get("channel") == _CHANNEL:
            self._take_rows(content, now, due)
        elif content.get("method") == "pong":
            self.link.ponged(now)
        elif "channel" not in content:
            self._take_answer(content, now, due)

    def _take_answer(self, content: Mapping[str, Any], now: float, due: AccountDue) -> None:
        method, error = content.get("method"), _error_of(content)
        if content.get("success") is True or "Already subscribed" in error:
            if method == "unsubscribe" and self.state is AccountState.LEAVING:
                self._step(AccountSignal.LEFT)
            elif method == "subscribe" and self.state is AccountState.ASKED:
                self._step(AccountSignal.ACK)
                due.events.append(AccountFollowed(now))
        elif "Subscription Not Found" in error and self.state is AccountState.LEAVING:
            self._step(AccountSignal.LEFT)
        elif "Permission denied" in error:
            due.events.append(AccountDenied(error, now))
            due.lost, due.at_least = error, self.account.denied_delay
        else:
            # A token that is too old among others: the next connection brings another.
            due.lost = f"Kraken refuses the account's stream: {error or 'without a word'}"
            if "Exceeded msg rate" in error:
                due.at_least = self.settings.rate_pause_max

    def _take_rows(self, content: Mapping[str, Any], now: float, due: AccountDue) -> None:
        data = content.get("data")
        rows = [row for row in data if isinstance(row, Mapping)] if isinstance(data, list) else []
        if not isinstance(data, list) or len(rows) < len(data):
            self.damaged += 1
            self._doubt()
        if not self._is_next(content.get("sequence"), data, now, due):
            return
        if content.get("type") == "snapshot":
            self._take_snapshot(rows, now, due)
            return
        for row in rows:
            self._take_update(row, now, due)

    def _is_next(self, number: object, data: object, now: float, due: AccountDue) -> bool:
        """Tell whether a frame is to be taken in; one that has come before is not."""
        if self.state is AccountState.LEAVING:
            return True  # the last of a subscription that is being left
        if not isinstance(number, int) or isinstance(number, bool):
            return True  # nobody can count what has no numbers
        last, self._last = self._last, (number, data)
        if last == (number, data):
            return False
        if last is not None and number != last[0] + 1:
            self.gaps += 1
            self._doubt()
            due.events.append(AccountGap(last[0] + 1, number, now))
        return True

    def _take_snapshot(self, rows: list[Mapping[str, Any]], now: float, due: AccountDue) -> None:
        shown: dict[str, AccountOrder] = {}
        for row in rows:
            txid = order_id_of(row)
            if txid is None:
                self.damaged += 1
            elif row.get("exec_type") == "trade":
                self._repeats.is_new(row.get("exec_id"))  # of the past, and in its order's row
            else:
                shown[txid] = joined(None, txid, row, now, is_repeat=False)
        # What has ended stays known as long as there is room: an event of before may still come.
        ended = {txid: order for txid, order in self._orders.items() if order.is_final}
        kept = dict(list(ended.items())[-self.account.most_ended :])
        more = self._orders if self._has_snapshot else {}  # Kraken may need several frames for it
        self._orders = {**kept, **more, **shown}
        self._has_snapshot = True
        due.events.append(AccountSnapshot(tuple(shown.values()), now))

    def _take_update(self, row: Mapping[str, Any], now: float, due: AccountDue) -> None:
        txid = order_id_of(row)
        if txid is None:
            self.damaged += 1
            self._doubt()
            return
        is_trade = row.get("exec_type") == "trade"
        is_repeat = is_trade and not self._repeats.is_new(row.get("exec_id"))
        known = self._orders.get(txid)
        order = joined(known, txid, row, now, is_repeat=is_repeat)
        if order == known:
            return
        self._orders[txid] = order
        if order.is_final and len(self._orders) > 2 * self.account.most_ended:
            self._forget_ended()
        due.events.append(OrderNews(order, now))

    def _forget_ended(self) -> None:
        ended = [txid for txid, order in self._orders.items() if order.is_final]
        for txid in ended[: -self.account.most_ended]:
            del self._orders[txid]


def _content_of(text: str | bytes) -> Mapping[str, Any] | None:
    """Return what a frame holds; None for what is no object."""
    if isinstance(text, bytes):
        return None
    try:
        content = _DECODER.decode(text)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _error_of(content: Mapping[str, Any]) -> str:
    for name in ("error", "Error", "errorMessage"):
        if isinstance(content.get(name), str):
            return str(content[name])[:200]
    return ""
