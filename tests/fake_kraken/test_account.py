"""One owner: funds, holds, orders, and the pace of them."""

from decimal import Decimal
from typing import Any

from fake_kraken.account import Account
from fake_kraken.engine import Engine
from fake_kraken.orders import read_order
from fake_kraken.params import Refusal
from tests.kits.exchange.engine_kit import NOW


def test_orders_beyond_the_pace_are_refused_until_the_counter_has_fallen() -> None:
    """Each pair counts for itself, refused orders count too, and time makes room again."""
    engine = Engine()
    engine.order_pace = (3, 0.5)

    def told(at: float, pair: str = "XBTUSD", volume: str = "1") -> str:
        order = {"type": "sell", "ordertype": "trailing-stop", "price": "+5%"}
        try:
            engine.add_order({**order, "pair": pair, "volume": volume, "validate": "true"}, at)
        except Refusal as refusal:
            return refusal.errors[0]
        return "taken"

    assert [told(NOW), told(NOW, volume="0"), told(NOW)][::2] == ["taken", "taken"]
    assert told(NOW + 1.9) == "EOrder:Rate limit exceeded"
    assert told(NOW + 1.9, pair="ETHUSD") == "taken"
    assert told(NOW + 2.0) == "taken"


# Any, here and below: exact decimals are compared with plain numbers, which mypy takes for a slip.
def entered(account: Account, **changes: str) -> Any:
    """Enter a sell of 1 BTC, with changes, under the next id."""
    params = {"type": "sell", "ordertype": "market", "volume": "1", **changes}
    order = read_order(params, Engine().listing("XBTUSD"), NOW)
    order.txid, order.hold = f"O{len(account.orders)}", ("XXBT", Decimal(1))
    account.enter(order)
    return order


def test_account_holds_what_open_orders_may_use() -> None:
    """Less once a part is executed, nothing once the order is closed; debts are possible."""
    account: Any = Account({"XXBT": "2"})
    order = entered(account)
    assert (account.owned("XXBT"), account.held("XXBT"), account.free("XXBT")) == (2, 1, 1)
    account.execute(order, Decimal("0.25"), Decimal(100))
    assert (account.held("XXBT"), order.cost) == (Decimal("0.75"), 25)
    account.close(order, "canceled", NOW)
    assert (account.held("XXBT"), account.held("ZUSD"), account.owned("ZUSD")) == (0, 0, 0)
    account.change("ZUSD", Decimal(-5))
    assert account.balances["ZUSD"] == -5


def test_account_finds_its_open_orders_by_each_name() -> None:
    """A txid goes before a userref of the same text, and what is closed is not found."""
    account = Account()
    orders = [entered(account, userref="7"), entered(account, userref="7")]
    orders.append(entered(account, cl_ord_id="mine"))
    assert account.open_orders_named("7", "") == orders[:2]
    assert account.open_orders_named("O0", "mine") == orders[:1]
    assert account.open_orders_named("", "mine") == orders[2:]
    account.close(orders[2], "closed", NOW)
    assert account.open_orders_named("", "mine") == account.open_orders_named("O2", "") == []
    assert not account.is_open("mine")
    assert (list(account.orders), list(account.open_orders)) == (["O0", "O1", "O2"], ["O0", "O1"])
