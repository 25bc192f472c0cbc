"""Snapshots of a running program: what its threads leave to be read, put together.

Called on any one thread; it reads what others replace whole, and takes no lock of the order thread.
What it must never do: tell a price that is not proven for one that is, or a secret.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from heapq import nsmallest
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kraken_api import WEBSOCKET_AVAILABLE
from krakenlink.machine import feed_clock
from krakenlink.numbers import plain, readable, to_decimal
from krakenlink.pairs import Symbol, shown_pair
from ttslo_app.face.snapshot import (
    LATE,
    MOST_EVENTS,
    MOST_ROWS,
    Connection,
    Event,
    Order,
    Row,
    Snapshot,
)
from ttslo_app.messages import AcceptedRule, Kind, Market, Said
from ttslo_app.orders import kin_words
from ttslo_app.orders.kinship import tie_of
from ttslo_app.orders.ledger import UnreadableLife, read_life
from ttslo_app.orders.life import Life
from ttslo_app.orders.request import OrderRequest
from ttslo_app.rules.rule import Rule
from ttslo_app.rules.worst import worst_of

if TYPE_CHECKING:
    from krakenlink.stream.health import FeedHealth
    from ttslo_app.run.program import Program

# Of more rows not all are compared: it would take time away from prices.
_MOST_COMPARED = 5_000
_LONGEST_EVENT = 500


def snapshot_path(state: str | os.PathLike[str], *, is_dry: bool = False) -> Path:
    """Return where a program with this state leaves its snapshot; a dry run has its own."""
    path = Path(state)
    return path.with_name(f"{path.name}{'.dry-run' if is_dry else ''}.status.json")


def is_alive(snapshot: Snapshot) -> bool | None:
    """Tell whether the process of a snapshot is there; None where that cannot be told."""
    if os.name == "nt" or snapshot.host != socket.gethostname() or snapshot.pid <= 0:
        return None
    try:
        os.kill(snapshot.pid, 0)
    except ProcessLookupError:
        return False
    except OverflowError:
        return False  # no process has such a number
    except OSError:
        return True  # somebody else's
    return True


@dataclass(frozen=True, slots=True)
class About:
    """What does not change while a program runs.

    Attributes:
        mode: `LIVE`, `DRY RUN`, `DEMO`, `PAPER`, or of several hosts `LEADS` or `FOLLOWS`.
        exchange: Where it trades, for a person; without a password.
        config: The name of its rules.
        state: That of its state.
        version: Of the program.
        beat: Seconds between two words that it lives; 0 for none.
        now: Returns the mode at this moment, where that changes; None where it does not.
    """

    mode: str
    exchange: str
    config: str
    state: str
    version: str
    beat: float = 0.0
    now: Callable[[], str] | None = None


# --- what there is to tell -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Seen:
    """A price as it is known now; nothing is known where all is None."""

    price: Decimal | None = None
    source: str | None = None
    age: float | None = None

    @property
    def text(self) -> str | None:
        return None if self.price is None else plain(self.price)

    def away(self, level: Decimal | None) -> float | None:
        """Return how far a level is, in percent of the price."""
        if not self.price or level is None:
            return None
        return round(float(abs(level - self.price) / self.price * 100), 4)


class Teller:
    """Takes snapshots of a program. One thread.

    Args:
        program: Of which.
        about: What does not change.
        started_at: Since when it runs, in seconds since 1970.
    """

    def __init__(self, program: Program, about: About, started_at: float) -> None:
        self._program = program
        self._about = about
        self._started_at = started_at
        # By order: the best price that was seen of its pair since it stands.
        self._best: dict[str, Decimal] = {}
        self.events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self.is_over = False

    def hear(self, said: Said) -> None:
        """Take something for the last events, unless it is a detail, or the table says it."""
        if said.level.upper() != "DEBUG" and said.kind is not Kind.STANDING:
            text = said.text[:_LONGEST_EVENT]
            self.events.append(Event(said.at, said.level, str(said.kind), said.row, text))

    def snapshot(self) -> Snapshot:
        """Return how the program is now. Never blocks for long."""
        live, about = self._program.live, self._about
        armed: Collection[str] = () if live is None else live.watch.seats
        rows, left_out = self._rows(armed)
        phase = "stopped" if self.is_over else "starting" if live is None else "running"
        link, frame_age, connections = self._link()
        late = {} if live is None else live.orderless()
        return Snapshot(
            version=about.version,
            mode=about.now() if about.now else about.mode,
            phase=phase,
            exchange=about.exchange,
            config=about.config,
            state=about.state,
            pid=os.getpid(),
            host=socket.gethostname(),
            started_at=self._started_at,
            written_at=time.time(),
            link=link,
            frame_age=frame_age,
            connections=connections,
            armed=len(armed),
            late=tuple(row for row, age in late.items() if age >= LATE),
            left_out=left_out,
            rows=tuple(rows),
            orders=tuple(self._orders()),
            events=tuple(self.events),
        )

    def _link(self) -> tuple[str, float | None, tuple[Connection, ...]]:
        provider = self._provider()
        if provider is None:
            return "none", None, ()
        health = provider.health()
        return health.state.name.lower(), health.last_frame_age, connections_of(health)

    def _provider(self) -> Any:
        api = self._program.kraken_api_readonly
        return api.price_provider() if WEBSOCKET_AVAILABLE else None

    def _seen(self, market: Market) -> _Seen:
        """Return what is known of a market's price, by the proof that counts now."""
        provider, live = self._provider(), self._program.live
        if provider is not None and market.symbol is not None:
            proven = provider.proven(Symbol(market.symbol))
            if proven is not None:
                return _Seen(proven[0].price, "stream", round(proven[1], 3))
        last = None if live is None else live.watch.last.get(market.name)
        if last is None:
            return _Seen()
        return _Seen(last[0], "REST", round(max(0.0, feed_clock() - last[1]), 3))

    def _rows(self, armed: Collection[str]) -> tuple[list[Row], int]:
        rules = self._program.worker.ledger.rules
        compared = list(islice(rules.items(), _MOST_COMPARED))
        seen: dict[str, _Seen] = {}
        for _, entry in compared:
            if entry.market.name not in seen:
                seen[entry.market.name] = self._seen(entry.market)
        live = self._program.live
        sees = {} if live is None else live.armed() if len(armed) <= _MOST_COMPARED else {}
        refused = self._refused(rules)

        def distance(item: tuple[str, AcceptedRule]) -> float:
            away = seen[item[1].market.name].away(item[1].rule.threshold)
            return float("inf") if away is None else away

        if len(compared) + len(refused) > MOST_ROWS:
            # Those without a price, which are in trouble, come first, then the nearest.
            blind = [item for item in compared if sees.get(item[0]) is False]
            others = [item for item in compared if sees.get(item[0]) is not False]
            compared = [*blind, *nsmallest(MOST_ROWS, others, distance)][:MOST_ROWS]
        told = [
            self._row(entry.rule, seen[entry.market.name], rule_id in armed, sees.get(rule_id))
            for rule_id, entry in compared
        ]
        told = [*told, *refused][:MOST_ROWS]
        return told, max(0, len(rules) + len(refused) - len(told))

    def _refused(self, accepted: Collection[str]) -> list[Row]:
        """Return the rows that were refused, each once, with the first reason."""
        found: dict[str, Row] = {}
        validation = self._program.validation
        for error in validation.errors[:MOST_ROWS] if validation else ():
            name = error["config_id"]
            if name not in found and name not in accepted:
                found[name] = Row(
                    name, "", "", "", "refused", error["message"], None, None, None, None
                )
        return list(found.values())

    def _row(self, rule: Rule, seen: _Seen, is_armed: bool, sees: bool | None) -> Row:
        state, detail = ("armed", "") if is_armed else self._state_of(rule)
        if is_armed and sees is False:
            state = "blind"
        return Row(
            id=rule.id,
            pair=shown_pair(rule.pair),
            condition=f"at or {rule.threshold_type} {readable(rule.threshold)}",
            action=rule.action,
            state=state,
            detail=detail,
            price=seen.text,
            source=seen.source,
            age=seen.age,
            away=seen.away(rule.threshold) if is_armed else None,
            worst=worst_of(rule) if is_armed else "",
        )

    def _state_of(self, rule: Rule) -> tuple[str, str]:
        """Return where a rule is that is not armed, and what there is to say of it."""
        cells = self._program.state.get(rule.id) or {}
        state, detail = cells.get("rule_state", ""), cells.get("detail", "")
        if state in ("placed", "closed"):
            return state, cells.get("order_status") or cells.get("order_id", "")
        if state in ("uncertain", "intended"):
            return "uncertain" if state == "uncertain" else "waiting", detail
        if state == "refused":
            return "waiting", detail
        return (
            ("disabled", "") if not rule.enabled else ("not armed", self._bond_of(rule) or detail)
        )

    def _bond_of(self, rule: Rule) -> str:
        """Return which other row keeps an enabled one from being armed; empty for none."""
        books = self._program.worker.ledger
        life = books.known_life(rule.id) if rule.group or rule.after else None
        tie = None if life is None else tie_of(books, rule, life)
        return kin_words.standing(rule, tie) if tie is not None and not tie.may_arm else ""

    # --- orders ------------------------------------------------------------------------------

    def _orders(self) -> Iterator[Order]:
        ledger = self._program.worker.ledger
        standing = dict(ledger.standing)
        self._best = {t: best for t, best in self._best.items() if t in standing.values()}
        for rule_id, txid in list(standing.items())[:MOST_ROWS]:
            try:
                life = read_life(rule_id, dict(self._program.state.get(rule_id) or {}))
            except UnreadableLife:
                continue
            if life.order is not None:
                yield self._order(rule_id, txid, life, ledger.rules.get(rule_id))

    def _order(self, rule_id: str, txid: str, life: Life, entry: AcceptedRule | None) -> Order:
        order = life.order
        assert order is not None
        told = self._program.worker.ledger.stops.get(rule_id)
        seen = _Seen() if entry is None else self._seen(entry.market)
        is_sell = order.type == "sell"
        choose: Callable[..., Decimal] = max if is_sell else min
        known = [self._best.get(txid), None if told is None else told.best]
        known.append(seen.price if seen.source == "stream" else None)
        prices = [price for price in known if price is not None]
        best = choose(prices) if prices else None
        stop = None if told is None else told.price
        by = None if told is None else "paper" if self._about.mode == "PAPER" else "Kraken"
        if best is not None:
            self._best[txid] = best
            computed = stop_of(best, order.price, is_sell=is_sell)
            if stop is None or (
                choose(stop, computed) != stop and not (told and told.is_triggered)
            ):
                stop, by = computed, "computed"
        return Order(
            row=rule_id,
            pair=shown_pair(order.pair),
            txid=txid,
            action=f"{order.type} {readable(order.volume)}, trailing {offset_words(order)}",
            stop=None if stop is None else plain(stop),
            best=None if best is None else plain(best),
            told_by=by,
            is_triggered=bool(told and told.is_triggered),
            price=seen.text,
            away=seen.away(stop),
        )


