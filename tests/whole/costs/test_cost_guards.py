"""What the hot paths may cost, counted and not timed: calls, blocks, writes, messages."""

from __future__ import annotations

import base64
import gc
import hashlib
import os
import socket
import subprocess
import sys
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

import ttslo
from config import ConfigManager
from kraken_api import KrakenAPI
from krakenlink.errors import KrakenConnectionError, KrakenError
from krakenlink.pairs import Symbol
from krakenlink.stream.connection import open_websocket
from krakenlink.stream.events import BookUpdate, Channel, Tick, Trades
from krakenlink.stream.feed import FeedProtocol
from krakenlink.stream.frames import read_frame, read_frames
from krakenlink.stream.handover import Run
from krakenlink.stream.settings import FeedSettings
from tests.kits.common.calls_kit import calls_in
from tests.kits.rows.watch_kit import WatchBench
from tests.kits.stream.book_kit import BTC, book_frame, snapshot, total
from ttslo import TTSLO
from ttslo_app.messages import Crossing
from ttslo_app.rules.rule import ThresholdType, read_rule
from ttslo_app.run.program import keeping_journal
from ttslo_app.store.disk import Disk
from ttslo_app.watch.rulebook import RuleBook
from ws_price_provider import WebSocketPriceProvider

if TYPE_CHECKING:
    from fake_kraken import FakeKraken

HEADER = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled"
FRAME = (
    '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":50000.0,'
    '"bid_qty":0.41270000,"ask":50000.1,"ask_qty":3.20150000,"last":50000.1,'
    '"volume":2231.72034190,"vwap":50130.1,"low":49007.9,"high":51230.4,"change":-312.6,'
    '"change_pct":-0.62,"timestamp":"2026-11-20T10:15:42.123456Z"}]}'
)


@pytest.fixture
def api(exchange: FakeKraken) -> Iterator[KrakenAPI]:
    """A client whose price of XBTUSD has come over the stream."""
    client = KrakenAPI(base_url=exchange.rest_url, ws_url=exchange.ws_url)
    client.get_current_price("XBTUSD")
    yield client
    provider = client.price_provider()
    client.close()
    assert provider is not None
    provider.stop()


def test_cached_read_makes_two_python_calls(api: KrakenAPI) -> None:
    """A cached price costs the call itself, one into the provider, and one look at the clock."""
    api.get_current_price("XBTUSD")
    seen = calls_in(lambda: [api.get_current_price("XBTUSD") for _ in range(100)])
    assert seen["get_current_price"] == 100
    assert seen["Python"] <= 201  # 3.11 counts the list as a function of its own
    assert seen["C"] == 0  # no lock; the clock's own type is not counted


def test_quote_of_a_pair_that_is_followed_looks_nothing_up(api: KrakenAPI) -> None:
    """Its name was resolved for the first one: what is left is the price, its proof, the answer."""
    api.get_quote("XBTUSD")
    seen = calls_in(lambda: api.get_quote("XBTUSD"))
    assert (seen["proven"], seen["known"], seen["find_spec"]) == (1, 0, 0)
    assert seen["Python"] <= 14


def test_trades_that_are_streamed_are_copied_once(api: KrakenAPI) -> None:
    """Of a thousand trades one copy is taken under the feed's lock, and none to see if it waits."""
    api.recent_trades("XBTUSD")
    seen = calls_in(lambda: api.recent_trades("XBTUSD"))
    assert (seen["wait_for_tape"], seen["tape"]) == (1, 1)


def test_cached_read_takes_the_clock_once_and_no_lock() -> None:
    """One look at the clock proves that the price is alive, and nobody is waited for."""

    def clock() -> float:
        return 1.0

    provider = WebSocketPriceProvider("ws://127.0.0.1:1", clock=clock)
    provider.feed_thread.feed = live_feed(["BTC/USD"])
    provider._take_aliases()
    read = provider.price_reader("BTC/USD")
    seen = calls_in(read)
    assert read() == 1.0
    assert (seen["clock"], seen["Python"], seen["C"]) == (1, 1, 0)


