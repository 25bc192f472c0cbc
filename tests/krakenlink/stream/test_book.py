"""A book of Kraken's: digits, changes, sums, and what is no book."""

from __future__ import annotations

import dataclasses
import zlib
from decimal import ROUND_UP, Decimal, Inexact, localcontext
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krakenlink.known_names import DEPTHS
from krakenlink.pairs import Symbol
from krakenlink.stream.book import (
    Book,
    Fill,
    Level,
    OrderBook,
    Places,
    checked_depth,
    digits,
    estimated_fill,
)
from tests.kits.stream.book_kit import ASKS, BIDS, BTC, Raw, changed, prices, raw, total


def begun(depth: int = 10, bids: dict[str, str] = BIDS, asks: dict[str, str] = ASKS) -> Book:
    """Return a book that has begun with a snapshot."""
    book = Book(depth)
    assert book.begin(raw(bids), raw(asks), total(bids, asks)) == ""
    return book


# --- digits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "places", "found"),
    [
        ("50000.0", 1, "500000"),
        ("50000", 1, "500000"),
        (50000, 1, "500000"),
        ("5e4", 1, "500000"),
        ("5.00000e4", 1, "500000"),
        ("0.05005", 5, "5005"),
        ("5.005e-02", 5, "5005"),
        ("0.00000500", 8, "500"),
        ("5e-06", 8, "500"),
        ("0.5", 8, "50000000"),
        ("0.10", 1, "1"),
        ("123", 0, "123"),
        ("0", 8, ""),
        ("0.00000000", 8, ""),
        (0, 8, ""),
        ("-0.0", 1, ""),
    ],
)
def test_number_has_the_same_digits_in_every_notation(
    number: object, places: int, found: str
) -> None:
    """They are those of its pair's decimals, without the zeros that it begins with."""
    assert digits(number, places) == found


@pytest.mark.parametrize(
    "number",
    [
        *("0.123", "1e-3", "-1", "-1.0", "-0.1", "NaN", "Infinity", "1e400", "x", "", "1_0.0"),
        *(
            "\u0663.\u0663",
            "1.\u00b2",
            None,
            True,
            [],
            {},
            float("nan"),
            "1" * 50 + ".0",
            "9" * 5000,
        ),
        *("--1.0", "+-1.0", " 1 .0", "1.0.0"),
    ],
)
def test_what_is_no_number_of_that_step_has_no_digits(number: object) -> None:
    """Nothing is rounded, and nothing but plain numbers is read."""
    assert digits(number, 1) is None


@given(st.integers(0, 10**12), st.integers(0, 8))
def test_digits_of_a_padded_number_are_its_steps(steps: int, places: int) -> None:
    """However it is written: padded, trimmed, or in powers of ten."""
    number = Decimal(steps).scaleb(-places)
    expected = str(steps) if steps else ""
    assert digits(f"{number:.{places}f}", places) == expected
    assert digits(str(number.normalize()), places) == expected
    assert digits(f"{number:e}", places) == expected


# --- snapshots ---------------------------------------------------------------------------------


def test_snapshot_is_shown_with_its_digits() -> None:
    """Best prices first, numbers as Kraken has them."""
    shown = begun().texts(10)
    assert prices(shown.bids) == list(BIDS)[:10]
    assert prices(shown.asks) == list(ASKS)[:10]
    assert shown.bids[0] == Level(Decimal("49999.9"), Decimal("1.00000001"))
    assert str(shown.asks[0].qty) == "1E-8"
    assert f"{shown.asks[9].qty:f}" == "0.00000010"
    assert prices(begun().texts(3).asks) == list(ASKS)[:3]


def test_documented_example_has_kraken_s_sum() -> None:
    """The book of Kraken's guide on checksums, which says 974947235."""
    asks = {f"{5005 + 5 * n:05d}": "0.00000500" for n in range(10)}
    bids = {f"{4950 + 5 * n:05d}": "0.00000500" for n in range(11) if n != 7}
    asks, bids = ({f"0.{price}": qty for price, qty in side.items()} for side in (asks, bids))
    assert Book(10).begin(raw(bids), raw(asks), 974947235) == ""


