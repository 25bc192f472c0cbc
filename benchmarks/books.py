"""Book updates with their checksum: how many a second one core takes, beside other clients.

Each client is a process of its own and gets the same recorded frames, as text, one after another,
through whatever it calls for a frame that has come; the socket is left out, since it is the same
for all. Counted is processor time. Afterwards each is asked for its best prices, which must be
those of the exchange, and is given a change with a wrong checksum.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from common import Child, Figure, is_quick, median_ratio, print_figures

DEPTH, MARKETS = 10, 20
AT = "2026-11-20T10:15:42.123456Z"
# Kraken at work, as far as it is known: some 1.3 million trades a day over all pairs, a ticker
# frame for each, and 139 book frames for a ticker frame, as one field study counted. A peak is ten
# times the mean.
TRADES_A_DAY, BOOK_FRAMES_A_TICKER, PEAK = 1_300_000, 139, 10


def record(count: int) -> list[str]:
    """Return frames of some markets: a snapshot each, then changes of one level or two."""
    from fake_kraken.books import BookTeller, book_of
    from fake_kraken.faults import Faults
    from fake_kraken.market import Listing, default_pairs

    rows, prices = default_pairs()
    chance = random.Random(1)  # noqa: S311 - the same frames in each run
    keys = [key for key, row in rows.items() if "wsname" in row and row["pair_decimals"] == 2]
    tellers, listings, frames = [], [], []
    for key in keys[:MARKETS]:
        listing = Listing(key, rows[key], prices[key], str(rows[key]["wsname"]))
        bids, asks = book_of(listing, 3 * DEPTH)
        listing.book = dict(bids), dict(asks)
        listings.append(listing)
        tellers.append(BookTeller(listing, DEPTH, Faults()))
        frames.append(tellers[-1].snapshot(AT))
    while len(frames) < count:
        which = chance.randrange(len(listings))
        book = listings[which].book
        assert book is not None
        for _ in range(chance.choice((1, 1, 1, 2))):
            side = chance.choice(book)
            price = chance.choice(list(side)[:DEPTH])
            side[price] = Decimal(chance.randrange(1, 10**10)).scaleb(-8)
        frames += tellers[which].updates(AT)
    return frames


def run_ours(frames: list[str]) -> tuple[float, bool, bool]:
    """Ours: text to a book that Kraken's sum has confirmed, ready to be read."""
    from krakenlink.pairs import Symbol
    from krakenlink.stream.events import BookWrong, Channel
    from krakenlink.stream.feed import FeedProtocol
    from krakenlink.stream.frames import read_frame
    from krakenlink.stream.settings import FeedSettings

    feed = FeedProtocol(FeedSettings())
    symbols = sorted({json.loads(frame)["data"][0]["symbol"] for frame in frames})
    for symbol in symbols:
        feed.subscriptions.want(Symbol(symbol), Channel.BOOK, DEPTH)
    feed.link.attempt(0.0)
    feed.opened(0.0)
    feed.due(0.0)
    for symbol in symbols:
        result = {"channel": "book", "symbol": symbol}
        answer = {"method": "subscribe", "req_id": 1, "success": True, "result": result}
        for message in read_frame(json.dumps(answer), 0.0):
            feed.receive(message, 0.0)

    def take(frame: str) -> list[Any]:
        return [e for message in read_frame(frame, 1.0) for e in feed.receive(message, 1.0)]

    rate = timed(take, frames)
    sub = feed.subscriptions.by_key[Channel.BOOK, Symbol(last_symbol(frames))]
    shown = sub.content.texts(1)
    is_right = is_truth(frames, float(shown.bids[0].qty), float(shown.asks[0].qty))
    return rate, is_right, any(isinstance(event, BookWrong) for event in take(wrong(frames)))


def run_ccxt(frames: list[str]) -> tuple[float, bool, bool]:
    """ccxt.pro's handler of a message, after `json.loads` as it does; it checks no sum."""
    import ccxt.pro  # type: ignore[import-untyped]

    class Connection:
        def __init__(self) -> None:
            self.url, self.subscriptions = "", dict[str, Any]()

        def resolve(self, *_: object) -> None:
            """Nobody waits."""

        def reject(self, *_: object) -> None:
            raise ValueError("its checksum is wrong")

    async def measure() -> tuple[float, bool, bool]:
        client, connection = ccxt.pro.kraken(), Connection()

        def take(frame: str) -> None:
            client.handle_order_book(connection, json.loads(frame))

        rate = timed(take, frames)
        book = client.orderbooks[last_symbol(frames)]
        is_right = is_truth(frames, book["bids"][0][1], book["asks"][0][1])
        try:
            take(wrong(frames))
        except ValueError:
            return rate, is_right, True
        finally:
            await client.close()
        return rate, is_right, False

    return asyncio.run(measure())