def connections_of(health: FeedHealth) -> tuple[Connection, ...]:
    """Return each connection of the stream, where there is more to tell than of one."""
    others = health.beside
    # News of pairs have a connection of their own, which is nobody's business while it lives.
    if not any(one.connection != "pairs" or one.blind_for is not None for one in others):
        return ()
    return tuple(
        Connection(
            name=one.connection,
            link=one.state.name.lower(),
            frame_age=one.last_frame_age,
            down_for=one.blind_for,
            subscriptions=one.carried,
            messages_per_second=round(one.messages_per_second, 1),
        )
        for one in (health, *others)
    )


def offset_words(order: OrderRequest) -> str:
    """Return the trailing offset of an order as it is told: `0.5 %`, or `250` in money."""
    digits = readable(order.price.strip("+%"))
    return f"{digits} %" if order.price.endswith("%") else digits


def stop_of(best: Decimal, offset: str, *, is_sell: bool) -> Decimal:
    """Return where a trailing stop stands for the best price since it was placed.

    With the digits of that price.

    Args:
        best: That price.
        offset: As the order says it: `+0.5%`, or `+250` in quote currency.
        is_sell: Whether it sells.
    """
    amount = to_decimal(offset.strip("+%"))
    away = best * amount / 100 if offset.endswith("%") else amount
    return (best - away if is_sell else best + away).quantize(best)
