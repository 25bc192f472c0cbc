"""What Kraken's lists of orders prove of one order, and what they leave in doubt."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from krakenlink.errors import ProtocolError
from ttslo_app.messages import Sighting, Stop
from ttslo_app.orders.finder import by_client_id, difference, order_in, rows_of, sightings_of
from ttslo_app.orders.request import OrderRequest

ORDER = OrderRequest("XXBTZUSD", "sell", "0.01", "+1.25%")
OURS = "10dbbc38-8940-5a21-9d7b-b5c9342ca547"
THEIRS = "20dbbc38-8940-5a21-9d7b-b5c9342ca547"
DESCR = {"pair": "XBTUSD", "type": "sell", "ordertype": "trailing-stop", "price": "+1.2500%"}
ROW: dict[str, Any] = {"status": "open", "vol": "0.01000000", "descr": DESCR}
MINE = {**ROW, "cl_ord_id": OURS}


def is_bitcoin(name: str) -> bool:
    """Know the pair by two of its names."""
    return name in ("XBTUSD", "XXBTZUSD")


def look(rows: object, book: str = "open") -> Sighting | None:
    """Ask whether our order is among `rows`."""
    return order_in({book: rows}, book, OURS, ORDER, is_bitcoin)


@pytest.mark.parametrize("book", ["open", "closed"])
def test_empty_list_proves_that_the_order_is_not_in_it(book: str) -> None:
    """The question was answered, and there is none."""
    assert look({}, book) is None


@pytest.mark.parametrize(
    "answer",
    [
        *({}, {"closed": {}}, {"open": None}, {"open": []}, {"open": ""}, None, [], "open"),
        *({"open": {"O1": None}}, {"open": {"O1": "open"}}, {"open": {"O1": {"vol": "1"}}}),
        {"open": {"O1": {**ROW, "descr": "sell 0.01"}}},
    ],
)
def test_what_is_no_list_of_orders_proves_nothing(answer: object) -> None:
    """An odd, damaged or empty answer is doubt, never absence."""
    with pytest.raises(ProtocolError):
        order_in(answer, "open", OURS, ORDER, is_bitcoin)


@pytest.mark.parametrize(
    "rows",
    [
        {"O1": {**ROW, "cl_ord_id": THEIRS}},
        {"O1": {**ROW, "vol": "0.02"}},
        {"O1": {**ROW, "descr": {**DESCR, "type": "buy"}}, "O2": ROW},
        {"O1": ROW, "O2": ROW},
        {"O1": {**ROW, "descr": {**DESCR, "pair": "ETHUSD"}}},
    ],
)
def test_list_of_other_orders_proves_nothing(rows: dict[str, Any]) -> None:
    """The filter was not honoured: ours may be on a page that was not sent."""
    with pytest.raises(ProtocolError, match="not that of the one order"):
        look(rows)


@pytest.mark.parametrize(
    "spelling", [OURS, OURS.upper(), OURS.replace("-", ""), "{" + OURS.upper() + "}"]
)
def test_id_is_known_in_every_spelling(spelling: str) -> None:
    """Dashes, braces and case are no part of an id."""
    found = look({"O1": {**ROW, "cl_ord_id": spelling}})
    assert found == Sighting("O1", "open")


def test_order_is_found_among_others_by_its_id() -> None:
    """Where the filter is not honoured ours is found all the same."""
    found = look({"O1": {**ROW, "cl_ord_id": THEIRS}, "O2": MINE, "O3": ROW})
    assert found is not None
    assert found.txid == "O2"


def test_one_row_without_an_id_is_ours_if_it_is_the_same_order() -> None:
    """It is not written anywhere whether rows repeat the id; one alone answers the question."""
    found = look({"O1": ROW})
    assert found is not None
    assert found.txid == "O1"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({**MINE, "vol": "0.50000000"}, "volume 0.50000000 instead of 0.01"),
        ({**MINE, "descr": {**DESCR, "type": "buy"}}, "side buy instead of sell"),
        ({**MINE, "descr": {**DESCR, "price": "+5.0000%"}}, "offset +5.0000% instead of +1.25%"),
        ({**MINE, "descr": {**DESCR, "price": "+1.25"}}, "offset +1.25 instead of +1.25%"),
        ({**MINE, "descr": {**DESCR, "pair": "ETHUSD"}}, "pair ETHUSD instead of XXBTZUSD"),
        ({**MINE, "descr": {**DESCR, "ordertype": "market"}}, "order type market instead of"),
        ({**MINE, "vol": None}, "volume unknown instead of 0.01"),
    ],
)
def test_order_of_our_id_and_other_content_stands_and_is_told(
    row: dict[str, Any], words: str
) -> None:
    """The id says that no other may be sent; what it is instead is not kept back."""
    found = look({"O1": row})
    assert found is not None
    assert words in found.differs


def test_same_order_differs_in_nothing() -> None:
    """Kraken shows more digits and another name of the pair."""
    assert difference(MINE, ORDER, is_bitcoin) == ""


@pytest.mark.parametrize("answer", [None, [], "", {"O1": None}, {"O1": "open"}])
def test_answer_that_lists_no_orders_shows_none(answer: object) -> None:
    """What is no `{txid: order}` shows no order and raises nothing."""
    assert rows_of(answer) == {}
    assert sightings_of(answer) == []


def test_sighting_has_kraken_s_texts() -> None:
    """Numbers stay as Kraken wrote them, what is missing is empty."""
    rows = {"O1": {"status": "canceled", "vol_exec": "0.5", "price": "9.10", "reason": "User"}}
    assert sightings_of(rows) == [Sighting("O1", "canceled", "0.5", "9.10", "User")]
    assert sightings_of({"O2": {"vol_exec": None}}) == [Sighting("O2", "", "", "", "")]


TRAILING: dict[str, Any] = {
    "status": "open",
    "descr": {"ordertype": "trailing-stop"},
    "stopprice": "97584.70000",
    "limitprice": "109645.70000",
    "trigger": "index",
}


@pytest.mark.parametrize(
    ("changes", "stop"),
    [
        ({}, Stop(Decimal("97584.7"), Decimal("109645.7"), "index")),
        ({"trigger": None}, Stop(Decimal("97584.7"), Decimal("109645.7"), "last")),
        ({"trigger": "mark"}, Stop(Decimal("97584.7"), Decimal("109645.7"), "")),
        ({"trigger": ["last"]}, Stop(Decimal("97584.7"), Decimal("109645.7"), "")),
        ({"limitprice": "0.00000"}, Stop(Decimal("97584.7"), None, "index")),
        ({"stopprice": "0.00000"}, None),
        ({"stopprice": "NaN"}, None),
        ({"stopprice": None}, None),
        ({"descr": None}, None),
        ({"descr": {"ordertype": "limit"}}, None),
    ],
)
def test_stop_is_read_as_far_as_it_makes_sense(changes: dict[str, Any], stop: Stop | None) -> None:
    """Where it stands, the best price since, what it follows; never a number that is none."""
    (seen,) = sightings_of({"O1": {**TRAILING, **changes}})
    assert seen.stop == stop


@pytest.mark.parametrize("txid", ["=cmd|' /C calc'!A0", "O1\nforged", "", "O" * 65, "Ö1", "O1,2"])
def test_what_cannot_be_an_order_id_is_no_answer(txid: str) -> None:
    """It would be written into the user's files, where a spreadsheet obeys it."""
    with pytest.raises(ProtocolError, match="which is no order id"):
        look({txid: ROW})


