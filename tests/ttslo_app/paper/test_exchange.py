"""Orders on paper: they trail, trigger and fill by the prices that they are told."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from types import MappingProxyType
from typing import Any

import pytest

from krakenlink.machine import feed_clock
from krakenlink.pairs import Pair, Symbol
from krakenlink.rest.verdicts import OutcomeKind
from krakenlink.stream.events import Tick, TradePrint, Trades
from ttslo_app.messages import Sighting, Watched
from ttslo_app.orders.request import OrderRequest
from ttslo_app.paper.exchange import PaperExchange, PaperMarket

BTC = Symbol("BTC/USD")
PAIR = Pair("XXBTZUSD", "XBTUSD", "XBT/USD", BTC, "XXBT", "ZUSD", price_decimals=1, lot_decimals=8,
            ordermin=Decimal("0.00005"), costmin=Decimal("0.5"))  # fmt: skip
UNSTREAMED = Pair("ODDUSD", "ODDUSD", None, None, "ODD", "ZUSD", price_decimals=2, lot_decimals=8)
TRADED_AT = 1000.0  # each trade, on the feed's clock
NAMES = {"BTC/USD": PAIR, "XXBTZUSD": PAIR, "ODDUSD": UNSTREAMED}


class Bench:
    """A paper exchange, and prices that come to it as from the stream."""

    def __init__(self, fee: str = "0.40") -> None:
        self.asked: list[str] = []
        self.clock = 1.8e9
        self.paper = PaperExchange(self.resolve, lambda: self.clock, Decimal(fee))
        self._trade_id = 100

    def resolve(self, name: str) -> Pair:
        """Return a pair, as the client does."""
        self.asked.append(name)
        if name not in NAMES:
            raise LookupError(f"no pair {name}")
        return NAMES[name]

    def trade(self, *prices: object, symbol: Symbol = BTC, again: int = 0) -> None:
        """Let trades come in one frame, the last `again` of the ones before first."""
        begin = self._trade_id - again
        self._trade_id += len(prices) - again
        prints = tuple(
            TradePrint(symbol, Decimal(str(price)), Decimal("0.1"), begin + number)
            for number, price in enumerate(prices, 1)
        )
        self.paper.events.put(Trades(symbol, prints, TRADED_AT, is_snapshot=again > 0))

    def quote(self, bid: object, ask: object, age: float = 0.0) -> None:
        """Let a bid and an ask come."""
        at = feed_clock() - age
        self.paper.events.put(
            Tick(BTC, Decimal(str(bid)), Decimal(str(bid)), Decimal(str(ask)), at)
        )

    def place(
        self, side: str = "sell", offset: str = "1", cl_ord_id: str = "a", **changes: str
    ) -> str:
        """Enter an order, and return its id."""
        outcome = self.paper.place(order(side, offset, **changes), cl_ord_id, "")
        assert outcome.kind is OutcomeKind.PLACED, outcome
        assert outcome.txid is not None
        return outcome.txid

    def see(self, txid: str) -> Sighting:
        """Return how an order is, once all that came has happened."""
        self.paper.play()
        return self.paper.sightings({"row": txid})["row"]


def order(side: str = "sell", offset: str = "1", **changes: str) -> OrderRequest:
    """Return an order as the order thread builds it."""
    values = {"pair": "XXBTZUSD", "type": side, "volume": "0.01", "price": f"+{offset}%"}
    return OrderRequest(**{**values, **changes})


@pytest.fixture
def bench() -> Bench:
    """Hand out an exchange at 50000."""
    made = Bench()
    made.paper.market_of("BTC/USD")
    made.trade(50000)
    return made


# --- the face of Kraken --------------------------------------------------------------------------


def test_clock_is_krakens(bench: Bench) -> None:
    """As the order thread reads it."""
    assert bench.paper.now() == bench.clock


def test_market_is_what_the_listing_says(bench: Bench) -> None:
    """And is asked for once."""
    market = bench.paper.market_of("BTC/USD")
    assert (market.name, market.rest_key, market.ordermin) == ("BTC/USD", "XXBTZUSD", PAIR.ordermin)
    assert bench.asked == ["BTC/USD"]


def test_pair_that_is_none_is_an_error_as_at_kraken(bench: Bench) -> None:
    """Of a row, as everywhere."""
    with pytest.raises(LookupError):
        bench.paper.market_of("NO/PAIR")
    assert bench.paper.place(order(pair="NOPAIR"), "a", "").kind is not OutcomeKind.PLACED


def test_order_has_an_id_that_nobody_takes_for_krakens(bench: Bench) -> None:
    """Whatever line shows it shows that it is paper."""
    assert [bench.place(cl_ord_id=name) for name in "ab"] == ["PAPER-000001", "PAPER-000002"]


def test_order_is_found_by_its_client_id(bench: Bench) -> None:
    """Absence is certain here."""
    txid = bench.place(cl_ord_id="one")
    found = bench.paper.find("one", order())
    assert found is not None
    assert (found.txid, found.status) == (txid, "open")
    assert bench.paper.find("other", order()) is None


def test_nobody_is_asked_for_an_order_of_a_known_market(bench: Bench) -> None:
    """A crossing does not wait for a call."""
    bench.asked.clear()
    bench.place()
    assert bench.asked == []


def test_check_enters_nothing(bench: Bench) -> None:
    """It says what would be said."""
    assert bench.paper.check(order()).kind is OutcomeKind.VALID
    assert bench.paper.check(order(volume="0.00001")).kind is OutcomeKind.REFUSED
    assert bench.place() == "PAPER-000001"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"volume": "0.00001"}, "EOrder:Order minimum not met"),
        ({"volume": "0.123456789"}, "EGeneral:Invalid arguments:volume"),
        ({"price": "5%"}, "EOrder:Invalid price"),
        ({"type": "hold"}, "EGeneral:Invalid arguments"),
        ({"ordertype": "magic"}, "EGeneral:Invalid arguments"),
    ],
)
def test_refusals_are_krakens(bench: Bench, changes: dict[str, str], said: str) -> None:
    """A rehearsal shows them before they cost anything."""
    outcome = bench.paper.place(order(**changes), "a", "")
    assert outcome.kind is OutcomeKind.REFUSED
    assert said in outcome.reason


def test_client_id_is_unique_among_open_orders(bench: Bench) -> None:
    """One crossing, one order, on paper too."""
    bench.place(cl_ord_id="same")
    assert bench.paper.place(order(), "same", "").kind is not OutcomeKind.PLACED
    assert len(bench.paper.sightings({"a": "PAPER-000001", "b": "PAPER-000002"})) == 1


def test_market_without_a_price_takes_no_order() -> None:
    """Nobody would know where its stop stands; it is tried again."""
    bench = Bench()
    outcome = bench.paper.place(order(), "a", "")
    assert outcome.kind is not OutcomeKind.PLACED
    bench.trade(50000)
    bench.place()


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_any_volume_is_paid_for(bench: Bench, side: str) -> None:
    """What the account has is not known without a key."""
    bench.place(side, volume="1000000")


# --- trailing ------------------------------------------------------------------------------------


def test_stop_ratchets_and_never_goes_back(bench: Bench) -> None:
    """As it does at Kraken."""
    txid = bench.place(offset="1")
    seen = []
    for price in (50000, 50500, 50300, 51000, 50600):
        bench.trade(price)
        stop = bench.see(txid).stop
        assert stop is not None
        seen.append((stop.price, stop.best))
    assert [str(price) for price, _ in seen] == ["49500.0", "49995.0", "49995.0", "50490.0",
                                                 "50490.0"]  # fmt: skip
    assert [best for _, best in seen] == [50000, 50500, 50500, 51000, 51000]


def test_stop_of_a_buy_follows_downwards(bench: Bench) -> None:
    """The other way round."""
    txid = bench.place("buy", "1")
    bench.trade(49000)
    stop = bench.see(txid).stop
    assert stop is not None
    assert (stop.price, stop.reference) == (Decimal("49490.0"), "last")
    bench.trade(49490)
    assert bench.see(txid).status == "closed"


def test_prices_that_came_before_the_order_are_taken_first(bench: Bench) -> None:
    """Its stop is measured from the price of now, and not from an older one."""
    bench.trade(52000, 50000)
    stop = bench.see(bench.place(offset="1")).stop
    assert stop is not None
    assert stop.best == 50000


def test_trades_that_are_told_anew_happen_once(bench: Bench) -> None:
    """After a loss of the link the stream begins with the last trades."""
    bench.trade(50500, 49000, 50400)
    txid = bench.place(offset="1")
    bench.trade(49000, 50400, 50600, again=2)
    stop = bench.see(txid).stop
    assert stop is not None
    assert stop.best == 50600  # and it was not met


def test_trades_of_other_markets_move_nothing(bench: Bench) -> None:
    """Each has its own."""
    txid = bench.place(offset="1")
    bench.trade(1, symbol=Symbol("ETH/USD"))
    assert bench.see(txid).status == "open"


@pytest.mark.parametrize("side", ["sell", "buy"])
def test_any_path_ends_as_a_plain_loop_says(side: str) -> None:
    """Fifty random walks: the same stop, and the same trade that triggers it."""
    chance = random.Random(18)
    for _ in range(50):
        bench = Bench()
        bench.trade(50000)
        txid = bench.place(side, "0.5")
        best, ended = Decimal(50000), None
        price = Decimal(50000)
        for _ in range(200):
            price = max(Decimal(1), price + Decimal(chance.randint(-800, 800)) / 10)
            bench.trade(price)
            best = max(best, price) if side == "sell" else min(best, price)
            # Rounded to the tick towards the market, as the exchange does.
            exact = best * (Decimal("0.995") if side == "sell" else Decimal("1.005"))
            rounding = ROUND_CEILING if side == "sell" else ROUND_FLOOR
            stop = exact.quantize(Decimal("0.1"), rounding=rounding)
            if price <= stop if side == "sell" else price >= stop:
                ended = price
                break
        sighting = bench.see(txid)
        assert sighting.status == ("open" if ended is None else "closed")
        assert Decimal(sighting.price) == (ended or 0)


# --- fills ---------------------------------------------------------------------------------------


def filled(bench: Bench, side: str = "sell") -> Sighting:
    """Let a stop of 1 % trigger, and return its order."""
    txid = bench.place(side)
    bench.trade(49500 if side == "sell" else 50500)
    return bench.see(txid)


@pytest.mark.parametrize(
    ("side", "bid", "ask", "price"),
    [("sell", 49480, 49510, "49480"), ("buy", 50490, 50520, "50520"),
     ("sell", 49510, 49520, "49500"), ("buy", 50480, 50490, "50500")],
)  # fmt: skip
def test_fill_pays_the_spread_of_the_moment(
    bench: Bench, side: str, bid: int, ask: int, price: str
) -> None:
    """A sell gets the bid, a buy pays the ask, and neither is better than the trade."""
    bench.quote(bid, ask)
    sighting = filled(bench, side)
    assert (sighting.status, sighting.vol_exec, sighting.price) == ("closed", "0.01", price)


def test_spread_that_is_old_is_not_of_the_moment(bench: Bench) -> None:
    """The market has moved since."""
    bench.quote(40000, 60000, age=61.0)
    assert filled(bench).price == "49500"


def test_limit_of_an_order_holds_its_price(bench: Bench) -> None:
    """Whatever the bid is: it waits, or it gets its limit."""
    bench.quote(40000, 60000)
    txid = bench.place("sell", "1", ordertype="trailing-stop-limit", price2="-0.5%")
    bench.trade(49500, 49600)
    sighting = bench.see(txid)
    assert sighting.status == "open" or Decimal(sighting.price) >= 49252


def test_volume_is_that_of_the_order(bench: Bench) -> None:
    """A row may say it in another way."""
    assert bench.paper.volume_of(bench.place(volume="0.02")) == Decimal("0.02")
    assert bench.paper.volume_of("OTHER") is None


def test_tick_without_bid_and_ask_says_nothing_of_the_spread(bench: Bench) -> None:
    """Kraken need not send them."""
    bench.paper.events.put(Tick(BTC, Decimal(40000), None, None, feed_clock()))
    assert filled(bench).price == "49500"


@pytest.mark.parametrize(("fee", "paid"), [("0.40", "1.98"), ("0", "0"), ("0.26", "1.287")])
def test_fill_pays_its_fee(fee: str, paid: str) -> None:
    """In percent of what was traded."""
    bench = Bench(fee)
    bench.trade(50000)
    txid = filled(bench).txid
    fill = bench.paper.fills[txid]
    assert [str(number.normalize()) for number in (fill.volume, fill.fee)] == ["0.01", paid]
    assert fill.price == 49500


def test_order_that_is_filled_stays_so(bench: Bench) -> None:
    """No later price changes it."""
    sighting = filled(bench)
    bench.trade(60000, 1)
    assert bench.see(sighting.txid) == sighting


def test_triggered_stop_says_so(bench: Bench) -> None:
    """As the stream of an account does."""
    sighting = filled(bench)
    assert sighting.stop is not None
    assert sighting.stop.is_triggered


# --- prices that do not stream -------------------------------------------------------------------


def test_market_without_a_stream_goes_by_prices_that_are_looked_up() -> None:
    """Polled ones, as the run itself does."""
    bench = Bench()
    bench.paper.market_of("ODDUSD")
    bench.paper.look_up("ODDUSD", Decimal(10), 1.0)
    txid = bench.place(pair="ODDUSD", volume="5")
    bench.paper.look_up("ODDUSD", Decimal(12), 10.0)
    stop = bench.see(txid).stop
    assert stop is not None
    assert stop.price == Decimal("11.88")
    bench.paper.look_up("ODDUSD", Decimal("11.8"), 20.0)
    assert bench.see(txid).status == "closed"


def test_price_that_is_no_newer_than_the_stream_is_passed_over(bench: Bench) -> None:
    """It is the same trade, told by another way."""
    txid = bench.place()
    bench.trade(50400)
    bench.see(txid)
    bench.paper.look_up("BTC/USD", Decimal(40000), TRADED_AT + 0.5)
    assert bench.see(txid).status == "open"
    bench.paper.look_up("BTC/USD", Decimal(40000), TRADED_AT + 10)
    assert bench.see(txid).status == "closed"


# --- what is told of it --------------------------------------------------------------------------


@dataclass
class Worker:
    """Who is told what became of orders."""

    standing: Mapping[str, str] = field(default_factory=dict)
    told: list[Watched] = field(default_factory=list)

    def submit(self, message: Watched) -> None:
        """Take what is told."""
        self.told.append(message)


def market_of(bench: Bench, worker: Worker, last: dict[str, Any] | None = None) -> PaperMarket:
    """Return what moves an exchange, and is not started."""
    return PaperMarket(bench.paper, worker, lambda: last or {})  # type: ignore[arg-type]


def test_worker_is_told_each_change_once(bench: Bench) -> None:
    """Where the stop stands, and that it was filled."""
    txid = bench.place()
    worker = Worker(MappingProxyType({"row": txid}))
    market = market_of(bench, worker)
    for prices in ((), (), (50500,), (50400,), (49000,), ()):
        if prices:
            bench.trade(*prices)
        market.turn()
    seen = [message.sightings["row"] for message in worker.told]
    best = [str(one.stop.best) for one in seen if one.stop is not None]
    assert [one.status for one in seen] == ["open", "open", "closed"]
    assert best == ["50000", "50500", "50500"]


def test_prices_of_standing_orders_are_followed_once(bench: Bench) -> None:
    """Those of markets that do not stream cannot be."""
    bench.paper.market_of("ODDUSD")
    bench.paper.look_up("ODDUSD", Decimal(10), 1.0)
    ids = {"a": bench.place(cl_ord_id="a"), "b": bench.place(cl_ord_id="b"),
           "c": bench.place(cl_ord_id="c", pair="ODDUSD", volume="5"), "d": "OTHER"}  # fmt: skip
    followed: list[str] = []
    market = PaperMarket(bench.paper, Worker(ids), dict, followed.append)  # type: ignore[arg-type]
    market.turn()
    market.turn()
    assert followed == ["BTC/USD"]


def test_orders_of_others_are_not_told(bench: Bench) -> None:
    """An id that is none of this exchange's says nothing."""
    worker = Worker({"row": "OAAAAA-BBBBB-CCCCCC"})
    market_of(bench, worker).turn()
    assert worker.told == []


