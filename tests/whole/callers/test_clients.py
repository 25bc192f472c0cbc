"""Other people's clients run against the embedded exchange unchanged.

Only addresses are given to them, by the options that they document for it.
"""

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import ccxt  # type: ignore[import-untyped]  # it has no stubs
import ccxt.pro  # type: ignore[import-untyped]
import pytest
from kraken.exceptions import KrakenInvalidAPIKeyError
from kraken.spot import Market, SpotOrderBookClient, SpotWSClient, Trade, User

from fake_kraken import FakeKraken

LONG = 60.0  # seconds that nothing here takes, unless it is broken


def options(exchange: FakeKraken) -> dict[str, Any]:
    """Return what ccxt is given: keys, and other `urls`."""
    # Left to itself it waits a second before each call; Kraken's limits are not what is tested.
    rest = {"public": exchange.rest_url, "private": exchange.rest_url}
    prices, account = exchange.ws_url, exchange.ws_auth_url
    stream = {
        "ws": {"public": prices, "publicV2": prices, "private": account, "privateV2": account}
    }
    keys = {"apiKey": exchange.api_key, "secret": exchange.api_secret}
    return {**keys, "enableRateLimit": False, "urls": {"api": {**rest, **stream}}}


@pytest.fixture
def shop(exchange: FakeKraken) -> Iterator[Any]:
    """Hand out ccxt's synchronous client."""
    made = ccxt.kraken(options(exchange))
    yield made
    made.session.close()


# ------------------------------------------------------------------------------------------ ccxt


def test_ccxt_reads_markets_and_prices(exchange: FakeKraken, shop: Any) -> None:
    """Every pair has its modern name, its status and its steps."""
    exchange.set_price("XBTUSD", "50123.4")
    markets = shop.load_markets()
    assert markets["BTC/USD"]["id"] == "XXBTZUSD"
    assert markets["DOGE/BTC"]["id"] == "XXDGXXBT"
    assert (markets["BTC/USD"]["active"], markets["BTC/USD"]["precision"]["price"]) == (True, 0.1)
    assert shop.fetch_ticker("BTC/USD")["last"] == 50123.4
    assert shop.fetch_tickers(["ETH/USD"])["ETH/USD"]["last"] == 4000.0
    assert shop.fetch_trades("BTC/USD")[0]["price"] == 50123.4
    assert shop.fetch_ohlcv("BTC/USD")[0][4] == 50123.4
    assert shop.fetch_status()["status"] == "ok"


def test_ccxt_trails_a_stop(exchange: FakeKraken, shop: Any) -> None:
    """Its own parameters for a trailing stop make one, that is seen open, moving and cancelled."""
    order = shop.create_order("BTC/USD", "market", "sell", 0.5, None, {"trailingPercent": 5})
    assert exchange.requests[-1].params["price"] == "+5%"
    exchange.set_price("XBTUSD", 60000)
    (seen,) = shop.fetch_open_orders("BTC/USD")
    assert (seen["id"], seen["amount"], seen["status"]) == (order["id"], 0.5, "open")
    assert seen["info"]["stopprice"] == "57000.00000"
    assert shop.fetch_balance()["BTC"] == {"free": 99.5, "used": 0.5, "total": 100.0}
    shop.cancel_order(order["id"], "BTC/USD")
    (gone,) = shop.fetch_closed_orders("BTC/USD")
    assert (gone["id"], gone["status"]) == (order["id"], "canceled")


def test_ccxt_sees_a_stop_filled(exchange: FakeKraken, shop: Any) -> None:
    """Price, volume and cost of the fill are read from the closed order."""
    order = shop.create_order("BTC/USD", "market", "sell", 0.5, None, {"trailingAmount": 1000})
    exchange.set_price("XBTUSD", 49000)
    seen = shop.fetch_order(order["id"], "BTC/USD")
    assert (seen["status"], seen["filled"], seen["average"]) == ("closed", 0.5, 49000.0)
    assert (seen["cost"], seen["remaining"]) == (24500.0, 0.0)


def test_ccxt_knows_the_errors(exchange: FakeKraken, shop: Any) -> None:
    """Refusals become its own errors, by their text."""
    shop.load_markets()
    with pytest.raises(ccxt.InsufficientFunds):
        shop.create_order("BTC/USD", "market", "sell", 1000, None, {"trailingPercent": 5})
    with pytest.raises(ccxt.OrderNotFound):
        shop.cancel_order("OAAAAA-AAAAA-AAAAAA")
    exchange.fault("nonce_refused", count=1)
    with pytest.raises(ccxt.InvalidNonce):
        shop.fetch_balance()
    shop.apiKey = "?"
    with pytest.raises(ccxt.AuthenticationError):
        shop.fetch_balance()