@pytest.mark.parametrize("told", [None, Places(1, 8), Places(0, 2), Places(3, 3)])
def test_snapshot_in_another_notation_is_the_same_book(told: Places | None) -> None:
    """Zeros lost at the end, powers of ten: Kraken's sum tells how many decimals are meant."""
    bids = {"50000.0": "5.00000000", "49999.0": "0.50000000"}
    asks = {"50001.0": "0.00005000", "60000.0": "10.00000000"}
    lost = [Raw(50000, 5), Raw("4.9999e4", "0.5")], [Raw("50001", "5e-05"), Raw("6E4", "1e1")]
    book = Book(10, told)
    assert book.begin(*lost, total(bids, asks)) == ""
    shown = book.texts(10)
    assert prices(shown.bids) == list(bids)
    assert prices(shown.asks) == list(asks)
    assert f"{shown.asks[0].qty:f}" == "0.00005000"


def test_empty_and_one_sided_books_are_books() -> None:
    """Kraken sums up what there is."""
    assert Book(10).begin([], [], 0) == ""
    assert begun(bids={}).texts(10).bids == ()
    assert begun(asks={}).texts(10).asks == ()


def test_snapshot_with_another_sum_is_no_book() -> None:
    """The reason names both sums."""
    fault = Book(10).begin(raw(BIDS), raw(ASKS), total(BIDS, ASKS) ^ 1)
    assert fault.startswith("its checksum is ")
    assert fault.endswith(f"Kraken's is {total(BIDS, ASKS) ^ 1}")


NO_SUMS: list[object] = [None, "", True, False, str(total(BIDS, ASKS)), [], {}, "9" * 500]


@pytest.mark.parametrize("checksum", NO_SUMS)
def test_snapshot_without_a_sum_is_no_book(checksum: object) -> None:
    """Nothing counts that Kraken has not confirmed, and the reason says what is odd, in a line."""
    for sides in ((BIDS, ASKS), ({}, {})):  # the sum of nothing is 0, and no `False`
        fault = Book(10).begin(raw(sides[0]), raw(sides[1]), checksum)
        assert fault.startswith("Kraken's checksum is no number: ")
        assert fault.endswith(repr(checksum)[:40])
        assert len(fault) < 100


@pytest.mark.parametrize("checksum", NO_SUMS)
def test_change_without_a_sum_ends_the_book(checksum: object) -> None:
    """And says so: two sums that look the same would explain nothing."""
    fault = begun().change([], [], checksum)
    assert fault == f"Kraken's checksum is no number: {repr(checksum)[:40]}"


@pytest.mark.parametrize("told", [None, Places(1, 8), Places(0, 2)])
def test_reason_names_the_sum_of_the_book_as_it_is_written(told: Places | None) -> None:
    """Not that of the last guess at its decimals."""
    fault = Book(10, told).begin(raw(BIDS), raw(ASKS), 1)
    assert fault == f"its checksum is {total(BIDS, ASKS)}, Kraken's is 1"


@pytest.mark.parametrize("checksum", [1.5, float("nan"), -1, 2**40])
def test_number_that_is_no_sum_is_a_wrong_one(checksum: object) -> None:
    """Whatever it is, it is not that of the book."""
    fault = Book(10).begin(raw(BIDS), raw(ASKS), checksum)
    assert fault == f"its checksum is {total(BIDS, ASKS)}, Kraken's is {checksum}"


@pytest.mark.parametrize("bad", [Raw("-1", "1"), Raw("0", "1"), Raw("x", "1"), Raw("1.0", "-1")])
def test_snapshot_with_a_damaged_level_is_no_book(bad: Raw) -> None:
    """Zero, negative and unreadable prices and quantities."""
    assert (
        Book(10).begin([*raw(BIDS), bad], raw(ASKS), total(BIDS, ASKS)) == "a level cannot be read"
    )


