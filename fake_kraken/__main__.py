"""`python -m fake_kraken`: serve the embedded exchange until Ctrl-C, and let prices move on it."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from queue import Empty, SimpleQueue
from typing import Any

from fake_kraken.exchange import FakeKraken
from fake_kraken.faults import Fault
from fake_kraken.params import Refusal
from fake_kraken.replay import price_in, random_path, read_replay, rows_of

# Pause before it in seconds, pair, prices, and their date in seconds since 1970.
_Step = tuple[float, str, Sequence[Decimal], float | None]


_NUMBERS: dict[str, Callable[[str], Any]] = {
    "calls": int,
    "count": int,
    "seconds": float,
    "status": int,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fake_kraken", description="Serve a stand-in for Kraken's spot exchange on loopback."
    )
    add = parser.add_argument
    add("--port", type=_port, default=8080, help="0 picks a free one (default: %(default)s)")
    add("--key", help="the API key to accept (default: a made-up one)")
    add("--secret", help="its secret, base64")
    add("--pair", default="XXBTZUSD", help="the pair whose price moves (default: %(default)s)")
    add("--seed", type=int, default=1, help="of the random path of prices")
    add("--replay", metavar="FILE", help="play rows of timestamp,open,high,low,close,volume")
    add("--script", metavar="FILE", help="play rows of seconds,pair,price")
    add("--speed", type=_speed, default=1.0, help="steps a second: ticks, or minutes of a replay")
    add(
        "--fault",
        action="append",
        default=[],
        type=_fault,
        metavar="NAME[,OPTION=VALUE...]",
        help="switch a fault on, such as dripping_reply,endpoint=AddOrder,seconds=5",
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; give 0 to 65535")
    return port


def _fault(text: str) -> dict[str, Any]:
    """Return the options of a fault, its name among them."""
    name, *pairs = text.split(",")
    options: dict[str, Any] = {"name": name}
    for pair in pairs:
        option, is_given, value = pair.partition("=")
        if not is_given:
            raise argparse.ArgumentTypeError(f"{pair!r} says nothing; write OPTION=VALUE")
        options[option] = _NUMBERS.get(option, str)(value)
    try:
        Fault(**options)
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return options


def _speed(text: str) -> float:
    speed = float(text)
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no speed; give a positive number")
    return speed


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; 1 if that cannot begin."""
    options = _parser().parse_args(argv)
    try:
        exchange = FakeKraken(key=options.key, secret=options.secret, port=options.port)
        steps = _path(exchange, options)
        exchange.start()
    except Refusal as refusal:
        print(f"Cannot run: {refusal}; name one of Kraken's pairs", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"Cannot run: {error}", file=sys.stderr)
        return 1
    for fault in options.fault:
        exchange.fault(**fault)
    # Not an event: a handler that interrupts somebody who waits for one may wait for its lock.
    ended: SimpleQueue[None] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # else whoever started it wants it so
            signal.signal(number, lambda *_: ended.put(None))
    print("\n".join(_introduction(exchange)), flush=True)
    _play(exchange, steps, ended)
    exchange.stop()
    return 0


def _introduction(exchange: FakeKraken) -> Iterator[str]:
    """Yield where it is and its keys, then the same as lines to be pasted into a shell."""
    yield f"REST      {exchange.rest_url}"
    yield f"stream    {exchange.ws_url}"
    yield f"account   {exchange.ws_auth_url}"
    yield f"key       {exchange.api_key}"
    yield f"secret    {exchange.api_secret}"
    variables = {
        "KRAKEN_SPOT_URL": exchange.rest_url,
        "KRAKEN_WS_PUBLIC_URL": exchange.ws_url,
        "KRAKEN_WS_AUTH_URL": exchange.ws_auth_url,
        "KRAKEN_API_KEY": exchange.api_key,
        "KRAKEN_API_SECRET": exchange.api_secret,
        "KRAKEN_API_KEY_RW": exchange.api_key,
        "KRAKEN_API_SECRET_RW": exchange.api_secret,
    }
    yield "For ttslo on this exchange, paste into its shell:"
    yield from (f"export {name}={shlex.quote(value)}" for name, value in variables.items())
    yield "or on Windows, into PowerShell:"
    yield from (f"$env:{name} = '{value}'" for name, value in variables.items())


def _path(exchange: FakeKraken, options: argparse.Namespace) -> Iterable[_Step]:
    """Return what is played.

    Files are read whole: what is wrong in them is said now and not in the middle.
    """
    exchange.price_of(options.pair)
    pause = 1 / options.speed
    if options.replay:
        return [
            (pause, options.pair, minute.prices, minute.at.timestamp())
            for minute in read_replay(options.replay)
        ]
    if options.script:
        return list(_script_steps(exchange, options.script, pause))
    prices = random_path(*exchange.price_and_tick(options.pair), options.seed)
    return ((pause, options.pair, [price], None) for price in prices)


def _script_steps(exchange: FakeKraken, path: str, pause: float) -> Iterator[_Step]:
    before = Decimal(0)
    for place, row in rows_of(path, ("seconds", "pair", "price")):
        pair = row["pair"].strip()
        try:
            seconds = Decimal(row["seconds"].strip())
            exchange.price_of(pair)
        except InvalidOperation:
            seconds = Decimal("NaN")
        except Refusal:
            raise ValueError(f"{place}, pair: {pair!r} is unknown; write XXBTZUSD") from None
        if not seconds.is_finite() or seconds < before:
            cure = "write how many seconds after the start, in order"
            raise ValueError(f"{place}, seconds: {row['seconds']!r} is no moment; {cure}")
        yield float(seconds - before) * pause, pair, [price_in(row, "price", place)], None
        before = seconds


def _play(exchange: FakeKraken, steps: Iterable[_Step], ended: SimpleQueue[None]) -> None:
    for pause, pair, prices, at in steps:
        if _has_ended(ended, pause):
            return
        exchange.set_prices(pair, prices, at=at)
    while not _has_ended(ended, 0.5):  # in slices: Windows delivers Ctrl-C between them
        pass


def _has_ended(ended: SimpleQueue[None], seconds: float) -> bool:
    """Tell whether the end is wished for, waiting for so many seconds."""
    with suppress(Empty):
        ended.get(timeout=seconds)
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
