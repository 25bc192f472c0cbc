"""The ports of the order thread: whoever serves one has all of it, under the same names."""

import inspect
from collections.abc import Callable, Iterator

import pytest

from tests.kits.orders.order_bench import NOW, ManualClock, MemoryFiles, ModelKraken, life, rule
from ttslo_app.messages import Crossing, Kind, Sentence
from ttslo_app.orders.exchange import KrakenExchange
from ttslo_app.orders.ledger import Ledger
from ttslo_app.orders.life import OrderSettings, RuleState
from ttslo_app.orders.owed import Owed
from ttslo_app.orders.ports import Exchange, Files, Tools
from ttslo_app.orders.stand_ins import DryRunExchange, StandInExchange
from ttslo_app.orders.words import Teller
from ttslo_app.run.files import OrderFiles


def methods(port: type) -> Iterator[tuple[str, Callable[..., object]]]:
    """Yield what a port asks for, by name."""
    yield from ((name, thing) for name, thing in vars(port).items() if name[0] != "_")


def taken(method: Callable[..., object]) -> list[tuple[str, object]]:
    """Return the names of what a method takes, and how each may be given."""
    return [(p.name, p.kind) for p in inspect.signature(method).parameters.values()]


@pytest.mark.parametrize(
    ("port", "server"),
    [
        (Exchange, DryRunExchange),
        (Exchange, KrakenExchange),
        (Exchange, StandInExchange),
        (Files, OrderFiles),
    ],
)
def test_whoever_serves_a_port_has_all_of_it(port: type, server: type) -> None:
    """A call that the port promises is understood by each that stands behind it."""
    asked = dict(methods(port))
    assert asked
    assert {name: taken(getattr(server, name)) for name in asked} == {
        name: taken(method) for name, method in asked.items()
    }


@pytest.mark.parametrize("server", [DryRunExchange, KrakenExchange, StandInExchange])
def test_only_kraken_can_find_an_order(server: type) -> None:
    """Where nothing can be looked up an unknown outcome stays unknown, and nobody searches."""
    assert server.can_find is (server is KrakenExchange)  # type: ignore[attr-defined]  # it has it


def tools(exchange: ModelKraken | None, said: list[str], clock: ManualClock) -> Tools:
    """Return the tools of a thread that has just begun."""
    settings = OrderSettings()
    teller = Teller(lambda level, text, **fields: said.append(text))
    owed = Owed(settings)
    return Tools(
        Ledger({}), owed, MemoryFiles(), exchange, clock.clocks, teller, settings, lambda step: None
    )


@pytest.mark.parametrize("can_find", [True, False])
def test_orders_are_looked_up_where_that_is_possible(can_find: bool) -> None:
    """A stand-in cannot find any, and without a key there is nobody to ask."""
    clock = ManualClock()
    assert tools(ModelKraken(clock, can_find=can_find), [], clock).can_find is can_find
    assert not tools(None, [], clock).can_find


def test_moments_are_written_as_the_files_hold_them() -> None:
    """ISO in UTC, to the millisecond; the other clock counts seconds."""
    clock = ManualClock()
    hand = tools(None, [], clock)
    before = hand.now()
    clock.seconds += 1.5
    assert hand.now() - before == 1.5
    assert len(hand.timestamp()) == len(NOW)
    assert hand.timestamp().endswith("+00:00")


def test_a_rule_that_begins_anew_is_refused_and_told_of_as_at_first() -> None:
    """Neither the length of its wait nor what was said of it comes from its earlier life."""
    said: list[str] = []
    hand = tools(None, said, ManualClock())
    refused = Sentence(Kind.REFUSED, "ERROR", "btc: refused")
    waits = []
    for begins_anew in (False, False, True):
        if begins_anew:
            hand.begin_anew("btc")
        taken = hand.owed.take(Crossing(rule(), rule().threshold, "50000"), 0.0)
        hand.owed.refuse(taken, 0.0)
        waits.append(next(wait.at for wait in hand.owed))
        hand.teller.tell_once("btc", refused)
    assert waits[0] == waits[2] < waits[1]
    assert said == ["btc: refused"] * 2


@pytest.mark.parametrize(
    ("sent_by", "mark", "is_another"),
    [
        ("key-1", "key-1", False),
        ("key-1", "key-2", True),
        ("", "key-2", False),  # of an earlier version, which did not write it down
        ("key-1", "", False),  # a stand-in has no key
        ("key-1", None, False),
        ("", "", False),
    ],
)
def test_order_of_another_key_is_known_by_its_mark(
    sent_by: str, mark: str | None, is_another: bool
) -> None:
    """Only two marks that differ say so; where one is not known it may be the same key."""
    clock = ManualClock()
    exchange = None if mark is None else ModelKraken(clock, key_mark=mark)
    hand = tools(exchange, [], clock)
    assert hand.key_mark == (mark or "")
    assert hand.is_sent_by_another(life(RuleState.UNCERTAIN, sent_by=sent_by)) is is_another


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (0.0, "2027-01-15T08:00:00.000+00:00"),
        (1.5, "2027-01-15T07:59:58.500+00:00"),
        (-1.0, "2027-01-15T08:00:01.000+00:00"),
    ],
)
def test_moment_of_a_while_ago_is_before_now(ago: float, said: str) -> None:
    """What was seen some time before it is written down has the moment at which it was seen."""
    clock = ManualClock()
    hand = tools(None, [], clock)
    now = hand.timestamp()
    assert hand.moments.now_and_before(ago) == (now, said)