def test_ccxt_pro_watches_a_price(exchange: FakeKraken) -> None:
    """Its stream gets the snapshot, and then each price."""

    async def watch() -> list[float]:
        client = ccxt.pro.kraken(options(exchange))
        try:
            first = await asyncio.wait_for(client.watch_ticker("BTC/USD"), LONG)
            following = asyncio.ensure_future(client.watch_ticker("BTC/USD"))
            await asyncio.to_thread(exchange.set_price, "XBTUSD", 51000)
            second = await asyncio.wait_for(following, LONG)
        finally:
            await client.close()
        return [first["last"], second["last"]]

    assert asyncio.run(watch()) == [50000.0, 51000.0]


def test_ccxt_pro_watches_a_book_whose_sums_are_right(exchange: FakeKraken) -> None:
    """Its levels, written as its market has them and summed up by its own code.

    Its own check is switched off as it comes, and fails on any number where it is switched on.
    """
    checked: list[bool] = []

    class Watcher(ccxt.pro.kraken):  # type: ignore[misc]  # it has no types
        def handle_order_book(self, client: Any, message: dict[str, Any]) -> None:
            super().handle_order_book(client, message)
            (row,) = message["data"]
            book = self.orderbooks[row["symbol"]]
            levels = [*book["asks"][:10], *book["bids"][:10]]
            text = "".join(
                self.format_number(f"{price:.1f}") + self.format_number(f"{qty:.8f}")
                for price, qty in levels
            )
            checked.append(self.crc32(text, False) == row["checksum"])

    async def watch() -> list[Any]:
        client = Watcher(options(exchange))
        try:
            book = await asyncio.wait_for(client.watch_order_book("BTC/USD"), LONG)
            seen = [(book["bids"][0][0], book["asks"][0][0])]
            for price in ("50000.4", "50002.6"):
                following = asyncio.ensure_future(client.watch_order_book("BTC/USD"))
                await asyncio.to_thread(exchange.set_price, "XBTUSD", price)
                book = await asyncio.wait_for(following, LONG)
                seen.append((book["bids"][0][0], book["asks"][0][0]))
        finally:
            await client.close()
        return seen

    assert asyncio.run(watch()) == [(49999.9, 50000.1), (50000.3, 50000.5), (50002.5, 50002.7)]
    assert checked == [True] * 3


def test_ccxt_pro_watches_candles(exchange: FakeKraken) -> None:
    """The present one moves with each trade."""

    async def watch() -> list[float]:
        client = ccxt.pro.kraken(options(exchange))
        try:
            exchange.set_price("XBTUSD", 50000)
            watched = await asyncio.wait_for(client.watch_ohlcv("BTC/USD", "1d"), LONG)
            first = watched[-1][4]  # the list goes on changing
            following = asyncio.ensure_future(client.watch_ohlcv("BTC/USD", "1d"))
            await asyncio.to_thread(exchange.set_price, "XBTUSD", 51000)
            second = await asyncio.wait_for(following, LONG)
        finally:
            await client.close()
        return [first, second[-1][4], second[-1][2]]

    assert asyncio.run(watch()) == [50000.0, 51000.0, 51000.0]


def test_ccxt_pro_watches_its_orders(exchange: FakeKraken, shop: Any) -> None:
    """With a token of its own it gets what is open, each move, and what becomes of it."""
    order = shop.create_order("BTC/USD", "market", "sell", 0.5, None, {"trailingPercent": 5})

    async def watch() -> list[tuple[Any, ...]]:
        client = ccxt.pro.kraken(options(exchange))

        async def following(change: Any, *args: object) -> tuple[Any, ...]:
            waiting = asyncio.ensure_future(client.watch_orders())
            await asyncio.sleep(0)  # it listens before anything happens
            await asyncio.to_thread(change, *args)
            (seen,) = await asyncio.wait_for(waiting, LONG)
            return seen["id"], seen["status"], seen["info"]

        try:
            (first,) = await asyncio.wait_for(client.watch_orders(), LONG)
            moved = await following(exchange.set_price, "XBTUSD", 60000)
            ended = await following(exchange.cancel_order, order["id"])
        finally:
            await client.close()
        return [(first["id"], first["status"], first["info"]), moved, ended]

    seen = asyncio.run(watch())
    assert [(txid, status) for txid, status, _ in seen] == [
        (order["id"], "open"),
        (order["id"], "open"),
        (order["id"], "canceled"),
    ]
    stops = [info["triggers"]["actual_price"] for _, _, info in seen[:2]]
    assert stops == [47500.0, 57000.0]
    assert exchange.count("GetWebSocketsToken") == 1


