"""What is said of a rehearsal: each line says that it is paper, and the numbers are right."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ttslo_app.paper import words
from ttslo_app.paper.words import Outcome, summary


def outcome(**changes: Any) -> Outcome:
    """Return a row that sells at 50000, and was not crossed."""
    values: dict[str, Any] = {"row": "top", "condition": "BTC/USD at or above 50000",
                              "quote": "USD", "is_sell": True,
                              "fee_percent": Decimal("0.40")}  # fmt: skip
    return Outcome(**{**values, **changes})


def line(**changes: Any) -> str:
    """Return what is said of a row."""
    return summary([outcome(**changes)], Decimal("0.40"))[1].text


CROSSED = {"crossed_at": Decimal(50000), "volume": Decimal("0.01")}


def test_each_line_says_that_it_is_paper() -> None:
    """Whoever finds one of them in a log takes it for nothing else."""
    said = summary([outcome(), outcome(row="dip", **CROSSED)], Decimal("0.40"))
    assert len(said) == 3
    assert all("PAPER" in sentence.text[:20] for sentence in said)


def test_head_counts_and_names_its_assumptions() -> None:
    """Money, fee, spread, and that nothing was sent."""
    end = {"price": Decimal(51000), "fee": Decimal("2.04")}
    rows = [outcome(), outcome(**CROSSED), outcome(**CROSSED, **end)]
    head = summary(rows, Decimal("0.26"))[0].text
    assert "3 rows, 2 crossed, 1 filled" in head
    assert "a fee of 0.26 %" in head
    assert "Nothing was sent to Kraken" in head
    assert "1 row, " in summary(rows[:1], Decimal(0))[0].text


def test_row_that_was_not_crossed() -> None:
    """With what it waited for."""
    assert line() == "top: PAPER: BTC/USD at or above 50000: not crossed"


def test_row_that_has_no_order() -> None:
    """It was refused, or is on its way."""
    assert line(crossed_at=Decimal(50000)).endswith("crossed at 50000, no order")


@pytest.mark.parametrize(
    ("stop", "said"), [(Decimal("49500.0"), "its stop at 49500"), (None, "its stop not told yet")]
)
def test_order_that_still_waits(stop: Decimal | None, said: str) -> None:
    """With its stop."""
    assert line(**CROSSED, stop=stop).endswith(f"sell 0.01 waits, {said}")


@pytest.mark.parametrize(
    ("is_sell", "price", "fee", "said"),
    [
        # 0.01 x 51000 = 510 - 2.04 = 507.96; at once 500 - 2 = 498.
        (True, "51000", "2.04", "brought 507.96 USD, 9.96 better than at once"),
        (True, "49500", "1.98", "brought 493.02 USD, 4.98 worse than at once"),
        # 0.01 x 49000 = 490 + 1.96 = 491.96; at once 500 + 2 = 502.
        (False, "49000", "1.96", "cost 491.96 USD, 10.04 better than at once"),
        (False, "51000", "2.04", "cost 512.04 USD, 10.04 worse than at once"),
        (True, "50000", "2.00", "brought 498.00 USD, 0.00 better than at once"),
    ],
)
def test_fill_stands_beside_the_same_order_at_the_crossing(
    is_sell: bool, price: str, fee: str, said: str
) -> None:
    """Both with their fee, and the better one is what leaves more."""
    text = line(**CROSSED, is_sell=is_sell, price=Decimal(price), fee=Decimal(fee))
    assert text.endswith(said)
    assert f"filled at {price}, fee " in text


def test_small_amounts_keep_their_digits() -> None:
    """A coin of a thousandth of a cent is worth something to its owner."""
    text = line(crossed_at=Decimal("0.00001"), volume=Decimal(50), price=Decimal("0.00002"),
                fee=Decimal("0.000004"))  # fmt: skip
    assert "fee 0.000004: brought 0.000996 USD" in text


def test_reasons_name_the_file_the_pair_and_the_cure() -> None:
    """What could not be done, and what to do."""
    assert words.near_written("n.csv", "near,BTC/USD").startswith("n.csv was written anew")
    assert "least volume of BTC/USD" in words.no_least("BTC/USD")
    assert "there is no my.csv. Write one" in words.no_config("my.csv")
    assert "does not use --config; leave one" in words.needs_no("--config")
    assert words.earlier_kept(["a.before", "b.before"]).text.endswith("a.before, b.before")


def test_line_belongs_to_its_row() -> None:
    """In the log it stands in the column of the row."""
    assert summary([outcome()], Decimal(0))[1].fields == {"id": "top"}
