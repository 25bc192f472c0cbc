"""What the tests of the watch share: rules, a market, prices of the past, and a bench."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from krakenlink.pairs import Symbol
from krakenlink.stream.events import TradePrint, Trades
from ttslo_app.clocks import Clocks
from ttslo_app.messages import BookArm, BookFired, Crossing, Fetched, FirstCrossing, Market, Past
from ttslo_app.rules.rule import Direction, Rule, ThresholdType, WhenBlind
from ttslo_app.watch.crossings import Armed
from ttslo_app.watch.tape import Position, Saved
from ttslo_app.watch.watch import Watch

ABOVE, BELOW = ThresholdType.ABOVE, ThresholdType.BELOW
S = 1_000_000_000
MARKET = Market("BTC/USD", "XXBTZUSD", "BTC/USD")
START = 1_000.0
OLD = "1970-01-01T00:01:00+00:00"


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


@dataclass
class WatchBench:
    """A watch with everything around it: what it sends, says, asks for, and the proven price."""

    default: WhenBlind = WhenBlind.ARM_IF_BEYOND
    saved: Saved | None = None
    now: float = START
    present: Decimal | None = None
    is_clock_known: bool = True
    is_broken: bool = False
    crossings: list[Crossing] = field(default_factory=list)
    found: list[FirstCrossing] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)
    asked: list[tuple[str, Position]] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watch = Watch(
            submit=self.take,
            say=lambda level, text, **fields: self.said.append((level, text)),
            want=self.ask,
            present=lambda market: self.present,
            clocks=Clocks(
                lambda: self.now, lambda: self.now, lambda: self.now, lambda: self.is_clock_known
            ),
            default=self.default,
            saved=self.saved,
        )

    def take(self, message: Crossing | FirstCrossing) -> None:
        """Keep what is sent to the order thread."""
        if self.is_broken:
            raise RuntimeError("a defect")
        if isinstance(message, Crossing):
            self.crossings.append(message)
        else:
            self.found.append(message)

    def ask(self, market: Market, after: Position, delay: float, distance: float) -> None:
        """Keep what is asked for."""
        self.asked.append((market.name, after))
        self.distances.append(distance)

    def arm(
        self,
        policy: WhenBlind | None = None,
        since: str = "",
        threshold: int = 51000,
        name: str = "up",
        seen: str = "",
    ) -> None:
        """Arm a rule that fires at or above its threshold."""
        one = rule(threshold, rule_id=name, policy=policy)
        self.watch.arm(BookArm(one, MARKET, since, seen))

    def trade(self, number: int, *prices: int) -> None:
        """Let one frame come, its trades numbered from `number` on, one second each."""
        self.present = Decimal(prices[-1])
        rows = tuple(
            TradePrint(Symbol("BTC/USD"), Decimal(p), Decimal(1), n, f"1970-01-01T00:20:{n:02}Z")
            for n, p in enumerate(prices, number)
        )
        self.watch.trades(Trades(Symbol("BTC/USD"), rows, self.now))

    def past(self, number: int, *prices: int) -> None:
        """Let REST's answer come: trades numbered from `number` on."""
        rows = tuple(Past(n, Decimal(p), (1200 + n) * S) for n, p in enumerate(prices, number))
        self.watch.fetched(
            Fetched("BTC/USD", rows, rows[-1] if rows else None, is_cut=False, until=self.now)
        )

    def settle(self) -> None:
        """See a first trade, and learn what was before it."""
        self.trade(1, 50000)
        self.past(1, 50000)
        self.said.clear()

    def go_blind(self) -> None:
        """Lose the link for a while."""
        self.present = None
        self.watch.go_blind(["BTC/USD"], self.now)
        self.now += 100
        self.watch.see_again()

    def fired_before(self, price: int, at: str, *, is_found: bool = False) -> None:
        """Tell of a rule `up`, at or above 51000, that an earlier run fired."""
        one = rule(rule_id="up")
        self.watch.fired_before(BookFired(one, MARKET, OLD, at, str(price), is_found))

    @property
    def first_prices(self) -> list[str]:
        """The first crossings that were found afterwards."""
        return [found.price for found in self.found]

    @property
    def fired_at(self) -> list[int]:
        """The prices of the crossings so far."""
        return [int(c.price) for c in self.crossings]