def test_cached_read_leaves_no_memory_behind(api: KrakenAPI) -> None:
    """A thousand cached reads hold on to nothing: no block of memory more than before."""

    def blocks_kept() -> int:
        before = sys.getallocatedblocks()
        for _ in range(1000):
            api.get_current_price("XBTUSD")
        return sys.getallocatedblocks() - before

    api.get_current_price("XBTUSD")
    gc.collect()
    # The feed's own thread may take in a heartbeat meanwhile, but not each time.
    assert min(blocks_kept() for _ in range(10)) <= 5


def test_frame_is_read_and_judged_in_few_calls() -> None:
    """From its text to the triggers a tick takes a handful of Python calls."""
    feed, book = live_feed(["BTC/USD"]), RuleBook()
    book.arm("a", "BTC/USD", Decimal(60000), ThresholdType.ABOVE)

    def take_in() -> None:
        (tick,) = read_frames((FRAME,), 1.0)
        assert isinstance(tick, Tick)
        (event,) = feed.subscriptions.receive_tick(tick)
        assert isinstance(event, Tick)
        book.crossed(event.symbol, event.price)

    take_in()
    # read_frames and its ticker, Tick, receive_tick, prove, crossed
    assert calls_in(take_in)["Python"] <= 6


def book_feed(depth: int, bids: dict[str, str], asks: dict[str, str]) -> FeedProtocol:
    """Return a feed whose book of one market is live."""
    feed = FeedProtocol(FeedSettings())
    sub = feed.subscriptions.want(Symbol(BTC), Channel.BOOK, depth)
    feed.link.attempt(0.0)
    feed.opened(0.5)
    feed.due(0.5)
    feed.subscriptions._acked(sub, 0.6)
    told = [feed.receive(m, 0.7) for m in read_frame(snapshot(bids, asks), 0.7)]
    assert type(told[0][-1]) is BookUpdate
    return feed


@pytest.mark.parametrize("depth", [10, 1000])
@pytest.mark.parametrize("count", [1, 2])
def test_change_of_a_book_is_read_and_judged_in_few_calls(depth: int, count: int) -> None:
    """Two more for each level that changed, however deep the book is: none for those that stay."""
    bids = {f"{50000 - n / 10:.1f}": f"1.{n:08d}" for n in range(1, depth + 1)}
    asks = {f"{50000 + n / 10:.1f}": f"0.{n:08d}" for n in range(1, depth + 1)}
    feed = book_feed(depth, bids, asks)
    more = dict.fromkeys(list(bids)[:count], "7.00000000")
    frame = book_frame(more, {}, total(bids | more, asks), "update")

    def take_in() -> None:
        (update,) = read_frames((frame,), 1.0)
        (told,) = feed.receive(update, 1.0)
        assert type(told) is BookUpdate

    take_in()
    seen = calls_in(take_in)
    assert seen["digits"] == 2 * count
    # read_frames and its reader, BookUpdate; receive, receive_book; change of book and side; the
    # sum and both of its parts
    assert seen["Python"] <= 10 + 2 * count
    assert seen["crc32"] == 2
    # of each level: partition, isdigit, isascii, lstrip and a length, twice; its place
    assert seen["C"] <= 12 + 14 * count


def trading_feed() -> FeedProtocol:
    """Return a feed that has the trades of one market acknowledged."""
    feed = FeedProtocol(FeedSettings())
    sub = feed.subscriptions.want(Symbol("BTC/USD"), Channel.TRADE)
    feed.link.attempt(0.0)
    feed.opened(0.5)
    feed.due(0.5)
    feed.subscriptions._acked(sub, 0.6)
    return feed


def trades_frame(first: int, count: int) -> str:
    """Return a frame of trades as Kraken sends it, numbered from `first` on."""
    rows = [
        f'{{"symbol":"BTC/USD","side":"buy","price":50000.1,"qty":0.50000000,"ord_type":"limit",'
        f'"trade_id":{number},"timestamp":"2001-09-09T01:46:40.{number:06}Z"}}'
        for number in range(first, first + count)
    ]
    return f'{{"channel":"trade","type":"update","data":[{",".join(rows)}]}}'


