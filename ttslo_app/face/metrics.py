"""Figures for Prometheus, and one address that says whether every armed row is watched.

An HTTP server on this machine only, on threads of its own: it asks for snapshots when somebody
asks it, and the feed and the orders never wait for it. What it must never do: show a price
threshold, a size or a key, or answer beyond this machine.

Source: Prometheus, text exposition format and naming of metrics (read 2026-11).
"""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from krakenlink.stream.states import FeedState
from ttslo_app.face.health import healthz
from ws_price_provider import FeedHealth, SymbolHealth

try:
    import prometheus_client
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector
except ImportError:
    PROMETHEUS_AVAILABLE = False
else:
    PROMETHEUS_AVAILABLE = True

_log = logging.getLogger(__name__)

# Whoever has not asked and read the answer after so many seconds is let go.
_PATIENCE = 5.0
# So many may ask at a time: a scraper, and a person or two.
_MOST_READERS = 8
_OWN_HOST = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?", re.ASCII | re.IGNORECASE)
_TEXT = "text/plain; charset=utf-8"


class MetricsUnavailable(ValueError):
    """The metrics cannot be served as asked; the sentence says why, and what to do."""


class Figures(Protocol):
    """What is served; each method is called on a server's thread and must not block."""

    def families(self) -> Iterator[Any]:
        """Yield the metrics at this moment, as prometheus-client wants them."""
        ...

    def healthz(self) -> tuple[int, str]:
        """Return status and text of the health address."""
        ...


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the program's figures come from; each is called on a server's thread.

    Attributes:
        health: The feed's snapshot; None where there is no stream.
        armed: For each armed row, by id, whether its price is live.
        orders: How many orders there were by what became of them: placed, refused, uncertain.
        orderless: How many seconds ago each row was crossed that has no order yet, by id.
    """

    health: Callable[[], FeedHealth | None]
    armed: Callable[[], Mapping[str, bool]]
    orders: Callable[[], Mapping[str, int]]
    orderless: Callable[[], Mapping[str, float]] = dict

    def families(self) -> Iterator[Any]:
        """Yield the metrics at this moment, as prometheus-client wants them."""
        return families(self)

    def healthz(self) -> tuple[int, str]:
        """Return status and text of the health address."""
        return healthz(self.armed(), self.orderless())


class MetricsServer:
    """Serves `/metrics` and `/healthz` on 127.0.0.1 from `start` to `stop`.

    Args:
        port: Where; 0 picks a free one.
        figures: What is served.

    Raises:
        MetricsUnavailable: If prometheus-client is not installed, or the port cannot be had.
    """

    def __init__(self, port: int, figures: Figures) -> None:
        check_available()
        try:
            self._server = _Server(("127.0.0.1", port), _handler(figures))
        except (OSError, OverflowError) as error:
            raise MetricsUnavailable(
                f"the metrics cannot be served on port {port} ({error}); choose another one with "
                "--metrics-port"
            ) from error
        self.port: int = self._server.server_address[1]
        # Daemon, because it waits for others and owns nothing that would have to be saved.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="ttslo-metrics", daemon=True
        )

    @property
    def url(self) -> str:
        """The address of both."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> MetricsServer:
        """Begin to answer. Call it once."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Answer no more, and give the port back. Blocks for a moment."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(_PATIENCE)
        self._server.server_close()


def check_available() -> None:
    """Raise `MetricsUnavailable` where the library is missing."""
    if not PROMETHEUS_AVAILABLE:
        raise MetricsUnavailable(
            "--metrics-port needs the library prometheus-client: pip install prometheus-client"
        )


# --- what is answered ----------------------------------------------------------------------------


def families(sources: Sources) -> Iterator[Any]:
    """Yield the metrics at this moment, as prometheus-client wants them."""
    health = sources.health()
    if health is not None:
        yield from feed_families(health)
        yield from _symbols(health)
    orders = CounterMetricFamily(
        "ttslo_orders", "Answers to orders by what they were", labels=["outcome"]
    )
    for outcome, count in sources.orders().items():
        orders.add_metric([outcome], count)
    yield orders
    armed = sources.armed()
    text = "Rows that were crossed and have no order yet"
    yield gauge("ttslo_crossings_without_order", text, len(sources.orderless()))
    yield gauge("ttslo_armed_rows", "Rows that are armed", len(armed))
    live = GaugeMetricFamily(
        "ttslo_armed_row_live", "1 while an armed row has a live price", labels=["row"]
    )
    for row, is_live in armed.items():
        live.add_metric([row], is_live)
    yield live


def feed_families(health: FeedHealth) -> Iterator[Any]:
    """Yield the metrics of the connections to Kraken's stream.

    Those of the first have no label, as where it is the only one; the others bear `connection`.
    """
    each = (health, *health.beside)
    state = GaugeMetricFamily("ttslo_feed_state", "1 for the state of the link")
    for link in each:
        for one in FeedState:
            labels = {"state": one.name.lower(), **_label_of(link)}
            state.add_sample(state.name, labels, float(one is link.state))
    yield state
    for name, text, value in _GAUGES:
        family = GaugeMetricFamily(name, text)
        for link in each:
            if (figure := value(link)) is not None:
                family.add_sample(family.name, _label_of(link), figure)
        yield family
    for name, text, tally in _COUNTERS:
        count = CounterMetricFamily(name, text)
        for link in each:
            count.add_sample(f"{name}_total", _label_of(link), tally(link))
        yield count


def _label_of(link: FeedHealth) -> dict[str, str]:
    return {} if link.connection == "1" else {"connection": link.connection}


_GAUGES: tuple[tuple[str, str, Callable[[FeedHealth], float | None]], ...] = (
    ("ttslo_feed_uptime_seconds", "Age of the connection", lambda link: link.uptime),
    ("ttslo_feed_last_frame_age_seconds", "Since the last frame", lambda link: link.last_frame_age),
    (
        "ttslo_feed_blind_seconds",
        "Since the last proof of life; 0 while it sees",
        lambda link: link.blind_for or 0.0,
    ),
    ("ttslo_feed_messages_per_second", "Frames", lambda link: link.messages_per_second),
    ("ttslo_feed_ticks_per_second", "Prices", lambda link: link.ticks_per_second),
    ("ttslo_feed_subscriptions", "Channels of symbols that it carries", lambda link: link.carried),
)
_COUNTERS: tuple[tuple[str, str, Callable[[FeedHealth], int]], ...] = (
    ("ttslo_feed_attempts", "Attempts to connect", lambda link: link.attempts),
    ("ttslo_feed_reconnects", "Connections after the first", lambda link: link.reconnects),
    ("ttslo_feed_messages", "Frames", lambda link: link.messages),
    ("ttslo_feed_damaged", "Frames that could not be read", lambda link: link.damaged),
    ("ttslo_feed_rest_fallbacks", "Prices that REST had to tell", lambda link: link.rest_fallbacks),
)


def _symbols(health: FeedHealth) -> Iterator[Any]:
    names = ["symbol", "channel"]
    live = GaugeMetricFamily("ttslo_symbol_live", "1 while a price counts", labels=names)
    age = GaugeMetricFamily(
        "ttslo_symbol_proven_age_seconds", "Age of the proof of a price that counts", labels=names
    )
    ticks = CounterMetricFamily("ttslo_symbol_ticks", "Prices by symbol", labels=names)
    for row in _prices(health):
        labels = [row.symbol, row.channel]
        live.add_metric(labels, row.proven_age is not None)
        ticks.add_metric(labels, row.ticks)
        if row.proven_age is not None:
            age.add_metric(labels, row.proven_age)
    yield from (live, age, ticks)


def _prices(health: FeedHealth) -> Iterable[SymbolHealth]:
    """Return the subscriptions to prices on all connections, each symbol once.

    Prices come by `ticker` alone; of other channels these figures would say nothing.
    """
    found: dict[str, SymbolHealth] = {}
    for row in (row for link in (health, *health.beside) for row in link.symbols):
        # What moves at this moment may be seen on both sides, or on its way alone.
        if row.channel == "ticker" and (row.state != "arriving" or row.symbol not in found):
            found[row.symbol] = row
    return found.values()


def gauge(name: str, text: str, value: float | None) -> Any:
    """Return a figure that goes up and down; without a value there is none to be seen."""
    family = GaugeMetricFamily(name, text)
    if value is not None:
        family.add_metric([], value)
    return family


def counter(name: str, text: str, value: int) -> Any:
    """Return a figure that only goes up."""
    return CounterMetricFamily(name, text, value=value)


# --- the server ----------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    """Serves few at a time, each for a few seconds in all: connections cost file numbers.

    Those of the stream and of the orders come out of the same stock.
    """

    request_queue_size = 64  # beyond it a reader's system waits a second before it tries again
    daemon_threads = True  # one who does not read must not hold up the end of the program

    def __init__(self, *args: Any) -> None:
        self._places = threading.BoundedSemaphore(_MOST_READERS)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer on a thread, or hang up where too many ask at once."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and hang up once the time for all of it is over, come what may."""
        # A time-out of the socket alone would begin anew with each byte.
        end = threading.Timer(_PATIENCE, _cut, (request,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note that somebody left in the middle; the standard one would print it."""
        _log.debug("A reader of the metrics was not answered", exc_info=True)


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):  # gone by itself
        connection.shutdown(socket.SHUT_RDWR)


def is_own_host(host: str | None) -> bool:
    """Tell whether a `Host` header names this machine, as one who meant to ask it writes.

    A page in a browser can have a name of its own lead here, and would read what it is answered.
    """
    return host is None or _OWN_HOST.fullmatch(host.strip()) is not None


def exposition(figures: Figures) -> tuple[str, bytes]:
    """Return the type and the bytes of `/metrics` at this moment; the library must be there."""
    registry = prometheus_client.CollectorRegistry()

    class Now(Collector):
        def collect(self) -> Iterator[Any]:
            return figures.families()

        def describe(self) -> list[Any]:
            return []  # no figure is asked for before somebody wants it

    registry.register(Now())
    return prometheus_client.CONTENT_TYPE_LATEST, prometheus_client.generate_latest(registry)


def _handler(figures: Figures) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE

        def do_GET(self) -> None:
            if not all(is_own_host(host) for host in self.headers.get_all("Host", [])):
                self._answer(403, _TEXT, b"ask for 127.0.0.1 or localhost\n")
                return
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, *exposition(figures))
            elif path == "/healthz":
                status, text = figures.healthz()
                self._answer(status, _TEXT, text.encode())
            else:
                self._answer(404, _TEXT, b"there are /metrics and /healthz\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            _log.debug(format, *args)

    return Handler