def test_polled_prices_of_the_run_move_it(bench: Bench) -> None:
    """All that the run has looked at."""
    txid = bench.place()
    worker = Worker({"row": txid})
    market_of(bench, worker, {"BTC/USD": (Decimal(49000), TRADED_AT + 10)}).turn()
    assert worker.told[-1].sightings["row"].status == "closed"


def test_thread_moves_it_and_outlives_an_error(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A rehearsal goes on like the real thing."""
    from tests.kits.program.live_program import wait_until

    txid = bench.place()
    worker = Worker({"row": txid})
    calls: list[int] = []

    def last() -> dict[str, Any]:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("once")
        return {}

    market = PaperMarket(bench.paper, worker, last)  # type: ignore[arg-type]
    market.start()
    bench.trade(49000)
    wait_until(lambda: any(m.sightings["row"].is_final for m in worker.told), "it is told", 60.0)
    market.stop()
    assert "goes on" in caplog.text


def test_thread_that_was_never_started_is_stopped_too(bench: Bench) -> None:
    """A run may end before it begins."""
    market_of(bench, Worker()).stop()


def test_funds_are_nobodys_guess(bench: Bench) -> None:
    """No key is read on paper: a row that sells all of it says so instead of making it up."""
    with pytest.raises(ValueError, match="free of XXBT; write a number for the volume"):
        bench.paper.free_of("XXBT")


def test_stop_with_a_limit_waits_for_it(bench: Bench) -> None:
    """It is the same engine as anywhere else."""
    bench.trade("50000.0")
    limited = order(ordertype="trailing-stop-limit", price2="+0")
    outcome = bench.paper.place(limited, "an-id", "")
    assert outcome.kind is OutcomeKind.PLACED, outcome
    bench.trade("49000.0")
    bench.paper.play()
    found = bench.paper.find("an-id", limited)
    assert found is not None
    assert found.status == "open"