def test_words_of_an_order_are_shown_and_not_obeyed() -> None:
    """No answer can forge a line, or fill a file."""
    row = {**ROW, "status": "open\x1b[2J", "reason": "a\nb", "price": "9" * 5000}
    (found,) = sightings_of({"O1": row})
    assert (found.status, found.reason) == (r"open\x1b[2J", r"a\nb")
    assert len(found.price) < 1000


# --- more than one order of one id ---------------------------------------------------------------


@pytest.mark.parametrize("book", ["open", "closed"])
@pytest.mark.parametrize(
    "second", [MINE, {**MINE, "vol": "0.02"}, {**MINE, "cl_ord_id": OURS.upper()}]
)
def test_two_orders_of_one_id_are_doubt_and_both_are_named(
    second: dict[str, Any], book: str
) -> None:
    """Whichever is ours, somebody has to look: neither passes for the one that was sent."""
    with pytest.raises(ProtocolError, match=rf"2 {book} orders have this one id \(O1, O2\)"):
        look({"O1": MINE, "O2": second}, book)


def test_only_some_of_many_orders_of_one_id_are_named() -> None:
    """A sentence stays one that can be read."""
    with pytest.raises(ProtocolError) as caught:
        look({f"O{number}": MINE for number in range(1, 31)})
    assert "30 open orders" in str(caught.value)
    assert "O6" not in str(caught.value)