def test_ccxt_pro_watches_its_fills(exchange: FakeKraken, shop: Any) -> None:
    """Those of before, and each new one."""
    order = shop.create_order("BTC/USD", "market", "sell", 0.5, None, {"trailingPercent": 5})
    exchange.fill_order(order["id"], "0.5")

    async def watch() -> list[float]:
        client = ccxt.pro.kraken(options(exchange))
        try:
            (first,) = await asyncio.wait_for(client.watch_my_trades(), LONG)
            following = asyncio.ensure_future(client.watch_my_trades())
            await asyncio.sleep(0)
            await asyncio.to_thread(exchange.set_price, "XBTUSD", 40000)
            (second,) = await asyncio.wait_for(following, LONG)
        finally:
            await client.close()
        return [first["amount"], first["price"], second["amount"], second["price"]]

    assert asyncio.run(watch()) == [0.25, 50000.0, 0.25, 40000.0]


# ----------------------------------------------------------------------------- python-kraken-sdk


def test_sdk_reads_markets_and_prices(exchange: FakeKraken) -> None:
    """Answers come under the keys that it looks for."""
    exchange.set_price("XBTUSD", "50123.4")
    market = Market(url=exchange.rest_url)
    assert market.get_ticker(pair="XBTUSD")["XXBTZUSD"]["c"][0] == "50123.4"
    assert market.get_asset_pairs(pair=["BTC/USD"])["BTC/USD"]["wsname"] == "XBT/USD"
    assert market.get_assets(assets="XBT")["XXBT"]["altname"] == "XBT"
    assert market.get_ohlc(pair="XBTUSD")["XXBTZUSD"][0][4] == "50123.4"
    assert market.get_recent_trades(pair="XBTUSD")["XXBTZUSD"][0][0] == "50123.4"
    assert market.get_system_status()["status"] == "online"


def test_sdk_trails_a_stop(exchange: FakeKraken) -> None:
    """Signed calls place, show and cancel an order."""
    keys = {"key": exchange.api_key, "secret": exchange.api_secret, "url": exchange.rest_url}
    trade, user = Trade(**keys), User(**keys)
    placed = trade.create_order(
        ordertype="trailing-stop", side="sell", volume="0.5", pair="XBTUSD", price="+5%"
    )
    (txid,) = placed["txid"]
    assert user.get_open_orders()["open"][txid]["stopprice"] == "47500.00000"
    assert user.get_orders_info(txid=txid)[txid]["status"] == "open"
    assert user.get_account_balance()["XXBT"] == "100.0000000000"
    assert trade.cancel_order(txid=txid) == {"count": 1}
    assert user.get_closed_orders()["closed"][txid]["status"] == "canceled"


def test_sdk_knows_the_errors(exchange: FakeKraken) -> None:
    """A refusal becomes its own error, by its text."""
    user = User(key="?", secret=exchange.api_secret, url=exchange.rest_url)
    with pytest.raises(KrakenInvalidAPIKeyError):
        user.get_account_balance()


def test_sdk_follows_the_stream() -> None:
    """Its WebSocket v2 client subscribes, gets the snapshot, and then each price."""
    random.seed(1)  # by its chance it waits 1 s before it connects, and else 2 s
    last: list[float] = []

    async def follow(exchange: FakeKraken) -> None:
        news = asyncio.Event()

        async def hear(message: dict[str, Any]) -> None:
            if message.get("channel") == "ticker":
                last.append(message["data"][0]["last"])
                news.set()

        client = SpotWSClient(
            callback=hear, rest_url=exchange.rest_url, ws_url=exchange.ws_url.removesuffix("/v2")
        )
        await client.start()
        await client.subscribe(params={"channel": "ticker", "symbol": ["BTC/USD"]})
        await asyncio.wait_for(news.wait(), LONG)
        news.clear()
        await asyncio.to_thread(exchange.set_price, "XBTUSD", 51000)
        await asyncio.wait_for(news.wait(), LONG)
        await client.close()

    with FakeKraken(heartbeat_seconds=0.05) as exchange:
        asyncio.run(follow(exchange))
    assert last == [50000.0, 51000.0]