@pytest.mark.parametrize("count", [1, 4])
def test_trades_are_read_and_judged_in_few_calls(count: int) -> None:
    """A frame of trades takes a handful of calls to the triggers, and a few for each trade."""
    feed, bench = trading_feed(), WatchBench(now=1e9)
    bench.arm(threshold=60000)
    frames = [(trades_frame(first, count),) for first in (1, 1 + count)]

    def take_in() -> None:
        (message,) = read_frames(frames.pop(0), 1.0)
        assert isinstance(message, Trades)
        (event,) = feed.contents.receive_trades(message)
        assert isinstance(event, Trades)
        bench.watch.trades(event)

    take_in()
    seen = calls_in(take_in)
    assert (seen["nanoseconds"], seen["fromisoformat"]) == (0, 0)  # the first told of its second
    # read_frames, its trades and how long they may be, Trades; receive_trades; trades, whether they
    # are of now, how both begin, the clock, is_opening, see; each: add, _look, the clock, crossed
    assert seen["Python"] <= 13 + 4 * count
    assert seen["C"] <= 14 + 4 * count


def test_trades_that_nobody_looks_back_at_are_not_kept() -> None:
    """Who only listens to trades pays no memory for those that have been told."""
    feed = trading_feed()

    def kept_after(frames: int) -> int:
        before = sys.getallocatedblocks()
        for number in range(1, frames):
            (trades,) = read_frames((trades_frame(number, 1),), 1.0)
            feed.receive(trades, 1.0)
        gc.collect()
        return sys.getallocatedblocks() - before

    kept_after(10)
    assert kept_after(1000) <= 50


@pytest.mark.parametrize("armed", [1, 1000])
def test_tick_that_crosses_nothing_looks_at_no_rule(armed: int) -> None:
    """A price between the thresholds costs the same with one armed rule and with a thousand."""
    book = RuleBook()
    for number in range(armed):
        book.arm(f"a{number}", "BTC/USD", Decimal(60000 + number), ThresholdType.ABOVE)
        book.arm(f"b{number}", "BTC/USD", Decimal(40000 - number), ThresholdType.BELOW)
    seen = calls_in(lambda: book.crossed("BTC/USD", Decimal(50000)))
    assert seen["Python"] == 1
    assert seen["C"] <= 3


def live_feed(symbols: list[str]) -> FeedProtocol:
    """Return a feed for which all `symbols` are acknowledged and have had data."""
    feed = FeedProtocol(FeedSettings())
    for symbol in symbols:
        feed.subscriptions.want(Symbol(symbol), Channel.TICKER)
    feed.link.attempt(0.0)
    feed.opened(0.5)
    feed.due(0.5)
    for symbol, sub in feed.subscriptions.tickers.items():
        feed.subscriptions._acked(sub, 0.6)
        feed.subscriptions.receive_tick(Tick(Symbol(symbol), Decimal(1), None, None, 0.7))
    return feed


def test_live_symbol_takes_little_memory() -> None:
    """A symbol with its last price takes less than 1 kB."""
    names = [f"C{number}/USD" for number in range(500)]
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    feed = live_feed(names)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(feed.subscriptions.tickers) == 500
    assert taken <= 500 * 1000


def test_prices_leave_nothing_behind() -> None:
    """After ten thousand more prices of a symbol as much is kept as after ten."""
    feed = live_feed(["BTC/USD"])

    def kept_after(prices: int) -> int:
        before = sys.getallocatedblocks()
        for number in range(prices):
            (tick,) = read_frame(FRAME, 1.0 + number / 1e6)
            assert isinstance(tick, Tick)
            feed.link.heard(tick.at)
            feed.subscriptions.receive_tick(tick)
        gc.collect()
        return sys.getallocatedblocks() - before

    kept_after(10)
    assert kept_after(10_000) <= 50


