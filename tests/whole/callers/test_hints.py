"""What a hint names can be found, for whoever asks Python for it and not a type checker."""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import kraken_api
from krakenlink.stream.account import AccountFeed
from krakenlink.stream.book import OrderBook
from krakenlink.stream.settings import FeedSettings
from tests.kits.common.fresh_python import run_python
from ws_price_provider import WebSocketPriceProvider

DOORS = ("config", "creds", "kraken_api", "ttslo", "validator", "ws_price_provider")
# What callers of the doors catch, and what they are handed.
BEHIND = ("krakenlink.errors", "krakenlink.rest", "krakenlink.stream")


def public_things(module: str) -> Iterator[tuple[str, Any]]:
    """Yield each public class and function of a module, and each public method of a class."""
    door = importlib.import_module(module)
    for name in getattr(door, "__all__", [n for n in vars(door) if not n.startswith("_")]):
        thing = getattr(door, name)
        if inspect.isfunction(thing):
            yield f"{module}.{name}", thing
        elif inspect.isclass(thing):
            yield f"{module}.{name}", thing
            for member in [name for name in dir(thing) if not name.startswith("_")] + ["__init__"]:
                found = inspect.getattr_static(thing, member)
                found = found.fget if isinstance(found, property) else getattr(thing, member)
                if inspect.isfunction(found) or inspect.ismethod(found):
                    yield f"{module}.{name}.{member}", found


THINGS = {name: thing for module in DOORS + BEHIND for name, thing in public_things(module)}


@pytest.mark.parametrize("thing", THINGS.values(), ids=THINGS)
def test_hint_can_be_resolved(thing: Any) -> None:
    """No hint names what only a type checker would have loaded."""
    typing.get_type_hints(thing)


def test_hints_are_the_types_themselves() -> None:
    """What is loaded late is what a call returns or takes, not a stand-in for it."""
    client = kraken_api.KrakenAPI

    def hint(of: Any, name: str = "return") -> object:
        return typing.get_type_hints(of)[name]

    assert hint(client.get_order_book) is OrderBook
    assert hint(client.account_feed) == AccountFeed | None
    assert hint(client.price_provider) == WebSocketPriceProvider | None
    assert hint(client.__init__, "feed_settings") == FeedSettings | None


def test_hints_load_what_they_name() -> None:
    """In a program that has loaded nothing of the stream yet, they are found as well."""
    said = run_python(
        "import sys, typing, kraken_api\n"
        "print('krakenlink.stream.book' in sys.modules)\n"
        "print(typing.get_type_hints(kraken_api.KrakenAPI.get_order_book)['return'].__name__)\n"
        "print(typing.get_type_hints(kraken_api.KrakenAPI.price_provider)['return'])"
    )
    loaded, book, provider = said.splitlines()
    assert (loaded, book) == ("False", "OrderBook")
    assert "WebSocketPriceProvider" in provider


@pytest.mark.parametrize("package", ["krakenlink.rest", "krakenlink.stream"])
def test_package_has_the_names_it_lists_and_no_other(package: str) -> None:
    """A name that is looked up late is spelled right, and any other is an error at once."""
    found = importlib.import_module(package)
    assert [getattr(found, name).__name__ for name in found.__all__] == found.__all__
    with pytest.raises(AttributeError, match="no attribute 'OrderBok'"):
        _ = found.OrderBok