def test_sdk_follows_its_account() -> None:
    """Its private connection brings a token, subscribes, and hears of a fill."""
    random.seed(1)
    heard: list[tuple[str, str]] = []

    async def follow(exchange: FakeKraken) -> None:
        news = asyncio.Event()

        async def hear(message: dict[str, Any]) -> None:
            if message.get("channel") == "executions":
                heard.extend((message["type"], row["exec_type"]) for row in message["data"])
                if not message["data"] or heard[-1][1] in ("new", "filled"):
                    news.set()

        client = SpotWSClient(
            key=exchange.api_key,
            secret=exchange.api_secret,
            callback=hear,
            no_public=True,
            rest_url=exchange.rest_url,
            auth_ws_url=exchange.ws_auth_url.removesuffix("/v2"),
        )
        await client.start()
        await client.subscribe(params={"channel": "executions", "snap_orders": True})
        await asyncio.wait_for(news.wait(), LONG)
        trade = Trade(exchange.api_key, exchange.api_secret, exchange.rest_url)
        for change in (
            lambda: trade.create_order(
                ordertype="trailing-stop", side="sell", volume="0.5", pair="XBTUSD", price="+5%"
            ),
            lambda: exchange.set_price("XBTUSD", 40000),
        ):
            news.clear()
            await asyncio.to_thread(change)
            await asyncio.wait_for(news.wait(), LONG)
        await client.close()

    with FakeKraken(heartbeat_seconds=0.05) as exchange:
        asyncio.run(follow(exchange))
    kinds = ["pending_new", "new", "status", "trade", "filled"]
    assert heard == [("update", kind) for kind in kinds]


def test_sdk_follows_a_book_and_checks_its_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own client of books sums up each change; a wrong sum is seen.

    That client takes no address, so another stands in the place of Kraken's.
    """
    random.seed(1)
    seen: list[tuple[str, bool]] = []

    async def follow(exchange: FakeKraken) -> None:
        news = asyncio.Event()

        class Books(SpotOrderBookClient):
            async def on_book_update(self, pair: str, message: dict[str, Any]) -> None:
                if "error" not in message:
                    book = self.get(pair=pair)
                    assert book is not None
                    best = next(iter(book["ask"]))
                    seen.append((best, book["valid"]))
                news.set()

        monkeypatch.setattr(SpotOrderBookClient, "WS_URL", exchange.ws_url.removesuffix("/v2"))
        monkeypatch.setattr(Market, "URL", exchange.rest_url)
        client = Books(depth=10)
        await client.start()
        await client.add_book(pairs=["BTC/USD"])
        await asyncio.wait_for(news.wait(), LONG)
        for price, fault in (("50000.4", ""), ("50002.6", ""), ("50003.3", "book_wrong_sum")):
            if fault:
                exchange.fault(fault, count=1)
            news.clear()
            await asyncio.to_thread(exchange.set_price, "XBTUSD", price)
            await asyncio.wait_for(news.wait(), LONG)
        await client.close()

    with FakeKraken(heartbeat_seconds=0.05) as exchange:
        asyncio.run(follow(exchange))
    assert seen == [("50000.1", True), ("50000.5", True), ("50002.7", True), ("50003.4", False)]


def test_sdk_follows_instruments_and_candles() -> None:
    """All pairs at once, and then what changes; candles beside them."""
    random.seed(1)
    heard: list[tuple[str, object]] = []

    async def follow(exchange: FakeKraken) -> None:
        news = asyncio.Event()

        async def hear(message: dict[str, Any]) -> None:
            if message.get("channel") == "instrument":
                row = next(x for x in message["data"]["pairs"] if x["symbol"] == "BTC/USD")
                heard.append((message["type"], row["status"]))
                news.set()
            elif message.get("channel") == "ohlc" and message["data"]:
                heard.append((message["type"], message["data"][-1]["close"]))
                news.set()

        client = SpotWSClient(
            callback=hear, rest_url=exchange.rest_url, ws_url=exchange.ws_url.removesuffix("/v2")
        )
        await client.start()
        await client.subscribe(params={"channel": "instrument"})
        await asyncio.wait_for(news.wait(), LONG)
        news.clear()
        await asyncio.to_thread(exchange.set_pair_status, "XBTUSD", "cancel_only")
        await asyncio.wait_for(news.wait(), LONG)
        news.clear()
        exchange.set_price("XBTUSD", 50000)
        await client.subscribe(params={"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 1440})
        await asyncio.wait_for(news.wait(), LONG)
        await client.close()

    with FakeKraken(heartbeat_seconds=0.05) as exchange:
        asyncio.run(follow(exchange))
    told = [("snapshot", "online"), ("update", "cancel_only"), ("snapshot", 50000.0)]
    assert heard == told
