"""A scene of bad weather: a market that moves, readers that ask, and the judge of what they get.

For the tests and the benchmarks. The market moves all the time and never has the same price twice,
so that an oracle knows of each price when it was the true one. Readers ask all the time. A price
is a lie if it had been replaced before the moment up to which its proof reaches back; see
`Market.judge`.
"""

from __future__ import annotations

import bisect
import itertools
import struct
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.errors import KrakenError
from krakenlink.stream.events import FeedStale, FirstData
from krakenlink.stream.settings import FeedSettings
from tests.kits.chaos.chaos_proxy import FAIR, ChaosProxy
from ws_price_provider import FeedReader, WebSocketPriceProvider, feed_clock

LONG = 60.0  # seconds that nothing here takes unless it is broken
PAIR, SYMBOL = "XXBTZUSD", "BTC/USD"
# Seconds that a frame may lie in a queue of this machine before its thread's turn comes. A price
# that is served after its death is older by far. See `Market.judge` for machines that are busy.
SLACK = 1.5

# The numbers of the real feed, divided by six.
QUICK = FeedSettings(
    ping_after=0.25,
    dead_after=0.5,
    lag_check_every=0.3,
    mute_after=0.4,
    connect_timeout=0.5,
    retry_delays=(0.0, 0.02, 0.05),
    refused_delay=0.05,
)

# A certificate for `localhost`, made for these tests and trusted by nobody, with its key.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgBGGQgPS6dxfIm4vb
30G6DcWZqsCVHmsrJIOg2qcRkUChRANCAAQYade93NKVaR+PV4YdakiePBxnrNEI
4pqbiBZsnSXTaJSjbuBo1bbpLYMf7s4yE82juOH1lT8/wSsjhI7cUMYS
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBlDCCATugAwIBAgIUZ/CACxfzH5TEyW/y1IGTK7uk9U4wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzAyNTMwNloYDzIxMjYxMDMw
MDI1MzA2WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQYade93NKVaR+PV4YdakiePBxnrNEI4pqbiBZsnSXTaJSjbuBo1bbp
LYMf7s4yE82juOH1lT8/wSsjhI7cUMYSo2kwZzAdBgNVHQ4EFgQUeHbpQDwW/Vle
VeNcmb2gRA3tywMwHwYDVR0jBBgwFoAUeHbpQDwW/VleVeNcmb2gRA3tywMwFAYD
VR0RBA0wC4IJbG9jYWxob3N0MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwID
RwAwRAIgKhKL0XUMksGE5uJVoQH9JOaWVASG1UkrGB0NasOLCh0CIAVNZ/mnPHzt
Xhb4Qwl5zvxTq9194rd+Cd2g5JnI9BgE
-----END CERTIFICATE-----
"""

E = TypeVar("E")


class Market:
    """The oracle: moves the exchange's price all the time, never to the same one twice."""

    def __init__(self, exchange: FakeKraken, pause: float = 0.004) -> None:
        self._exchange = exchange
        self._pause = pause
        self._stop = threading.Event()
        self._first = int(exchange.price_of(PAIR))
        # Guards: _moved_at, the moment of each move; each makes the price greater by one.
        self._lock = threading.Condition()
        self._moved_at: list[float] = []
        self._thread = threading.Thread(target=self._move)
        self._thread.start()

    def _move(self) -> None:
        for price in itertools.count(self._first + 1):
            if self._stop.wait(self._pause):
                return
            self._exchange.set_price(PAIR, price)
            with self._lock:
                self._moved_at.append(feed_clock())
                self._lock.notify_all()

    @property
    def present(self) -> float:
        """The price that is the true one now."""
        with self._lock:
            return float(self._first + len(self._moved_at))

    def wait_for_moves(self, count: int) -> None:
        """Wait until the price has moved so many times from now."""
        with self._lock:
            due = len(self._moved_at) + count
            assert self._lock.wait_for(lambda: len(self._moved_at) >= due, LONG)

    def judge(self, price: float, asked_at: float, proven_age: float, allowed: float) -> str | None:
        """Return what is wrong with a price that somebody got; None for nothing.

        How old it is is told by the moves since then, each of which takes the pause between two
        at least: where a busy machine lets no thread have its turn, this one has none either.

        Args:
            price: What was got.
            asked_at: When it was asked for: it was proven after that, but for its age.
            proven_age: How old its proof was.
            allowed: Seconds that bytes may have been under way before they were proof.
        """
        proven_at, replaced = asked_at - proven_age, int(price) - self._first
        with self._lock:
            if replaced >= len(self._moved_at):
                return None  # the present one, or being set at this moment
            older = proven_at - self._moved_at[replaced]
            moves = bisect.bisect(self._moved_at, proven_at) - replaced
        is_lie = moves * self._pause > allowed
        return f"{price} was {older:.2f} s, {moves} moves, older than its proof" if is_lie else None

    def close(self) -> None:
        """Stop moving."""
        self._stop.set()
        self._thread.join(LONG)


