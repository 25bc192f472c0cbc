"""What the doctor asks the network: each step on the way, and a first price of every pair.

What it must never do: wait beyond the one deadline of the whole, or hold on to the stream.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TypeVar

from kraken_api import WEBSOCKET_AVAILABLE, Quote
from krakenlink.errors import KrakenError
from krakenlink.foreign import some_of, without_login
from krakenlink.machine import BROKER_PORT, feed_clock, is_loopback, is_relay
from krakenlink.numbers import readable
from krakenlink.pairs import symbol_offline
from krakenlink.sockets import Call, by_thread, dial
from krakenlink.stream.events import FeedLive, FeedStale
from krakenlink.stream.wire import open_socket, proxy_for
from ttslo_app.clocks import KrakenClock
from ttslo_app.doctor.local import Findings, Patient
from ttslo_app.doctor.words import moment_of, say
from ttslo_app.face.pulse import check_ping
from ttslo_app.face.services import (
    Address,
    NotifyUnavailable,
    Plugin,
    read_addresses,
    send_test,
)
from ttslo_app.signs.telling import settings_of
from ws_price_provider import WebSocketPriceProvider

# Seconds: a person waits for all of it, and each step must leave time for the next.
_STEP, _HANDSHAKE, _FIRST_PRICE = 2.0, 3.0, 4.0
# Left for what comes after a step that waits.
_RESERVE = 0.5
_PORTS = {"https": 443, "wss": 443, "redis": BROKER_PORT, "rediss": BROKER_PORT}
_TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

Found = TypeVar("Found")


# --- on the way --------------------------------------------------------------------------------


def _targets(patient: Patient) -> list[urllib.parse.SplitResult]:
    """Return the addresses of REST and, where prices are to stream, of the stream."""
    api = patient.public
    if api is None:
        return []
    stream = [api.ws_url] if patient.use_websocket and api.ws_url else []
    return [urllib.parse.urlsplit(url) for url in (api.base_url, *stream)]


def _peers(patient: Patient) -> list[tuple[str, int]]:
    """Return whom connections go to: the servers, or the proxies before them, each once."""
    found: dict[tuple[str, int], None] = {}
    for parts in _targets(patient):
        proxy = _proxy_of(parts)
        named = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        peer = named if proxy else parts
        found[peer.hostname or "", _port_of(peer)] = None
    return list(found)


def _port_of(parts: urllib.parse.SplitResult) -> int:
    """Return the port of an address, where it names none the one of its kind."""
    if "socks" in parts.scheme:
        return parts.port or 1080
    return parts.port or _PORTS.get(parts.scheme, 80)


def _proxy_of(parts: urllib.parse.SplitResult) -> str:
    host = parts.hostname or ""
    is_direct = is_loopback(host) or is_relay(parts.geturl())  # the way to a broker knows no proxy
    return "" if is_direct else proxy_for(host) or ""


def look_at_proxy(patient: Patient) -> Findings:
    """Tell by which proxy each server is reached."""
    hosts = {parts.hostname or "": _proxy_of(parts) for parts in _targets(patient)}
    for host, proxy in hosts.items():
        if proxy:
            yield say("proxy", host, host=host, proxy=without_login(proxy))
    if not any(hosts.values()):
        yield say("no proxy")


def look_up_names(patient: Patient) -> Findings:
    """Look each name up."""
    for host in dict.fromkeys(host for host, _ in _peers(patient)):
        try:
            found = _bounded(patient, partial(socket.getaddrinfo, host, None))
        except (OSError, UnicodeError) as error:
            yield say("name lost", host, host=host, error=_why(error))
        else:
            addresses = dict.fromkeys(str(one[4][0]) for one in found)
            yield say("name found", host, host=host, addresses=some_of(list(addresses)))


def look_at_ports(patient: Patient) -> Findings:
    """Connect to each server, or its proxy."""
    for host, port in _peers(patient):
        name, began = f"{host}:{port}", feed_clock()
        ends_at = began + patient.left(_STEP)
        call = Call(ends_at, _STEP, ends_at, ends_at)
        try:
            with call:
                _bounded(patient, partial(dial, host, port, None)).close()
        except OSError as error:
            yield say("port shut", name, host=name, error=_why(error))
        else:
            yield say("port open", name, host=name, milliseconds=(feed_clock() - began) * 1000)


def look_at_certificates(patient: Patient) -> Findings:
    """Look who vouches for each server."""
    plain_hosts: dict[str, None] = {}
    for parts in _targets(patient):
        host = parts.hostname or ""
        if parts.scheme in ("http", "ws", "redis"):
            plain_hosts[host] = None
            continue
        place = f"[{host}]" if ":" in host else host
        tls = urllib.parse.urlsplit(f"wss://{place}:{_port_of(parts)}")
        try:
            sock = _bounded(patient, partial(open_socket, tls, patient.left(_STEP)))
        except (OSError, KrakenError) as error:
            named = [f"{n}={os.environ[n]}" for n in _TRUST if os.environ.get(n)]
            trust = f"; whom to trust says {', '.join(named)}" if named else ""
            why = getattr(error, "verify_message", "") or _why(error)
            yield say("tls bad", host, host=host, error=why, variables=trust)
            continue
        with sock:
            told = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
        until = ssl.cert_time_to_seconds(str((told or {})["notAfter"]))
        yield say("tls good", host, host=host, until=moment_of(until))
    for host in plain_hosts:
        yield say("tls unused", host, host=host)


def _bounded(patient: Patient, work: Callable[[], Found]) -> Found:
    """Return what `work` returns, or raise TimeoutError: a look-up cannot be told how long."""
    done: list[Found] = []

    def undo() -> None:
        for late in done:
            if isinstance(late, socket.socket):
                late.close()

    by_thread(lambda: done.append(work()), undo, feed_clock() + patient.left(_STEP))
    return done[0]


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def look_at_clock(patient: Patient) -> Findings:
    """Ask REST what time it is."""
    said: list[str] = []
    clock = KrakenClock(time.time, feed_clock, lambda level, text, **_: said.append(text))
    try:
        clock.measure(patient.exchange().server_time)
    except KrakenError as error:
        yield say("rest silent", error=error)
        return
    for text in said:
        yield say("clock wrong", what=text)
    if not said:
        seconds = max(1, round(abs(clock.now() - time.time())))
        yield say("clock right", seconds=seconds)


def look_at_engine(patient: Patient) -> Findings:
    """Ask whether Kraken takes orders at all."""
    status = str(patient.exchange().system_status().get("status", ""))
    yield say("engine online") if status == "online" else say("engine", system=status)


# --- the stream --------------------------------------------------------------------------------


class StreamLook:
    """The stream, opened for as long as the doctor looks at it, by a provider of its own."""

    def __init__(self) -> None:
        self._provider: WebSocketPriceProvider | None = None
        self._is_closed = False

    def look_at_link(self, patient: Patient) -> Findings:
        """Open the stream."""
        url = patient.exchange().ws_url
        if not patient.use_websocket:
            yield say("stream unwanted", why="--no-websocket says")
        elif not WEBSOCKET_AVAILABLE:
            cure = "pip install websocket-client msgspec"
            yield say("stream impossible", why="a library is missing", cure=cure)
        elif url is None:
            why = "the stream of this exchange is not known"
            yield say("stream impossible", why=why, cure="Set KRAKEN_WS_PUBLIC_URL")
        else:
            yield from self._opened(WebSocketPriceProvider(url), patient)

    def _opened(self, provider: WebSocketPriceProvider, patient: Patient) -> Findings:
        self._provider = provider
        began, why = feed_clock(), "no answer"
        reader = provider.open_feed()
        provider.connect()
        ends_at = began + patient.left(_HANDSHAKE)
        while (left := ends_at - feed_clock()) > 0:
            event = reader.get(left)
            if isinstance(event, FeedLive):
                yield say("stream open", milliseconds=(feed_clock() - began) * 1000)
                return
            if isinstance(event, FeedStale):
                why = event.reason
                break  # another try would only come later
        provider.stop()
        self._provider = None
        yield say("stream shut", why=why)

    def look_at_prices(self, patient: Patient) -> Findings:
        """Wait for a proven price of every pair; ask REST for those that have none."""
        try:
            yield from self._prices(patient)
        finally:
            if self._is_closed:  # meanwhile, and a question has opened it again
                self.close()

    def _prices(self, patient: Patient) -> Findings:
        pairs = list(dict.fromkeys(rule.pair for rule in patient.rules()))
        if not pairs:
            yield say("nothing", why="there is no row with a pair")
            return
        symbols = _symbols_of(patient, pairs)
        for wanted in filter(None, symbols.values()):
            if (provider := self._open()) is not None:
                provider.subscribe_symbol(wanted)
        ends_at = feed_clock() + max(0.0, patient.left(_FIRST_PRICE + _RESERVE) - _RESERVE)
        missing: dict[str, str] = {}
        for pair, symbol in symbols.items():
            proven = self._proven(symbol, ends_at - feed_clock())
            if proven is None:
                missing[pair] = self._reason(symbol)
            else:
                price, seconds = proven
                yield say("price streams", pair, pair=pair, price=readable(price), seconds=seconds)
        yield from _polled(patient, missing)

    def _open(self) -> WebSocketPriceProvider | None:
        # A question would open it again, and time is up.
        return None if self._is_closed else self._provider

    def _proven(self, symbol: str | None, patience: float) -> tuple[Decimal, float] | None:
        provider = self._open()
        if provider is None or symbol is None:
            return None
        provider.wait_for_tick(symbol, max(0.0, patience))
        found = provider.proven(symbol)
        return None if found is None else (found[0].price, found[1])

    def _reason(self, symbol: str | None) -> str:
        if self._provider is None:
            return "the stream is not open"
        if symbol is None:
            return "it has no stream"
        health = next(
            (one for one in self._provider.health().symbols if one.symbol == symbol), None
        )
        if health is not None and health.error:
            return f"the stream refuses it ({health.error})"
        return "the stream brought none"

    def close(self) -> None:
        """Close the stream, if it is open, for good. Any thread."""
        self._is_closed = True
        if self._provider is not None:
            self._provider.stop()


def _symbols_of(patient: Patient, pairs: list[str]) -> dict[str, str | None]:
    """Return the stream's name of each pair, by Kraken's list as long as that can be asked for."""
    symbols: dict[str, str | None] = {}
    is_silent = False
    for pair in pairs:
        symbols[pair] = symbol_offline(pair)
        if not is_silent:
            try:
                symbols[pair] = patient.exchange().resolve_pair(pair).symbol
            except KrakenError:
                is_silent = True  # each question would take its time again
            except LookupError:
                continue  # the stream says so, too
    return symbols


def look_at_account_stream(patient: Patient) -> Findings:
    """Connect to the server that tells of fills at once; without it orders are looked at later."""
    url = patient.exchange().ws_auth_url
    if url is None or not patient.use_websocket:
        why = (
            "--no-websocket says" if not patient.use_websocket else "no KRAKEN_WS_AUTH_URL is known"
        )
        yield say("account polled", why=why)
        return
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        open_socket(urllib.parse.urlsplit(url), patient.left(_STEP)).close()
    except (OSError, KrakenError) as error:
        yield say("account unreachable", host, host=host, error=_why(error))
    else:
        yield say("account reachable", host, host=host)


def _polled(patient: Patient, missing: dict[str, str]) -> Findings:
    """Ask REST for the pairs that have no streamed price, and tell of each."""
    if not missing:
        return
    found: dict[str, Quote | Exception]
    try:
        found = patient.exchange().get_tickers(missing)
    except KrakenError as error:
        found = dict.fromkeys(missing, error)
    for pair, why in missing.items():
        quote = found.get(pair)
        if isinstance(quote, Quote):
            yield say("price polled", pair, pair=pair, price=readable(quote.price), why=why)
        else:
            yield say("price missing", pair, pair=pair, why=f"{why}; {quote}")


# --- notifications -----------------------------------------------------------------------------


def look_at_addresses(patient: Patient) -> Findings:
    """Read each address that is to be told, and load what tells it."""
    try:
        addresses = _addresses(patient)
        ping = patient.ping or next(settings_of("TTSLO_PING", patient.env_file), "").strip()
        if ping:
            check_ping(ping)
            yield say("ping good")
    except ValueError as error:
        yield say("address bad", error=error)
        return
    for address in addresses:
        try:
            Plugin(address)
        except NotifyUnavailable as error:
            yield say("address bad", address.name, error=error)
        else:
            yield say("address good", address.name, name=address.name, level=address.level)
    if not (addresses or ping):
        yield say("nobody told")


def _addresses(patient: Patient) -> list[Address]:
    return read_addresses([*patient.notify, *settings_of("TTSLO_NOTIFY", patient.env_file)])


def send_tests(patient: Patient) -> Findings:
    """Send a message to each address, where that is wanted."""
    addresses = _addresses(patient)
    if not (patient.is_sending and addresses):
        yield say("test left") if addresses else say("nobody told")
        return
    for number, address in enumerate(addresses):
        share = max(0.0, patient.left() - _RESERVE) / (len(addresses) - number)
        try:
            why = send_test(address, timeout=share)
        except NotifyUnavailable as error:
            why = str(error)
        if why:
            yield say("test failed", address.name, name=address.name, why=why)
        else:
            yield say("test sent", address.name, name=address.name)
