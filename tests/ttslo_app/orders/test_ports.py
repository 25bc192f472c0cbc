"""The ports of the order thread: whoever serves one has all of it, under the same names."""

import inspect
from collections.abc import Callable, Iterator

import pytest

from ttslo_app.orders.exchange import KrakenExchange
from ttslo_app.orders.ports import Exchange, Files
from ttslo_app.orders.stand_ins import DryRunExchange, StandInExchange
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