class Readers:
    """Threads that ask for the price all the time, each in its own way, and judge every answer."""

    def __init__(
        self,
        market: Market,
        api: KrakenAPI,
        provider: WebSocketPriceProvider,
        pause: float = 0.002,
    ) -> None:
        self.allowed = SLACK
        self._pause = pause
        self.lies: list[str] = []
        self.errors: list[BaseException] = []
        self._market = market
        self._api = api
        self._provider = provider
        self._stop = threading.Event()
        # Guards: _reads, the answers so far by the way of asking.
        self._lock = threading.Condition()
        self._reads: dict[str, int] = {}
        ways = (self._float, self._float, self._quote, self._young_quote, self._api_float)
        self._threads = [threading.Thread(target=self._read, args=(way,)) for way in ways]
        for thread in self._threads:
            thread.start()

    def _read(self, way: Callable[[], tuple[str, float, float] | None]) -> None:
        last = 0.0
        while not self._stop.wait(self._pause):
            asked_at = feed_clock()
            try:
                answer = way()
            except KrakenError as error:
                self.errors.append(error)  # an honest word, never a lie
                continue
            if answer is None:
                continue
            source, price, proven_age = answer
            lie = self._market.judge(price, asked_at, proven_age, self.allowed)
            if source == "stream" and price < last:
                lie = f"{price} after {last}"
            if source == "stream":
                last = price
            with self._lock:
                self._reads[source] = self._reads.get(source, 0) + 1
                if lie:
                    self.lies.append(lie)
                self._lock.notify_all()

    def _float(self) -> tuple[str, float, float] | None:
        price = self._provider.get_current_price(PAIR)
        return None if price is None else ("stream", price, self._provider.settings.dead_after)

    def _api_float(self) -> tuple[str, float, float]:
        return "any", self._api.get_current_price(PAIR), self._provider.settings.dead_after

    def _quote(self) -> tuple[str, float, float]:
        quote = self._api.get_quote(PAIR)
        return quote.source, float(quote.price), quote.proven_age

    def _young_quote(self) -> tuple[str, float, float]:
        quote = self._api.get_quote(PAIR, max_age=0.4)
        assert quote.proven_age <= 0.4
        return "young", float(quote.price), quote.proven_age

    @property
    def judged(self) -> int:
        """How many answers there were so far."""
        with self._lock:
            return sum(self._reads.values())

    def __str__(self) -> str:
        with self._lock:
            return f"prices {self._reads}, errors {len(self.errors)}, lies {len(self.lies)}"

    def wait_for(self, count: int, *sources: str) -> None:
        """Wait until each of the ways has brought so many more answers."""
        with self._lock:
            due = {source: self._reads.get(source, 0) + count for source in sources}
            arrived = self._lock.wait_for(
                lambda: all(self._reads.get(source, 0) >= n for source, n in due.items()), LONG
            )
        assert arrived, f"no answers: {self._reads}, {self.errors[-1:]}"

    def close(self) -> None:
        """Stop asking."""
        self._stop.set()
        for thread in self._threads:
            thread.join(LONG)


class Scene:
    """Market, exchange, proxy, client and readers of one test, all at work.

    Args:
        stack: Ends all of it.
        **options: `settings` and `clock` of the feed, `tls` and `host` of its address,
            `heartbeat` of the exchange, `pause` of the market and `reader_pause` of the readers.
    """

    def __init__(self, stack: ExitStack, **options: Any) -> None:
        settings = options.get("settings", QUICK)
        self.exchange = stack.enter_context(
            FakeKraken(heartbeat_seconds=options.get("heartbeat", 0.1))
        )
        self.proxy = ChaosProxy(self.exchange.port, options.get("tls"))
        stack.callback(self.proxy.close)
        url = self.proxy.url.replace("127.0.0.1", options.get("host", "127.0.0.1"))
        clock = options.get("clock", feed_clock)
        self.provider = WebSocketPriceProvider(url, settings=settings, clock=clock)
        # The client takes the provider that its address has already.
        WebSocketPriceProvider._shared[url] = self.provider
        stack.callback(WebSocketPriceProvider._shared.pop, url)
        stack.callback(self.provider.stop, LONG)
        self.api = KrakenAPI(base_url=self.exchange.rest_url, ws_url=url, ws_timeout=0.2)
        stack.callback(self.api.close)
        self.market = Market(self.exchange, options.get("pause", 0.004))
        stack.callback(self.market.close)
        self.events = self.provider.open_feed(channels=())
        self.provider.subscribe(PAIR)
        pause = options.get("reader_pause", 0.002)
        self.readers = Readers(self.market, self.api, self.provider, pause)
        stack.callback(self.readers.close)

    def sees(self) -> None:
        """Wait until every way of asking brings prices again, the stream's among them."""
        self.readers.wait_for(5, "stream", "websocket", "young", "any")

    def is_blind(self) -> None:
        """Wait until the loss is noticed; while the fault lasts, only REST has prices."""
        wait_for(self.events, FeedStale)
        while self.provider.get_current_price(PAIR) is not None:
            wait_for(self.events, FeedStale)  # the first one was a busy machine's doing
        self.readers.wait_for(5, "rest", "any", "young")
        assert self.provider.fresh_tick(SYMBOL) is None

    def comes_back(self) -> None:
        """Lift the fault; wait until the stream is proven anew and all see."""
        self.proxy.weather = FAIR
        wait_for(self.events, FirstData)
        self.sees()


def wait_for(reader: FeedReader, kind: type[E]) -> E:
    """Return the next event of a kind; the ones before it are dropped."""
    deadline = time.monotonic() + LONG
    while (remaining := deadline - time.monotonic()) > 0:
        event = reader.get(remaining)
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__} came")


def frame(payload: str | bytes, opcode: int = 0x01, first_bits: int = 0x80) -> bytes:
    """Return a frame from a server, by default a whole one."""
    data = payload.encode() if isinstance(payload, str) else payload
    head = bytes([first_bits | opcode])
    if len(data) < 126:
        return head + bytes([len(data)]) + data
    if len(data) < 65536:
        return head + b"\x7e" + struct.pack("!H", len(data)) + data
    return head + b"\x7f" + struct.pack("!Q", len(data)) + data
