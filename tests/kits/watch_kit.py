"""What the tests of the watch share: rules, a market, prices of the past."""

from __future__ import annotations

from decimal import Decimal

from krakenlink.stream.feed import Symbol, TradePrint
from ttslo_app.messages import Market, Past
from ttslo_app.rules.rule import Direction, Rule, ThresholdType, WhenBlind
from ttslo_app.watch.crossings import Armed

ABOVE, BELOW = ThresholdType.ABOVE, ThresholdType.BELOW
S = 1_000_000_000
MARKET = Market("BTC/USD", "XXBTZUSD", "BTC/USD")


def rule(
    threshold: object = 51000,
    kind: ThresholdType = ABOVE,
    rule_id: str = "r",
    policy: WhenBlind | None = None,
) -> Rule:
    """Return an enabled rule."""
    return Rule(
        rule_id,
        "BTC/USD",
        Decimal(str(threshold)),
        kind,
        Direction.SELL,
        Decimal(1),
        Decimal(1),
        enabled=True,
        when_blind=policy,
    )


def armed(one: Rule | None = None, since: int = 0, market: Market = MARKET) -> Armed:
    """Return a rule, one at or above 51000 unless given, that waits since a second of 1970."""
    return Armed(one or rule(), market, since * S)


def priced(*prices: object) -> list[Past]:
    """Return trades at these prices, one a second, numbered from 1 on."""
    return [Past(n, Decimal(str(p)), n * S) for n, p in enumerate(prices, 1)]


def printed(second: int, price: object) -> TradePrint:
    """Return a trade of the stream, its number that of its second."""
    moment = f"1970-01-01T00:{second // 60:02}:{second % 60:02}Z"
    return TradePrint(Symbol("BTC/USD"), Decimal(str(price)), Decimal(1), second, moment)