class Busy:
    """A connection that brings an ack, then one price at a time, then its end."""

    def __init__(self, prices: int, burst: int = 1, frame: str = FRAME) -> None:
        self._left = prices
        self._burst = [frame] * burst
        self._has_acked = False

    def send(self, text: str) -> None:
        pass

    def recv(self, timeout: float) -> list[str | bytes] | None:
        if not self._has_acked:
            self._has_acked = True
            return [ACK, FRAME]
        if not self._left:
            raise KrakenConnectionError("the end", request_sent=True)
        self._left -= 1
        return [*self._burst]

    def wake(self) -> None:
        pass

    def close(self) -> None:
        pass


ACK = '{"method":"subscribe","success":true,"req_id":1,"result":{"symbol":"BTC/USD"}}'


def calls_to_take_in(connection: Busy) -> Counter[str]:
    """Return what the feed's thread calls from a new connection to its end, at one moment."""
    provider = WebSocketPriceProvider("ws://127.0.0.1:1", clock=lambda: 1.0)
    thread = provider.feed_thread
    thread.feed.subscriptions.want(Symbol("BTC/USD"), Channel.TICKER)
    thread.feed.link.attempt(0.5)
    thread._run = run = Run()
    thread.adopt(run, connection)

    def serve() -> None:
        with suppress(KrakenConnectionError):
            thread.serve(run, connection)

    return calls_in(serve)


def test_price_on_a_busy_link_looks_up_nothing_else() -> None:
    """What may fall due is looked up once a second, not with each of a thousand prices."""
    seen = calls_to_take_in(Busy(1000))
    assert seen["due"] == 2  # at the start, and after the ack
    assert seen["next_due"] == 2 * 4  # of the feed, its link, its subscriptions and their questions
    assert (seen["receive_prices"], seen["receive_tick"]) == (1001, 1)  # the first one proves
    # recv, the clock; _take_in, read_frames and its ticker, Tick, _take_in_messages, whether the
    # thread is still wanted, heard, receive_prices, offer
    assert seen["Python"] <= 1000 * 11 + 200
    assert seen["C"] <= 1000 * 11 + 200


def test_prices_that_come_together_share_their_cost() -> None:
    """Sixteen prices in one burst take one hold of the lock and one look at the clock."""
    seen = calls_to_take_in(Busy(100, burst=16))
    assert seen["_take_in_messages"] == seen["receive_prices"] == seen["offer"] - 2 == 101
    assert seen["issuperset"] <= 5  # what is nothing but prices is not looked through for others
    # Of each frame its text is read, and a Tick made.
    assert seen["Python"] <= 1600 * 2 + 100 * 10 + 200
    assert seen["C"] <= 1600 * 3 + 100 * 9 + 200


def test_frames_of_many_prices_hold_the_lock_no_longer() -> None:
    """Sixteen prices at a time are taken in under the lock, however many a frame holds."""
    rows = ",".join([FRAME.partition('"data":[')[2].removesuffix("]}")] * 40)
    frame = f'{{"channel":"ticker","type":"update","data":[{rows}]}}'
    seen = calls_to_take_in(Busy(1, burst=20, frame=frame))
    assert seen["receive_tick"] == 1
    # The first frames; sixteen frames, then four, of forty prices each.
    assert seen["_take_in_messages"] == 1 + 16 * 40 // 16 + 4 * 40 // 16


def test_subscribing_to_300_symbols_takes_three_messages() -> None:
    """Symbols are asked for by the hundred, so that a reconnect needs few messages."""
    feed = FeedProtocol(FeedSettings())
    for number in range(300):
        feed.subscriptions.want(Symbol(f"C{number}/USD"), Channel.TICKER)
    feed.link.attempt(0.0)
    feed.opened(0.1)
    assert len(feed.due(0.1).frames) == 3


