"""`ttslo relay`: one connection to Kraken, whose prices many readers get over a broker. No keys.

What it must never do: pass on a price that its own connection does not prove at that moment.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from krakenlink.machine import is_relay, relay_names, validate_source
from krakenlink.relay.broker import Broker, RedisMissing
from krakenlink.relay.hub import Line
from krakenlink.relay.server import RelayServer
from krakenlink.stream.connection import open_websocket
from krakenlink.stream.settings import DEFAULT_SETTINGS, patient
from ttslo_app.commands import relay_words as words
from ttslo_app.run.ending import ended_by_signals
from ttslo_app.terminal import Parser, put, put_trouble
from ws_price_provider import WEBSOCKET_AVAILABLE, WebSocketPriceProvider

if TYPE_CHECKING:
    from ttslo_app.face.metrics import MetricsServer

# On one connection, or its order would not be that of the packets; which gather by themselves.
_SETTINGS = replace(DEFAULT_SETTINGS, pool_most=1, gather_for=0.0)


def parser() -> Parser:
    """Return the flags of the command."""
    made = Parser(
        prog="ttslo relay",
        description="Holds one connection to Kraken's price stream and passes its prices on to "
        "many readers, through Redis or Valkey. Needs no keys. Readers set "
        "KRAKEN_WS_PUBLIC_URL to the same address.",
        epilog="Exit codes: 0 ended by a signal; 1 it cannot run; 2 a flag is wrong.",
    )
    made.add_argument(
        "--publish",
        required=True,
        metavar="URL",
        help="the broker and this relay's name: rediss://HOST:6379/NAME; redis: on this machine. "
        "A login stands in TTSLO_RELAY_USER and TTSLO_RELAY_PASSWORD",
    )
    made.add_argument(
        "--name", help="this relay's name, where --publish has none; each relay has its own"
    )
    made.add_argument(
        "--metrics-port",
        type=int,
        metavar="PORT",
        help="serve /metrics and /healthz on this machine; needs prometheus-client",
    )
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command, `argv` being what follows its word, and return its exit code.

    Blocks until a signal.
    """
    made = parser()
    options = made.parse_args(argv)
    url = _checked(made, options)
    if not WEBSOCKET_AVAILABLE:
        put_trouble(words.LIBRARY_MISSING)
        return 1
    try:
        server = RelayServer(Broker(url, _SETTINGS.send_timeout), _SETTINGS)
        providers = _from_kraken(server)
        if is_relay(providers[Line.PRICES].url):
            raise ValueError(words.READS_A_RELAY)
        metrics = _metrics(options.metrics_port, server, providers[Line.PRICES])
    except (RedisMissing, ValueError) as error:
        put_trouble(words.cannot_start(str(error)))
        return 1
    _run(server, providers, url, metrics)
    return 0


def _checked(made: Parser, options: argparse.Namespace) -> str:
    """Return the address to publish at, or end with what is wrong with it."""
    url, name = str(options.publish), options.name
    if is_relay(url) and name is not None and relay_names(url) == [""]:
        url = f"{url.rstrip('/')}/{name}"
    try:
        url = validate_source(url)
    except ValueError as error:
        made.refuse(f"--publish: {error}")
    if not is_relay(url):
        made.refuse(words.NO_BROKER)
    if len(relay_names(url)) != 1:
        made.refuse(words.ONE_NAME)
    if name not in (None, *relay_names(url)):
        made.refuse(words.two_names(name))
    return url


def providers_of(
    server: RelayServer, stream_url: str | None = None
) -> dict[Line, WebSocketPriceProvider]:
    """Return what `server` listens to: prices, and beside them the list of pairs.

    Raises:
        ValueError: If the address is refused; None is `KRAKEN_WS_PUBLIC_URL` or Kraken's own.
    """
    settings = {Line.PRICES: server.settings, Line.PAIRS: patient(server.settings)}
    return {
        line: WebSocketPriceProvider(
            stream_url, settings=its, connect=server.tapped(open_websocket, line)
        )
        for line, its in settings.items()
    }


def _from_kraken(server: RelayServer) -> dict[Line, WebSocketPriceProvider]:
    try:
        return providers_of(server)
    except ValueError as error:
        raise ValueError(f"KRAKEN_WS_PUBLIC_URL: {error}") from None


def _metrics(
    port: int | None, server: RelayServer, provider: WebSocketPriceProvider
) -> MetricsServer | None:
    """Return what serves figures, not begun; None where nobody wants them."""
    if port is None:
        return None
    from ttslo_app.face.metrics import MetricsServer  # here, for who wants no figures
    from ttslo_app.face.relay_metrics import RelayFigures

    figures = RelayFigures(lambda: server.standing, provider.health, _SETTINGS.dead_after)
    return MetricsServer(port, figures)


def _run(
    server: RelayServer,
    providers: dict[Line, WebSocketPriceProvider],
    url: str,
    metrics: MetricsServer | None,
) -> None:
    """Relay until a signal comes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with ended_by_signals(server.stop):
        put(words.at_work(server.name, providers[Line.PRICES].url, url))
        if metrics is not None:
            put(words.figures_at(metrics.start().url))
        providers[Line.PRICES].connect()
        try:
            server.run(providers)
        finally:
            for provider in providers.values():
                provider.stop()
            if metrics is not None:
                metrics.stop()
    put(words.ended(server.name))