def test_crossed_snapshot_is_no_book_though_its_sum_is_right() -> None:
    """Nobody could trade on it: who buys offers more than who sells asks."""
    bids = {**BIDS, "50000.1": "1.00000000"}
    assert "best bid" in Book(100).begin(raw(bids), raw(ASKS), total(bids, ASKS))
    bids = {**BIDS, "50000.0": "1.00000000"}
    assert Book(100).begin(raw(bids), raw(ASKS), total(bids, ASKS)) == ""


# --- changes -----------------------------------------------------------------------------------


def test_changes_set_add_and_take_away() -> None:
    """A level is replaced, one comes between, one goes; the sum is that of what is left."""
    book = begun(25)
    changes = {"49999.9": "2.00000000", "49999.5": "0.00000000"}
    asks = {"50000.0": "0.10000000"}
    after = (
        changed(BIDS, changes, is_bid=True, depth=25),
        changed(ASKS, asks, is_bid=False, depth=25),
    )
    assert book.change(raw(changes), raw(asks), total(*after)) == ""
    shown = book.texts(25)
    assert prices(shown.bids) == list(after[0])
    assert prices(shown.asks) == list(after[1])
    assert shown.bids[0].qty == 2


def test_levels_beyond_the_depth_are_forgotten() -> None:
    """What was pushed out is not there when others go: Kraken tells it anew."""
    book = begun(10)
    new = {"50000.0": "1.00000000"}
    bids = changed(changed(BIDS, {}, is_bid=True), new, is_bid=True)
    assert book.change(raw(new), [], total(bids, ASKS)) == ""
    assert "49999.0" not in prices(book.texts(100).bids)
    gone = {"50000.0": "0"}
    bids = changed(bids, gone, is_bid=True)
    assert len(bids) == 9
    assert book.change(raw(gone), [], total(bids, ASKS)) == ""


def test_level_that_is_not_there_may_go() -> None:
    """It lay beyond the depth."""
    assert begun().change([Raw("1.0", "0")], [Raw("99999.9", 0)], total(BIDS, ASKS)) == ""


def test_change_in_another_notation_meets_the_same_level() -> None:
    """`5e4` is the level of `50000.0`, not one beside it."""
    bids = {"50000.0": "1.00000000", **{k: BIDS[k] for k in list(BIDS)[:9]}}
    book = begun(10, bids=bids)
    bids["50000.0"] = "0.50000000"
    assert book.change([Raw("5e4", "0.5")], [], total(bids, ASKS)) == ""
    assert book.texts(10).bids[0] == Level(Decimal("50000.0"), Decimal("0.50000000"))
    assert len(book.texts(100).bids) == 10


def test_change_with_a_wrong_sum_is_told() -> None:
    """Also where a change before it was lost."""
    assert "checksum" in begun().change([Raw("49999.9", "2.0")], [], total(BIDS, ASKS))
    assert begun().change([], [], total(BIDS, ASKS)) == ""


@pytest.mark.parametrize("is_bid", [True, False])
def test_change_of_one_side_is_summed_up_with_the_other_as_it_was(is_bid: bool) -> None:
    """Each time anew; a sum of that side alone would not do."""
    sides, book = [BIDS, ASKS], begun()
    which, price = not is_bid, next(iter(BIDS if is_bid else ASKS))
    for qty in ("2.00000000", "3.00000000"):
        sides[which] = changed(sides[which], {price: qty}, is_bid=is_bid)
        told = [Raw(price, qty)]
        changes = (told, []) if is_bid else ([], told)
        assert book.change(*changes, total(*sides)) == ""
        assert book.checksum() == total(*sides)
    assert "checksum" in book.change([], [], total({}, ASKS) if is_bid else total(BIDS, {}))