def test_one_order_of_our_id_is_found_beside_any_others() -> None:
    """Those of other ids, or of none, make no second one of it."""
    rows = {"O1": ROW, "O2": MINE, "O3": {**ROW, "cl_ord_id": THEIRS}, "O4": ROW}
    found = look(rows)
    assert found is not None
    assert (found.txid, found.differs) == ("O2", "")


# --- orders with terms ----------------------------------------------------------------------------

LIMITED = replace(ORDER, ordertype="trailing-stop-limit", price2="-0.5%", oflags="fciq")
SHOWN: dict[str, Any] = {
    **MINE,
    "oflags": "fciq",
    "trigger": "last",
    "descr": {**DESCR, "ordertype": "trailing-stop-limit", "price2": "-0.5000%"},
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"oflags": None, "trigger": None}, ""),
        ({"descr": {**SHOWN["descr"], "price2": "-0.4%"}}, "limit -0.4% instead of -0.5%"),
        ({"descr": {**SHOWN["descr"], "price2": "+0.5%"}}, "limit +0.5% instead of -0.5%"),
        ({"descr": {**SHOWN["descr"], "price2": "-0.5"}}, "limit -0.5 instead of -0.5%"),
        ({"descr": {**SHOWN["descr"], "ordertype": "trailing-stop"}}, "order type trailing-stop"),
        ({"oflags": "fcib"}, "oflags fcib instead of fciq"),
        ({"oflags": "post,fciq"}, ""),
        ({"trigger": "index"}, "trigger index instead of last"),
        # Triggered, it rests as the limit order that it has become, and shows that one's price.
        ({"descr": {**DESCR, "ordertype": "limit", "price": "44550.0", "price2": "0"}}, ""),
        ({"vol": "0.02"}, "volume 0.02 instead of 0.01"),
    ],
)
def test_order_with_terms_is_ours_by_all_of_them(changes: dict[str, Any], said: str) -> None:
    """As far as Kraken shows them: what is not told tells nothing."""
    found = difference({**SHOWN, **changes}, LIMITED, is_bitcoin)
    assert found.startswith(said)
    assert bool(found) is bool(said)


def test_last_price_in_place_of_the_index_is_krakens_own_doing() -> None:
    """It falls back to it while its index feed is down."""
    by_index = replace(LIMITED, trigger="index")
    assert difference(SHOWN, by_index, is_bitcoin) == ""


def test_volume_that_nobody_knows_yet_is_any() -> None:
    """An order of an earlier run, whose number was not written down here."""
    assert difference(SHOWN, replace(LIMITED, volume=""), is_bitcoin) == ""
    assert difference({**SHOWN, "vol": "7"}, replace(LIMITED, volume=""), is_bitcoin) == ""


def test_stop_of_a_limited_order_is_seen_as_well() -> None:
    """It trails as any other does."""
    row = {**TRAILING, "descr": {"ordertype": "trailing-stop-limit"}}
    (sighting,) = sightings_of({"O1": row})
    assert sighting.stop is not None
    assert sighting.stop.price == Decimal("97584.7")


def test_orders_are_known_by_their_client_ids_however_these_are_written() -> None:
    """One without an id of ours, and one whose own id cannot be Kraken's, are left out."""
    txid = "OAAAAA-BBBBB-CCCCCC"
    nameless = {"OAAAAA-BBBBB-DDDDDD": ROW, "OAAAAA-BBBBB-EEEEEE": {**ROW, "cl_ord_id": None}}
    odd = {"O1\n2": {**ROW, "cl_ord_id": THEIRS}}
    answer = {"open": {**nameless, txid: {**ROW, "cl_ord_id": OURS.upper()}, **odd}}
    found = by_client_id(answer)
    assert list(found) == [OURS.replace("-", "")]
    assert (found[OURS.replace("-", "")].txid, found[OURS.replace("-", "")].status) == (
        txid,
        "open",
    )


@pytest.mark.parametrize("answer", [None, [], {}, {"open": None}, {"open": {"O1": "open"}}])
def test_answer_that_lists_no_order_names_none(answer: object) -> None:
    """Whoever asks takes no row of it for an order."""
    assert by_client_id(answer) == {}
