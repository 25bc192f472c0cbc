"""The whole program on the account's stream: what it brings, once, and what REST settles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from fake_kraken.keys import USUAL
from kraken_api import KrakenAPI
from tests.kits.program.live_program import PAIR, PATIENT, LiveProgram, row, wait_until
from ttslo_app.orders.life import OrderSettings

# No look over REST in the time of a test, unless something is doubted.
SELDOM = OrderSettings(watch=3600.0, watch_streamed=3600.0)
OFTEN = OrderSettings(watch=0.3, watch_streamed=3600.0)
LOOKS = ("OpenOrders", "QueryOrders", "ClosedOrders")
FOLLOWED = "Kraken tells at once what happens to orders"


def looks(exchange: FakeKraken) -> int:
    """Return how often the orders were looked at over REST."""
    return sum(exchange.count(name) for name in LOOKS)


@contextmanager
def running(
    exchange: FakeKraken, folder: Path, settings: OrderSettings, *, is_followed: bool = True
) -> Iterator[LiveProgram]:
    """Run the program with one row armed at 51000, on the account's stream where it may."""
    trading = KrakenAPI(
        exchange.api_key,
        exchange.api_secret,
        exchange.rest_url,
        use_websocket=False,
        ws_auth_url=exchange.ws_auth_url,
        feed_settings=PATIENT,
    )
    rows = None if (folder / "config.csv").exists() else [row("up", 51000)]
    made = LiveProgram(exchange, folder, rows, settings=settings, clients=(None, trading))
    made.waits = rows is not None  # a restart has nothing armed that would stream
    with made as program:
        if is_followed:
            program.wait_for_line(FOLLOWED)
            assert exchange.wait_for(lambda e: e.account_stream.followers == 1)
        yield program


def wait_for_proof(program: LiveProgram, txid: str) -> None:
    """Wait until the stream proves an order, so that no look over REST is due for it."""
    live = program.ttslo.live
    assert live is not None
    assert live._account is not None
    feed = live._account._feed
    assert feed is not None
    wait_until(lambda: txid in (feed.orders() or {}), "the stream proves the order")


def fire(program: LiveProgram) -> str:
    """Let the row cross; return the id of its order, once the books have it."""
    program.exchange.set_price(PAIR, "51001")
    program.crossing_of("up")
    wait_until(lambda: "up" in program.ttslo.worker.standing, "the order stands")
    return str(program.ttslo.worker.standing["up"])


def stop_of(program: LiveProgram) -> Decimal | None:
    """Return where the stop of the row's order is, as far as it is known."""
    known = program.ttslo.worker.ledger.stops.get("up")
    return known.price if known else None


@pytest.fixture
def market() -> Iterator[FakeKraken]:
    """An exchange at 50000."""
    with FakeKraken(prices={PAIR: "50000"}) as exchange:
        yield exchange


def test_fill_is_told_by_the_stream_and_no_look_was_needed(
    market: FakeKraken, tmp_path: Path
) -> None:
    """Ratchet, trigger and fill come by themselves; the files say so, and REST was not asked."""
    with running(market, tmp_path, SELDOM) as program:
        txid = fire(program)
        market.set_price(PAIR, "60000")
        wait_until(lambda: stop_of(program) == Decimal("59940.0"), "the stop has moved")
        market.set_price(PAIR, "59000")
        line = program.wait_for_line("is filled")
        assert line == f"up: order {txid} is filled: 0.01 at 59000"
        assert looks(market) == 0
        wait_until(lambda: program.ttslo.state["up"]["rule_state"] == "closed", "it is closed")
        assert program.ttslo.state["up"]["fill_price"] == "59000.0"
        assert not program.ttslo.worker.ledger.stops
    assert market.count("GetWebSocketsToken") == 1
    assert not market.account_stream.clients


def test_fill_that_stream_and_poll_both_see_is_told_once(
    market: FakeKraken, tmp_path: Path
) -> None:
    """Parts, too, in the spelling of either."""
    both = OrderSettings(watch=0.05, watch_streamed=0.05)
    with running(market, tmp_path, both) as program:
        txid = fire(program)
        market.fill_order(txid, "0.4")
        program.wait_for_line("is partly filled: 0.004")
        seen = looks(market)
        assert market.wait_for(lambda e: looks(e) >= seen + 2)
        market.fill_order(txid)
        program.wait_for_line("is filled: 0.01")
        assert program.log_lines("is filled") + program.log_lines("is partly filled") == [
            *program.log_lines("is filled: 0.01"),
            *program.log_lines("is partly filled: 0.004"),
        ]
        assert len(program.log_lines(txid + " is ")) == 2


def test_cancel_by_the_user_at_kraken_is_told_at_once(market: FakeKraken, tmp_path: Path) -> None:
    """The position is not protected any more: that must not wait for a poll."""
    with running(market, tmp_path, SELDOM) as program:
        txid = fire(program)
        market.cancel_order(txid)
        line = program.wait_for_line("was canceled")
        assert line.endswith("(User requested). The position is no longer protected")
        assert looks(market) == 0


