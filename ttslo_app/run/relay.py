"""`ttslo relay`: one connection to Kraken, whose prices many readers get over a broker. No keys.

What it must never do: pass on a price that its own connection does not prove at that moment.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from krakenlink.machine import is_relay, relay_names, validate_source
from krakenlink.relay.broker import MISSING, Broker, RedisMissing
from krakenlink.relay.server import RelayServer
from krakenlink.stream.connection import open_websocket
from krakenlink.stream.settings import DEFAULT_SETTINGS
from ttslo_app.run.commands import Parser, put, put_trouble
from ws_price_provider import WEBSOCKET_AVAILABLE, WebSocketPriceProvider

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. Blocks until a signal.

    Args:
        argv: The arguments after `relay`; None for those of the process.
    """
    url = _checked(parser(), argv)
    if not WEBSOCKET_AVAILABLE:
        put_trouble("A library is missing. Do: pip install websocket-client msgspec.")
        return 1
    try:
        server = RelayServer(
            Broker(url, DEFAULT_SETTINGS.send_timeout), DEFAULT_SETTINGS.dead_after
        )
        provider = WebSocketPriceProvider(connect=server.tapped(open_websocket))
    except RedisMissing:
        put_trouble(f"The relay cannot start: {MISSING}.")
        return 1
    except ValueError as error:
        put_trouble(f"The relay cannot start: KRAKEN_WS_PUBLIC_URL: {error}.")
        return 1
    if is_relay(provider.url):
        put_trouble(
            "The relay cannot start: KRAKEN_WS_PUBLIC_URL names a relay, and a relay reads from "
            "Kraken itself. Unset it for this command."
        )
        return 1
    _run(server, provider, url)
    return 0


def _checked(made: Parser, argv: Sequence[str] | None) -> str:
    """Return the address to publish at, or end with what is wrong with it."""
    options = made.parse_args(argv)
    try:
        url = validate_source(options.publish)
    except ValueError as error:
        made.refuse(f"--publish: {error}")
    if not is_relay(url):
        made.refuse("--publish: write rediss://HOST:6379/NAME, or redis: on this machine")
    if len(relay_names(url)) != 1:
        made.refuse("--publish: a relay has one name; start another one for another name")
    return url


def _run(server: RelayServer, provider: WebSocketPriceProvider, url: str) -> None:
    """Relay until a signal comes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with _ended_by_signals(server):
        put(f"Relay {server.name}: prices of {provider.url} go to {url}. Ctrl-C ends it.")
        provider.connect()
        try:
            server.run(provider)
        finally:
            provider.stop()
    put(f"Relay {server.name}: ended. Its readers ask over REST now.")


@contextmanager
def _ended_by_signals(server: RelayServer) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the relay in good order."""
    kept = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(ValueError):  # not in the main thread: somebody else ends it
            kept[number] = signal.signal(number, lambda *_: server.stop())
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