def test_many_frames_are_read_with_few_system_calls() -> None:
    """Two hundred frames that lie in the socket come out with a handful of `recv`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        has_sent = threading.Event()
        server = threading.Thread(target=send_frames, args=(listener, 200, has_sent))
        server.start()
        connection = open_websocket(f"ws://127.0.0.1:{listener.getsockname()[1]}", 5.0)
        assert has_sent.wait(60)
        messages: list[str | bytes] = []

        def read_all() -> None:
            while len(messages) < 200:
                messages.extend(connection.recv(5.0) or [])

        seen = calls_in(read_all)
        connection.close()
        server.join(60)
    assert messages == [FRAME] * 200
    assert seen["recv"] - seen["read_all"] <= 16  # those of our own class are counted as well


def send_frames(listener: socket.socket, count: int, has_sent: threading.Event) -> None:
    """Shake hands with one client and send it `count` frames in one piece."""
    sock, _ = listener.accept()
    with sock:
        request = sock.recv(65536).decode()
        (key,) = (
            line.partition(":")[2].strip()
            for line in request.split("\r\n")
            if line.lower().startswith("sec-websocket-key:")
        )
        magic = key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(magic).digest()).decode()
        answer = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        frame = bytes((0x81, 126)) + len(FRAME).to_bytes(2, "big") + FRAME.encode()
        sock.sendall(answer.encode() + frame * count)
        has_sent.set()
        sock.recv(1)


class CountingDisk(Disk):
    """The real file system, with a note of each time that something is made durable."""

    def __init__(self, journal: list[str]) -> None:
        self._journal = journal

    def sync(self, file: BinaryIO) -> None:
        self._journal.append("sync " + Path(file.name).name.partition(".")[0])
        super().sync(file)

    def sync_data(self, file: BinaryIO) -> None:
        self._journal.append("sync " + Path(file.name).suffix.strip("."))
        super().sync_data(file)

    def sync_folder(self, folder: Path) -> None:
        self._journal.append("sync folder")
        super().sync_folder(folder)


class Trader:
    """A stand-in for the trading client that notes its orders beside the writes."""

    def __init__(self) -> None:
        self.journal: list[str] = []

    def get_current_price(self, pair: str) -> float:
        return 40000.0

    def add_trailing_stop_loss(self, **order: object) -> dict[str, list[str]]:
        self.journal.append("order")
        return {"txid": [f"OAAAAA-BBBBB-{len(self.journal):06d}"]}


class CountingClient(KrakenAPI):
    """The real client, with a note of each request beside the writes."""

    journal: list[str]

    def _query_private(self, method: str, params: Any = None) -> dict[str, Any]:
        self.journal.append(method)
        return super()._query_private(method, params)


def fire(
    place: Path,
    count: int,
    trader: Any = None,
    around: Callable[[Callable[[], None]], object] = lambda work: work(),
) -> list[str]:
    """Fire `count` rows at once and return writes and orders as they followed each other.

    What `around` does with the work is its own affair, as long as it does it.
    """
    journal: list[str] = []
    rows = [f"r{n},BTC/USD,50000,above,sell,0.01,5.0,true" for n in range(count)]
    (place / "config.csv").write_text("\n".join([HEADER, *rows, ""]), encoding="ascii")
    manager = ConfigManager(
        place / "config.csv", place / "state.csv", place / "logs.csv", disk=CountingDisk(journal)
    )
    trader = trader or Trader()
    trader.journal = journal
    program = TTSLO(manager, trader, trader)
    program.load_state()
    assert program.validate_and_load_config()
    rules = [read_rule(row) for row in manager.load_config()]
    with keeping_journal(program):
        program.save_state()
        journal.clear()
        crossings = [Crossing(rule, Decimal(51000), "51000") for rule in rules]
        around(lambda: program.worker.fire(crossings))
        return list(journal)


def test_order_leaves_after_one_durable_write(place_of_its_own: Path) -> None:
    """Between a crossing and its order stands one synced line, and no more."""
    assert fire(place_of_its_own, 1) == ["sync intents", "order"]


class Watched(Trader):
    """A stand-in that ends the counting of calls once an order reaches it."""

    def add_trailing_stop_loss(self, **order: object) -> dict[str, list[str]]:
        sys.setprofile(None)
        return super().add_trailing_stop_loss(**order)


def test_order_leaves_after_few_calls_and_looks_at_the_disk(place_of_its_own: Path) -> None:
    """Until then config.csv is opened and read once, one line synced, and no file replaced."""
    seen = Counter[str]()
    fire(place_of_its_own, 1, Watched(), lambda work: seen.update(calls_in(work)))
    synced = seen["fdatasync"] + seen["fsync"] + seen["fcntl"]
    assert (seen["open"], synced, seen["rename"]) == (1, 1, 0)
    assert seen["read"] == 1
    assert seen["stat"] + seen["fstat"] <= 2
    assert seen["dumps"] == 0  # and nothing sets up a writer of JSON
    assert seen["Python"] <= 168
    assert seen["C"] <= 115


def test_orders_of_a_burst_share_their_durable_writes(place_of_its_own: Path) -> None:
    """Twenty crossings in one tick cost one durable write, and none between two orders."""
    assert fire(place_of_its_own, 20) == ["sync intents", *["order"] * 20]


def test_orders_of_one_pair_share_their_requests(
    exchange: FakeKraken, place_of_its_own: Path
) -> None:
    """Twenty crossings of a pair are two requests after one durable write."""
    exchange.set_price("XBTUSD", 40000)
    key, secret, url = exchange.api_key, exchange.api_secret, exchange.rest_url
    with CountingClient(key, secret, url, use_websocket=False) as trader:
        done = fire(place_of_its_own, 20, trader)
    assert done == ["sync intents", "AddOrderBatch", "AddOrderBatch"]
    assert exchange.placed_count() == 20


def test_order_leaves_in_one_piece_after_few_calls(exchange: FakeKraken) -> None:
    """Over a kept connection head and body are one send, which no library looks at."""
    key, secret, url = exchange.api_key, exchange.api_secret, exchange.rest_url
    order = {"price": "+1.5%", "trigger": "last", "deadline": "2001-01-01T00:00:00.000Z"}
    with KrakenAPI(key, secret, url, use_websocket=False) as client:
        client.warm_up()

        def place() -> None:
            with suppress(KrakenError):  # its deadline has passed
                client.add_order("XXBTZUSD", "trailing-stop", "sell", "0.01", **order)

        place()
        seen = calls_in(place)
    assert seen["sendall"] == 1
    assert (seen["urlopen"], seen["putheader"], seen["connection_from_host"]) == (0, 0, 0)
    assert seen["quote_plus"] == 0  # nothing looks at each character of an offset or a deadline
    assert (seen["_quoted"], seen["HMAC"], seen["new"]) == (0, 0, 0)
    assert seen["Python"] <= 250
    assert seen["C"] <= 400


def test_start_asks_kraken_once_for_fifty_rows(
    exchange: FakeKraken, place_of_its_own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs are asked for once and prices once to validate and once to look, not row by row."""
    pairs = ("BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD", "ADA/USD")
    rows = [f"r{n},{pairs[n % 5]},9000000,above,sell,100,5.0,true" for n in range(50)]
    (place_of_its_own / "config.csv").write_text("\n".join([HEADER, *rows, ""]), encoding="ascii")
    monkeypatch.setenv("KRAKEN_SPOT_URL", exchange.rest_url)
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", exchange.ws_url)
    assert ttslo.main(["--once", "--dry-run"]) == 0
    calls = Counter(request.endpoint for request in exchange.requests)
    assert calls["AssetPairs"] == 1
    assert calls["Ticker"] <= 2
    assert calls["Time"] == 1
    assert set(calls) == {"AssetPairs", "Ticker", "Time"}