@pytest.mark.parametrize("is_bid", [True, False])
def test_book_that_was_emptied_has_the_sum_of_its_other_side(is_bid: bool) -> None:
    """Nothing stays behind of the levels that have gone, and new ones begin it again."""
    book, side = begun(), BIDS if is_bid else ASKS
    gone = [Raw(price, "0.00000000") for price in side]
    after = ({}, ASKS) if is_bid else (BIDS, {})
    assert book.change(*((gone, []) if is_bid else ([], gone)), total(*after)) == ""
    assert (book.texts(10).bids if is_bid else book.texts(10).asks) == ()
    back = raw(dict(list(side.items())[:1]))
    after = (dict(list(BIDS.items())[:1]), ASKS) if is_bid else (BIDS, dict(list(ASKS.items())[:1]))
    assert book.change(*((back, []) if is_bid else ([], back)), total(*after)) == ""


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (Raw("49999.95", "1.0"), "a level cannot be read"),  # more decimals than the market has
        (Raw("49999.9", "0.000000001"), "a level cannot be read"),
        (Raw("49999.9", "-1"), "a level cannot be read"),
        (Raw(0, "1.0"), "a level cannot be read"),
        (Raw(None, None), "a level cannot be read"),
    ],
)
def test_damaged_change_ends_the_book(level: Raw, said: str) -> None:
    """What was lost of it nobody knows."""
    assert begun().change([level], [], total(BIDS, ASKS)) == said
    assert begun().change([], [level], total(BIDS, ASKS)) == said


def test_change_that_crosses_the_book_is_told() -> None:
    """Though its sum is right."""
    asks = changed(ASKS, {"49999.9": "1.00000000"}, is_bid=False)
    fault = begun().change([], [Raw("49999.9", "1.0")], total(BIDS, asks))
    assert fault == "its best bid is not below its best ask"


_SIDES = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 3), st.booleans()), min_size=1, max_size=12
)


@settings(max_examples=60)
@given(st.lists(_SIDES, max_size=12), st.sampled_from(DEPTHS[:2]))
def test_book_is_that_of_a_model_after_every_frame(
    frames: list[list[tuple[int, int, bool]]], depth: int
) -> None:
    """Sorted, cut to its depth, with the quantities that were told last."""
    bids: dict[str, str] = {}
    asks: dict[str, str] = {}
    book = Book(depth, Places(2, 8))
    assert book.begin([], [], zlib.crc32(b"")) == ""
    for frame in frames:
        told: tuple[dict[str, str], dict[str, str]] = ({}, {})
        for step, qty, is_bid in frame:
            price = f"{100 - step / 100 if is_bid else 100 + step / 100:.2f}"
            told[not is_bid][price] = f"{qty}.00000000"
        bids = changed(bids, told[0], is_bid=True, depth=depth)
        asks = changed(asks, told[1], is_bid=False, depth=depth)
        assert book.change(raw(told[0]), raw(told[1]), total(bids, asks)) == ""
        shown = book.texts(depth)
        assert [(f"{p:.2f}", f"{q:.8f}") for p, q in shown.bids] == list(bids.items())
        assert [(f"{p:.2f}", f"{q:.8f}") for p, q in shown.asks] == list(asks.items())


# --- depths ------------------------------------------------------------------------------------


def test_depths_are_kraken_s() -> None:
    """And each of them is one."""
    assert [checked_depth(depth) for depth in DEPTHS] == [10, 25, 100, 500, 1000]


@pytest.mark.parametrize("depth", [0, 1, 11, -10, 10.0, "10", None, True, 10_000])
def test_another_depth_is_refused_with_those_there_are(depth: object) -> None:
    """The error names what was given and what can be had."""
    with pytest.raises(ValueError, match="10, 25, 100, 500, 1000") as caught:
        checked_depth(depth)
    assert repr(depth) in str(caught.value)


# --- fills -------------------------------------------------------------------------------------