def run_sdk(frames: list[str]) -> tuple[float, bool, bool]:
    """python-kraken-sdk's book client, which sums up each change; AssetPairs is told beforehand."""
    from kraken.spot import SpotOrderBookClient

    from fake_kraken.market import default_pairs

    rows = {str(row.get("wsname")): row for row in default_pairs()[0].values()}

    class Pairs:
        def get_asset_pairs(self, pair: str) -> dict[str, Any]:
            """Answer from what is known."""
            return {pair: rows[pair]}

    async def measure() -> tuple[float, bool, bool]:
        async def nothing(*_: object, **__: object) -> None:
            """Hear of an update; or, after a wrong sum, ask Kraken for nothing."""

        client: Any = SpotOrderBookClient(depth=DEPTH, callback=nothing)
        client._SpotOrderBookClient__market = Pairs()

        async def all_of(texts: list[str]) -> None:
            for text in texts:
                await client.on_message(json.loads(text))

        started = time.process_time()
        await all_of(frames)
        rate = len(frames) / (time.process_time() - started)
        book = client.get(pair=last_symbol(frames))
        best = [next(iter(book[side].values()))[0] for side in ("bid", "ask")]
        is_right = is_truth(frames, *map(float, best))

        client.remove_book = client.add_book = nothing
        task = asyncio.ensure_future(client.on_message(json.loads(wrong(frames))))
        await asyncio.sleep(0.1)
        task.cancel()
        return rate, is_right, not client.get(pair=last_symbol(frames))["valid"]

    return asyncio.run(measure())


def timed(take: Callable[[str], object], frames: list[str]) -> float:
    """Return how many frames a second of processor time are taken in."""
    started = time.process_time()
    for frame in frames:
        take(frame)
    return len(frames) / (time.process_time() - started)


def last_symbol(frames: list[str]) -> str:
    """Return the market of the last frame."""
    return str(json.loads(frames[-1])["data"][0]["symbol"])


def wrong(frames: list[str]) -> str:
    """Return the last change once more, with another sum."""
    frame = json.loads(frames[-1])
    frame["data"][0]["checksum"] ^= 1
    return json.dumps(frame)


def is_truth(frames: list[str], bid_qty: float, ask_qty: float) -> bool:
    """Tell whether these are what stands at the best prices of the last frame's market."""
    symbol, best = last_symbol(frames), {}
    for text in frames:
        (row,) = json.loads(text)["data"]
        if row["symbol"] == symbol:
            for side in ("bids", "asks"):
                best.update({(side, level["price"]): level["qty"] for level in row[side]})
    bids = {price: qty for (side, price), qty in best.items() if side == "bids" and qty}
    asks = {price: qty for (side, price), qty in best.items() if side == "asks" and qty}
    return (bids[max(bids)], asks[min(asks)]) == (bid_qty, ask_qty)


RUNS = {"ours": run_ours, "ccxt.pro": run_ccxt, "python-kraken-sdk": run_sdk}


def main() -> None:
    """Measure all of them, one after the other, several times."""
    rounds, count = (3, 4_000) if is_quick() else (7, 20_000)
    found: dict[str, list[tuple[float, bool, bool]]] = {name: [] for name in RUNS}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frames.json"
        file.write_text(json.dumps(record(count)), encoding="utf-8")
        for _ in range(rounds):
            for name in RUNS:
                child = Child("books.py", name, file)
                found[name].append(tuple(child.read()))
                child.end()
    print_figures([updates(found), load(found)])


def updates(found: dict[str, list[tuple[float, bool, bool]]]) -> Figure:
    """Return the figure of the updates."""
    rates = {name: [rate for rate, *_ in runs] for name, runs in found.items()}
    middle = {name: statistics.median(some) for name, some in rates.items()}
    ratios = {name: median_ratio(rates["ours"], rates[name]) for name in rates if name != "ours"}

    def told(name: str) -> str:
        is_right = all(right for _, right, _ in found[name])
        sees = all(seen for *_, seen in found[name])
        return f"{'right' if is_right else 'WRONG'}, a wrong sum {'seen' if sees else 'not seen'}"

    beside = "; ".join(
        f"{name} {middle[name]:,.0f} ({ratio:.1f} x; {told(name)})"
        for name, ratio in ratios.items()
    )
    return Figure(
        name=f"book updates a second with checksum, depth {DEPTH}, one core",
        value=f"{middle['ours']:,.0f} ({told('ours')})",
        beside=beside,
        goal="2 x the faster of both",
        is_reached=min(ratios.values()) >= 2,
        floor="",
        limit="Exact numbers of the levels that changed, their places in a sorted side, and the "
        "sum of four hundred digits. ccxt.pro sums nothing up: its own check fails on any "
        "number where it is switched on.",
    )


def load(found: dict[str, list[tuple[float, bool, bool]]]) -> Figure:
    """Return what all pairs would take, by the rates that are assumed."""
    frames = TRADES_A_DAY / 86_400 * (2 + BOOK_FRAMES_A_TICKER)
    share = frames / statistics.median(rate for rate, *_ in found["ours"])
    return Figure(
        name="processor for all 1,500 pairs on ticker, trade and book 10, worked out",
        value=f"{share:.0%} of a core at {frames:,.0f} frames a second, "
        f"{PEAK * share:.0%} at {PEAK} times that",
        beside="",
        goal="one core, at the peak too",
        is_reached=PEAK * share <= 1,
        floor="",
        limit=f"Assumed: {TRADES_A_DAY:,} trades a day over all pairs, a ticker frame and a trade "
        f"frame for each, {BOOK_FRAMES_A_TICKER} book frames for a ticker frame as one field study "
        "counted, each as dear as a book update above; the socket is not in it. Nothing of it was "
        "measured at Kraken.",
    )


if __name__ == "__main__":
    if len(sys.argv) > 2:
        recorded = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
        print(json.dumps(RUNS[sys.argv[1]](recorded)), flush=True)
    else:
        main()