STREAM = (
    *("krakenlink.stream.auditor", "krakenlink.stream.budget"),
    *("krakenlink.stream.connection", "krakenlink.stream.feed", "krakenlink.stream.frames"),
    *("krakenlink.stream.runner", "msgspec", "websocket", "ws_price_provider"),
)
RARE = (
    *("asyncio", "difflib", "filelock", "multiprocessing", "platformdirs"),
    # What follows books, candles or pairs loads them, and the audit its own on its thread.
    *("krakenlink.channels", "krakenlink.relay", "krakenlink.stream.account"),
    "krakenlink.stream.aio",
    *("krakenlink.stream.audit", "krakenlink.stream.book", "krakenlink.stream.instruments"),
    "krakenlink.stream.market_frames",
)


ROOT = Path(__file__).parents[3]


def said_by(code: str) -> list[str]:
    """Run `code` in a Python that measures no coverage, which would load modules of its own."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env=mine,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize(("use_websocket", "loaded"), [(False, ()), (True, STREAM)])
def test_client_loads_the_stream_only_to_use_it(
    use_websocket: bool, loaded: tuple[str, ...]
) -> None:
    """A client for REST alone loads no stream; for another it is there before the first price."""
    code = (
        f"import sys, kraken_api; kraken_api.KrakenAPI(use_websocket={use_websocket})\n"
        f"print(*sorted({{*sys.modules}} & {{*{STREAM + RARE}}}))\n"
        "print(kraken_api.WebSocketPriceProvider.__module__, kraken_api.WEBSOCKET_AVAILABLE)"
    )
    assert said_by(code) == [" ".join(loaded), "ws_price_provider True"]


@pytest.mark.parametrize("channel", ["book", "ohlc", "instrument"])
def test_caller_loads_what_the_feed_needs_for_its_first_data(channel: str) -> None:
    """The thread of prices meets no import: all is there before the subscription leaves."""
    code = (
        "import sys\n"
        "from ws_price_provider import WebSocketPriceProvider\n"
        "provider = WebSocketPriceProvider('ws://127.0.0.1:9')\n"
        "had = 'krakenlink.stream.market_frames' in sys.modules\n"
        f"provider.subscribe_symbol('BTC/USD', {channel!r})\n"
        "rooms = ['book', 'instruments', 'market_frames', 'tapes']\n"
        "print(had, all(f'krakenlink.stream.{room}' in sys.modules for room in rooms))\n"
        "provider.stop()"
    )
    assert said_by(code) == ["False True"]


def test_import_loads_no_stream() -> None:
    """Importing `kraken_api` loads neither the stream nor what is rarely needed."""
    code = f"import sys, kraken_api; print(*({{*sys.modules}} & {{*{STREAM + RARE}}}))"
    assert said_by(code) == [""]


def test_import_loads_no_maker_of_classes() -> None:
    """Dataclasses, and what they stand on, take as long as ten rooms: none is here."""

    def loaded_by(module: str) -> set[str]:
        return set(said_by(f"import sys, {module}; print(*sys.modules)")[0].split())

    makers = {"ast", "dataclasses", "dis", "inspect"}
    assert loaded_by("kraken_api") & makers <= loaded_by("requests")


# A room more here is paid for by every program that asks for a price: only what all of them use.
LOADED = {
    *("kraken_api", "krakenlink", "krakenlink.errors", "krakenlink.flights"),
    *("krakenlink.foreign", "krakenlink.held", "krakenlink.known_names", "krakenlink.machine"),
    *("krakenlink.market_calls", "krakenlink.numbers", "krakenlink.once", "krakenlink.pairs"),
    *("krakenlink.prices", "krakenlink.rest", "krakenlink.rest.account_calls"),
    *("krakenlink.rest.answers", "krakenlink.rest.client", "krakenlink.rest.gate"),
    "krakenlink.rest.kept",
    *("krakenlink.rest.listing", "krakenlink.rest.quotes", "krakenlink.rest.request"),
    *("krakenlink.rest.session", "krakenlink.rest.sockets", "krakenlink.rest.transport"),
    *("krakenlink.rest.trust", "krakenlink.rest.verdicts", "krakenlink.sockets"),
    "krakenlink.stream",  # the names of what its rooms hold, for hints; none of the rooms
}
# The same for who asks for a price that is streamed.
STREAMED = {
    "krakenlink.locks",
    *("krakenlink.stream.arrivals", "krakenlink.stream.asking", "krakenlink.stream.auditor"),
    *("krakenlink.stream.budget", "krakenlink.stream.connection", "krakenlink.stream.contents"),
    *("krakenlink.stream.events", "krakenlink.stream.feed", "krakenlink.stream.frames"),
    *("krakenlink.stream.handover", "krakenlink.stream.health", "krakenlink.stream.link"),
    *("krakenlink.stream.looks", "krakenlink.stream.moves", "krakenlink.stream.pool"),
    *("krakenlink.stream.reader", "krakenlink.stream.runner", "krakenlink.stream.settings"),
    *("krakenlink.stream.states", "krakenlink.stream.subscriptions", "krakenlink.stream.tapes"),
    *("krakenlink.stream.wants", "krakenlink.stream.wire", "ws_price_provider"),
}
SHOW_OURS = (
    "print(*(name for name, module in sys.modules.items() if name != '__main__' and "
    "(getattr(module, '__file__', None) or '').startswith(os.getcwd() + os.sep) and "
    "'site-packages' not in module.__file__))"
)


def test_import_loads_these_rooms_and_no_other() -> None:
    """What only some use, such as books, candles and trades, is loaded when it is used."""
    assert set(said_by(f"import os, sys, kraken_api\n{SHOW_OURS}")[0].split()) == LOADED


def test_streaming_client_loads_these_rooms_and_no_other() -> None:
    """Making one takes as long as importing three of REST's: no room comes in unseen."""
    code = f"import os, sys, kraken_api\nkraken_api.KrakenAPI()\n{SHOW_OURS}"
    assert set(said_by(code)[0].split()) == LOADED | STREAMED