BOOK = OrderBook(
    Symbol(BTC),
    bids=(Level(Decimal(99), Decimal(1)), Level(Decimal(98), Decimal(2))),
    asks=(Level(Decimal(101), Decimal(1)), Level(Decimal(103), Decimal(3))),
    depth=10,
    source="rest",
    at=1.0,
    proven_age=0.5,
)


def fill(side: str, volume: str, last: str | None = "100") -> Fill:
    """Return what an order would meet in `BOOK`."""
    return estimated_fill(BOOK, side, Decimal(volume), None if last is None else Decimal(last))


@pytest.mark.parametrize(
    ("side", "volume", "filled", "average", "worst", "cost", "slippage"),
    [
        ("buy", "1", "1", "101", "101", "101", "1"),
        ("buy", "2", "2", "102", "103", "204", "2"),
        ("buy", "0.5", "0.5", "101", "101", "50.5", "1"),
        ("buy", "9", "4", "102.5", "103", "410", "2.5"),
        ("sell", "2", "2", "98.5", "98", "197", "1.5"),
        ("sell", "3.5", "3", "98.33333333333333333333333333", "98", "295", None),
    ],
)
def test_fill_takes_the_best_levels_first(
    side: str,
    volume: str,
    filled: str,
    average: str,
    worst: str,
    cost: str,
    slippage: str | None,
) -> None:
    """Mean and worst price, cost, and how much worse than the last trade that is."""
    found = fill(side, volume)
    assert (found.filled, found.average, found.worst) == tuple(
        map(Decimal, (filled, average, worst))
    )
    assert found.cost == Decimal(cost)
    if slippage is not None:
        assert found.slippage_percent == Decimal(slippage)
    assert found.is_complete == (Decimal(filled) == Decimal(volume))
    assert (found.side, found.symbol, found.book) == (side, BTC, BOOK)


def test_fill_of_an_empty_side_has_no_price() -> None:
    """Nothing is made up."""
    empty = dataclasses.replace(BOOK, asks=())
    found = estimated_fill(empty, "buy", Decimal(1), Decimal(100))
    assert found.filled == 0
    assert (found.average, found.worst, found.slippage_percent) == (None, None, None)
    assert not found.is_complete


def test_fill_without_a_last_price_tells_all_but_the_slippage() -> None:
    """What is not known is None; a better price than the last is negative."""
    assert fill("buy", "1", None).slippage_percent is None
    assert fill("buy", "1", "102").slippage_percent == Decimal(-1) / 102 * 100
    assert "bids" not in repr(fill("buy", "1"))


def test_fill_is_exact() -> None:
    """Quantities of eight decimals at prices of ten lose no digit."""
    book = dataclasses.replace(
        BOOK, asks=(Level(Decimal("0.0000012345"), Decimal("12345678901234567890.12345678")),)
    )
    found = estimated_fill(book, "buy", Decimal("12345678901234567890.12345678"), None)
    assert Fraction(found.cost) == Fraction("12345678901234567890.12345678") * Fraction(
        "0.0000012345"
    )


def test_fill_is_exact_whatever_its_caller_rounds_to() -> None:
    """Python's decimal context is the caller's own; sums of money are none of its business."""
    wanted = fill("buy", "1.5", "100.125")
    with localcontext(prec=3, rounding=ROUND_UP) as context:
        context.traps[Inexact] = True
        assert fill("buy", "1.5", "100.125") == wanted
    assert wanted.average is not None
    assert len(wanted.average.as_tuple().digits) == 28


@pytest.mark.parametrize(("number", "places"), [("50000.1", 1), ("5e-05", 8), (12345.678, 3)])
def test_digits_are_the_same_whatever_a_context_rounds_to(number: object, places: int) -> None:
    """A sum of other digits would be a book that is dropped."""
    wanted = digits(number, places)
    with localcontext(prec=2) as context:
        context.traps[Inexact] = True
        assert digits(number, places) == wanted
