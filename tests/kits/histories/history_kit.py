"""Histories of prices, rows to play on them, and an oracle that looks at every price."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import numpy as np

from fake_kraken.engine import Engine
from fake_kraken.market import default_pairs
from ttslo_app.backtest.history import PLACES, History
from ttslo_app.backtest.play import Market
from ttslo_app.rules.rule import Rule, read_rule

KEY = "XXBTZUSD"
MARKET = Market(KEY, default_pairs()[0][KEY])
TICK = 10 ** (PLACES - 1)
SECOND = 1_000_000_000
BEGAN = 1_640_995_200 * SECOND  # 2022-01-01


def history(*prices: object, at: list[int] | None = None) -> History:
    """Return a history, one price a second unless `at` says otherwise."""
    units = [int(Decimal(str(price)).scaleb(PLACES)) for price in prices]
    moments = list(range(len(prices))) if at is None else at
    return History(
        np.array([BEGAN + moment * SECOND for moment in moments], np.int64),
        np.array(units, np.int64),
        TICK,
    )


def walk(seed: int, count: int, step: float = 0.002) -> History:
    """Return a random walk from 50000; some prices share a moment."""
    chance = random.Random(seed)
    price, prices, moments, now = 50000.0, [], [], 0
    for _ in range(count):
        price = max(1.0, price * (1 + chance.gauss(0, step)))
        prices.append(round(price, 1))
        now += chance.random() < 0.7
        moments.append(now)
    return history(*prices, at=moments)


def row(
    threshold: object = 50500,
    kind: str = "above",
    side: str = "sell",
    offset: object = "1.0",
    volume: str = "0.01",
) -> Rule:
    """Return a row on BTC/USD."""
    return read_rule(
        {
            "id": "btc",
            "pair": "BTC/USD",
            "threshold_price": str(threshold),
            "threshold_type": kind,
            "direction": side,
            "volume": volume,
            "trailing_offset_percent": str(offset),
            "enabled": "true",
        }
    )


def random_row(chance: random.Random) -> Rule:
    """Return any row whose threshold a walk may reach."""
    kind = chance.choice(["above", "below"])
    away = Decimal(chance.randrange(0, 60)) / 1000
    threshold = Decimal(50000) * (1 + away if kind == "above" else 1 - away)
    offset = Decimal(chance.randrange(1, 900)) / 100
    return row(threshold.quantize(Decimal("0.1")), kind, chance.choice(["sell", "buy"]), offset)


def money_row(chance: random.Random) -> Rule:
    """Return any row whose threshold a walk may reach, with an offset in quote currency."""
    found = random_row(chance)
    terms = replace(found.terms, offset_quote=Decimal(chance.randrange(1, 45_000)) / 10)
    return replace(found, offset_percent=None, terms=terms)


def offset_text(rule: Rule) -> str:
    """Return the trailing offset of a row as Kraken is told it."""
    if rule.offset_percent is not None:
        return f"+{rule.offset_percent}%"
    return f"+{rule.terms.offset_quote}"


def oracle(past: History, rule: Rule) -> tuple[int | None, int | None, Decimal | None]:
    """Return where a row crosses, where its stop is met, and for what: every price is looked at."""
    prices = [past.price_at(index) for index in range(len(past))]
    crossed = next((i for i, price in enumerate(prices) if rule.is_met_by(price)), None)
    if crossed is None:
        return None, None, None
    now = past.at_ns[crossed]
    entered = next((i for i in range(len(past)) if past.at_ns[i] > now), len(past))
    best = stop = prices[entered - 1]
    engine = Engine({KEY: MARKET.row}, {KEY: best}, {"XXBT": "1e9", "ZUSD": "1e9"})
    order = engine.add_order(
        {
            "pair": KEY,
            "type": rule.direction.value,
            "ordertype": "trailing-stop",
            "volume": str(rule.volume),
            "price": offset_text(rule),
        },
        0.0,
    )
    stop = order.stop
    for index in range(entered, len(past)):
        price = prices[index]
        is_better = price > best if rule.direction == "sell" else price < best
        if is_better:
            best = price
            engine.trade(engine.listing(KEY), price, Decimal(1), 0.0)
            stop = order.stop
        is_met = price <= stop if rule.direction == "sell" else price >= stop
        if is_met:
            return crossed, index, price
    return crossed, None, prices[-1]
