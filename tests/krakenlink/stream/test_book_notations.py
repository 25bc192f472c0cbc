"""A book whose numbers have lost or won zeros on their way: it comes, and a wrong sum stays one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from decimal import Decimal

import pytest

from krakenlink.stream.book import Book, Places
from tests.kits.stream.book_kit import Raw, Side, prices, total


def side_of(levels: str) -> dict[str, str]:
    """Return one side of a book, from its levels as text."""
    return dict(level.split(":") for level in levels.split())


# Kraken's example of its book channel.
SUM = 3310070434
BIDS = side_of(
    "45283.5:0.10000000 45283.4:1.54582015 45282.1:0.10000000 45281.0:0.10000000 "
    "45280.3:1.54592586 45279.0:0.07990000 45277.6:0.03310103 45277.5:0.30000000 "
    "45277.3:1.54602737 45276.6:0.15445238"
)
ASKS = side_of(
    "45285.2:0.00100000 45286.4:1.54571953 45286.6:1.54571109 45289.6:1.54560911 "
    "45290.2:0.15890660 45291.8:1.54553491 45294.7:0.04454749 45296.1:0.35380000 "
    "45297.5:0.09945542 45299.5:0.18772827"
)
Notation = Callable[[str], str]
NOTATIONS: dict[str, Notation] = {
    "as it is": str,
    "a zero more": lambda text: text + "0",
    "six zeros more": lambda text: text + "000000",
    "twenty zeros more": lambda text: text + "0" * 20,
    "no zeros": lambda text: f"{Decimal(text).normalize():f}",
    "an exponent": lambda text: f"{Decimal(text).normalize():e}",
    "an exponent and zeros": lambda text: f"{Decimal(text):.12e}",
}


def written(side: Side, price_of: Notation, qty_of: Notation) -> list[Raw]:
    """Return a side in such notations."""
    return [Raw(price_of(price), qty_of(qty)) for price, qty in side.items()]


@pytest.mark.parametrize("of_quantities", NOTATIONS)
@pytest.mark.parametrize("of_prices", NOTATIONS)
def test_book_comes_whatever_is_done_to_the_zeros_of_its_numbers(
    of_prices: str, of_quantities: str
) -> None:
    """Padded, shortened, in powers of ten; and so do its changes, in every other notation."""
    ways = NOTATIONS[of_prices], NOTATIONS[of_quantities]
    bids, asks = written(BIDS, *ways), written(ASKS, *ways)
    book = Book(10)
    assert book.begin(bids, asks, SUM) == ""
    assert prices(book.texts(10).bids) == list(BIDS)
    for number, way in enumerate(NOTATIONS.values(), 1):
        best = {"45283.5": f"{number}.50000000"}
        assert book.change(written(best, way, way), [], total({**BIDS, **best}, ASKS)) == ""
    assert Book(10).begin(bids, asks, SUM ^ 1).startswith("its checksum is ")


def test_book_comes_though_each_of_its_numbers_is_written_in_another_way() -> None:
    """One is padded, the next one has lost its zeros."""
    turns = itertools.cycle(NOTATIONS.values())

    def next_way(text: str) -> str:
        return next(turns)(text)

    bids, asks = written(BIDS, next_way, next_way), written(ASKS, next_way, next_way)
    assert Book(10).begin(bids, asks, SUM) == ""


@pytest.mark.parametrize("price", ["7.0", "7.00", "7.000", "7"])
@pytest.mark.parametrize("qty", ["3.00000000", "3", "3.0"])
@pytest.mark.parametrize("way", NOTATIONS)
def test_one_level_of_round_numbers_is_a_book(price: str, qty: str, way: str) -> None:
    """Nothing but the sum tells how many of its zeros are the market's."""
    pad = NOTATIONS[way] if "zeros more" not in way else NOTATIONS["a zero more"]
    shown = Raw(*(pad(text) if "." in text else text for text in (price, qty)))
    book = Book(10)
    assert book.begin([shown], [], total({price: qty}, {})) == ""
    (level,) = book.texts(10).bids
    assert (str(level.price), level.qty) == (price, Decimal(3))


def counted(book: Book, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sums that a book compares from now on."""
    tried, taken = list[int](), book.checksum

    def checksum() -> int:
        tried.append(taken())
        return tried[-1]

    monkeypatch.setattr(book, "checksum", checksum)
    return tried


@pytest.mark.parametrize("number", ["1.0", "100", "0.5000", "1e-8", "1." + "0" * 30, "5E+2"])
def test_wrong_sum_has_as_many_chances_as_there_are_decimals_to_try(
    number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each passes by chance once in 2 to the 32nd: 45 of them, and the one that was told."""
    book = Book(10, Places(1, 8))
    tried = counted(book, monkeypatch)
    assert book.begin([Raw(number, number)], [], 1) != ""
    assert 0 < len(tried) <= 46


def test_snapshot_that_is_written_as_kraken_writes_it_is_tried_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No wrong guess comes before what is shown."""
    book = Book(10)
    tried = counted(book, monkeypatch)
    assert book.begin(written(BIDS, str, str), written(ASKS, str, str), SUM) == ""
    assert tried == [SUM]