def test_order_that_fills_before_its_answer_is_told(market: FakeKraken, tmp_path: Path) -> None:
    """The stream is quicker than AddOrder's own answer."""
    with running(market, tmp_path, SELDOM) as program:
        market.fault("delayed_reply", endpoint="AddOrder", count=1, seconds=0.4)
        market.set_price(PAIR, "51001")
        # The order of a row that is only checked counts as one of these calls, too.
        assert market.wait_for(lambda e: e.placed_count() == 1)
        market.set_price(PAIR, "50000")
        line = program.wait_for_line("is filled: 0.01 at 50000")
        assert line.startswith("up: order O")
        assert looks(market) == 0
    assert len(program.log_lines("is filled")) == 1


def test_end_in_a_gap_is_found_out_over_rest(market: FakeKraken, tmp_path: Path) -> None:
    """The event is lost; the next number shows it, the snapshot lacks the order, REST knows."""
    with running(market, tmp_path, OFTEN) as program:
        txid = fire(program)
        wait_for_proof(program, txid)
        before = looks(market)
        market.fault("account_gap", count=1)
        market.cancel_order(txid)
        other = KrakenAPI(market.api_key, market.api_secret, market.rest_url, use_websocket=False)
        other.add_order("XBTUSD", "limit", "buy", "0.01", price="1000")
        other.close()
        program.wait_for_line(f"order {txid} was canceled (User requested)")
        assert looks(market) > before
        assert len(program.log_lines("was canceled")) == 1
        assert market.account_stream.connections_made == 1


def test_doubtful_fill_is_settled_over_rest(market: FakeKraken, tmp_path: Path) -> None:
    """What the stream calls the order is another one than was sent: its word ends no row."""
    with running(market, tmp_path, OFTEN) as program:
        txid = fire(program)
        wait_for_proof(program, txid)
        before = looks(market)
        market.core.engine.orders[txid].volume = Decimal("0.005")
        market.fill_order(txid)
        program.wait_for_line(f"stream tells of order {txid}, and ")
        program.wait_for_line("is filled: 0.005")
        assert looks(market) > before
        assert len(program.log_lines("is filled: ")) == 1


def test_key_without_the_permission_polls_and_says_so_once(
    market: FakeKraken, tmp_path: Path
) -> None:
    """With its name, as Kraken's page has it; orders are told all the same."""
    market.add_key(market.api_key, market.api_secret, USUAL - {"websocket"})
    with running(market, tmp_path, OFTEN, is_followed=False) as program:
        line = program.wait_for_line("no key may stream them")
        assert "(EGeneral:Permission denied)" in line
        assert '"Access WebSockets"' in line
        txid = fire(program)
        market.cancel_order(txid)
        program.wait_for_line("was canceled (User requested)")
        assert len(program.log_lines("no key may stream them")) == 1
        assert looks(market) > 0
    assert market.account_stream.connections_made == 0


def test_stream_that_dies_is_replaced_by_polls_and_comes_back(
    market: FakeKraken, tmp_path: Path
) -> None:
    """Said once each way; what happened meanwhile is told once."""
    with running(market, tmp_path, OFTEN) as program:
        txid = fire(program)
        market.fault("account_refuse_connect", count=2)
        market.drop_connections(of_account=True)
        program.wait_for_line("Kraken does not tell at once what happens to orders")
        market.fill_order(txid, "0.4")
        program.wait_for_line("is partly filled: 0.004")
        program.wait_for_line("Kraken tells again at once")
        before = looks(market)
        market.cancel_order(txid)
        program.wait_for_line("after 0.004 were filled")
        assert looks(market) <= before + 1  # one that was under way
        for once in ("does not tell at once", "tells again at once", "is partly filled"):
            assert len(program.log_lines(once)) == 1


def test_orders_of_others_on_the_account_are_none_of_ours(
    market: FakeKraken, tmp_path: Path
) -> None:
    """They come over the same stream, and reach neither log nor files."""
    with running(market, tmp_path, SELDOM) as program:
        txid = fire(program)
        other = KrakenAPI(market.api_key, market.api_secret, market.rest_url, use_websocket=False)
        placed = other.add_order("XBTUSD", "market", "buy", "0.02")["txid"][0]
        other.close()
        market.cancel_order(txid)
        program.wait_for_line("was canceled")
        assert program.log_lines(placed) == []
        assert looks(market) == 0


def test_restart_takes_up_the_order_that_stands(market: FakeKraken, tmp_path: Path) -> None:
    """Its snapshot shows it; what ended while nobody ran is found out over REST."""
    with running(market, tmp_path, SELDOM) as program:
        txid = fire(program)
    market.set_price(PAIR, "60000")
    with running(market, tmp_path, SELDOM) as program:
        wait_until(lambda: stop_of(program) == Decimal("59940.0"), "the stop is known")
        assert program.ttslo.worker.standing == {"up": txid}
    market.cancel_order(txid)
    with running(market, tmp_path, SELDOM) as program:
        program.wait_for_line(f"order {txid} was canceled (User requested)")