def test_client_loads_books_only_to_use_them() -> None:
    """A client for REST alone loads no room more, and one for its first book."""
    code = (
        "import os, sys, kraken_api\n"
        "api = kraken_api.KrakenAPI(use_websocket=False)\n"
        f"{SHOW_OURS}\n"
        "try: api.get_order_book('XBTUSD', depth=7)\n"
        "except ValueError: print('krakenlink.channels' in sys.modules)"
    )
    rooms, has_channels = said_by(code)
    assert set(rooms.split()) == LOADED
    assert has_channels == "True"


# Each is for a flag, a command or an extra; loaded, it would take memory of all who have none.
WANTED_BY_SOME = {
    *("aiohttp", "apprise", "asyncio", "difflib", "fake_kraken", "http.server", "numpy"),
    *("prometheus_client", "pyarrow", "rich"),
    *("krakenlink.relay", "krakenlink.rest.key_info", "krakenlink.stream.aio"),
    *("krakenlink.stream.account", "krakenlink.stream.executions"),
    *("krakenlink.stream.private", "ttslo_app.backtest", "ttslo_app.cluster"),
    *("ttslo_app.face.metrics", "ttslo_app.face.notify", "ttslo_app.face.outbox"),
    *("ttslo_app.face.pulse", "ttslo_app.face.services", "ttslo_app.face.table"),
    *("ttslo_app.face.web.guard", "ttslo_app.face.web.server", "ttslo_app.hosts.accounts"),
    *("ttslo_app.commands.demo", "ttslo_app.doctor", "ttslo_app.paper"),
    *(
        "ttslo_app.signs.screen",
        "ttslo_app.signs.watchers",
        "ttslo_app.hosts.standby",
        "ttslo_app.whatif",
    ),
}


def test_program_loads_nothing_that_only_some_users_want(
    exchange: FakeKraken, place_of_its_own: Path
) -> None:
    """Figures, a page, a table, notifications and the exchange cost those who use them."""
    config = place_of_its_own / "config.csv"
    config.write_text(f"{HEADER}\nr1,BTC/USD,9000000,above,sell,1,5.0,true\n", encoding="ascii")
    code = (
        "import os, sys, ttslo\n"
        f"os.chdir({str(place_of_its_own)!r})\n"
        f"os.environ['KRAKEN_SPOT_URL'] = {exchange.rest_url!r}\n"
        f"os.environ['KRAKEN_WS_PUBLIC_URL'] = {exchange.ws_url!r}\n"
        "code = ttslo.main(['--once', '--dry-run'])\n"
        "print(*sys.modules)\n"
        "sys.exit(code)"
    )
    loaded = set(said_by(code)[-1].split())
    assert {"ttslo_app.run.live", "ttslo_app.orders.desk"} <= loaded
    assert loaded & WANTED_BY_SOME == set()
