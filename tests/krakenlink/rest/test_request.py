"""Kraken's private requests: what is sent is what was signed, and no secret is shown."""

import base64
import json
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.errors import ArgumentError
from krakenlink.pairs import TOKENIZED, Pair, Symbol
from krakenlink.rest.request import (
    Prepared,
    checked_batch,
    checked_direction,
    checked_number,
    checked_order_type,
    checked_pair,
    checked_txid,
    encode,
    encode_json,
    named,
    private_request,
    sign,
    volume_text,
)

# Published by Kraken as an example; nobody's key.
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
NONCE = "1616492376594"
BODY = f"nonce={NONCE}&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
SIGNATURE = (
    "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
)


def test_signature_is_krakens() -> None:
    """Kraken's published example comes out to the letter."""
    assert sign("/0/private/AddOrder", NONCE, BODY, SECRET) == SIGNATURE


def test_request_is_signed_over_the_very_body_it_carries() -> None:
    """The signature in the headers is that of the bytes in the body."""
    params = {"ordertype": "limit", "pair": "XBTUSD", "price": 37500, "type": "buy"}
    request = private_request("AddOrder", {**params, "volume": "1.25"}, int(NONCE), "key", SECRET)
    assert request.path == "/0/private/AddOrder"
    assert request.body.decode() == BODY
    assert request.headers["API-Sign"] == SIGNATURE
    assert request.headers["API-Key"] == "key"


_PARAMS = st.dictionaries(
    st.text("abcdef[]", min_size=1, max_size=3),
    st.one_of(st.text("+% aé", max_size=5), st.booleans(), st.none(), st.integers(0, 99)),
    max_size=5,
)


@given(_PARAMS, _PARAMS)
def test_prepared_parameters_are_signed_and_sent_as_they_would_be_without(
    first: dict[str, object], more: dict[str, object]
) -> None:
    """What is written ahead is no other request: to the letter the same, and signed the same."""
    more = {name: value for name, value in more.items() if name not in first}
    prepared = Prepared(first, encode(first)).along_with(more)
    assert prepared == {**first, **more}
    ahead = private_request("AddOrder", prepared, NONCE, "key", SECRET)
    assert ahead == private_request("AddOrder", {**first, **more}, NONCE, "key", SECRET)


def test_prepared_parameters_are_never_changed() -> None:
    """Of each way to send them the next knows nothing, and none says a thing twice."""
    prepared = Prepared({"pair": "XBTUSD"}, "pair=XBTUSD")
    assert prepared.along_with({"deadline": "soon"}).text == "pair=XBTUSD&deadline=soon"
    assert (prepared, prepared.text) == ({"pair": "XBTUSD"}, "pair=XBTUSD")
    with pytest.raises(ArgumentError, match="said already: pair"):
        prepared.along_with({"deadline": "soon", "pair": "ETHUSD"})


def test_prepared_parameters_that_somebody_changes_are_sent_as_they_are_by_then() -> None:
    """As a client of a caller's does that adds `validate` to every order, so that none is real."""
    prepared = Prepared({"pair": "XBTUSD"}, "pair=XBTUSD").along_with({"volume": "2"})
    prepared["validate"] = True
    del prepared["volume"]
    request = private_request("AddOrder", prepared, NONCE, "key", SECRET)
    assert request.body == f"nonce={NONCE}&pair=XBTUSD&validate=true".encode()
    assert prepared.along_with({"leverage": "2"}).text == "pair=XBTUSD&validate=true&leverage=2"


def test_offset_survives_the_encoding() -> None:
    """`+` and `%` of a trailing offset arrive as they were typed."""
    assert encode({"price": "+5.0%"}) == "price=%2B5.0%25"
    assert parse_qsl(encode({"price": "+5.0%"})) == [("price", "+5.0%")]


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (None, ""),
        ({"a": None, "validate": False}, ""),
        ({"validate": True}, "validate=true"),
        ({"consolidate_taker": False}, "consolidate_taker=false"),
        ({"volume": Decimal("5E-8")}, "volume=0.00000005"),
        ({"volume": 5e-8}, "volume=0.00000005"),
        ({"txid": ["A", "B"]}, "txid=A%2CB"),
        (
            {"close": {"ordertype": "limit", "price": 0}},
            "close%5Bordertype%5D=limit&close%5Bprice%5D=0",
        ),
    ],
)
def test_parameters_become_form_text(params: dict[str, object] | None, text: str) -> None:
    """Absent is left out, numbers are plain, lists and dicts are as Kraken reads them."""
    assert encode(params) == text


@pytest.mark.parametrize("value", [float("nan"), Decimal("Infinity"), object(), "\ud800"])
def test_values_without_a_text_are_refused(value: object) -> None:
    """What cannot be written down is refused before anything is sent."""
    with pytest.raises(ArgumentError):
        encode({"volume": value})


@pytest.mark.parametrize("secret", ["not base64!", "abc", "é"])
def test_damaged_secret_is_refused_without_showing_it(secret: str) -> None:
    """A secret that is no base64 is named by its argument, not by its text."""
    with pytest.raises(ArgumentError, match="api_secret") as caught:
        sign("/", "1", "", secret)
    assert secret not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("key", ["key\n", "ключ"])
def test_damaged_key_is_refused_without_showing_it(key: str) -> None:
    """A key that no HTTP header takes is refused here, because HTTP libraries would print it."""
    with pytest.raises(ArgumentError, match="api_key") as caught:
        private_request("Balance", None, 1, key, SECRET)
    assert key not in str(caught.value)


def test_request_hides_its_secrets() -> None:
    """The repr of a signed request shows neither key, nor signature, nor body."""
    text = repr(private_request("Balance", {"otp": "123456"}, 1, "my-key", SECRET))
    assert text == "Request(path='/0/private/Balance')"


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.integers(), max_size=4))
def test_encoded_text_reads_back_as_it_was(params: dict[str, object]) -> None:
    """Whatever text goes in comes out of the form again, and nothing else can fail."""
    try:
        text = encode(params)
    except ArgumentError:
        return
    assert parse_qsl(text, keep_blank_values=True) == [(k, str(v)) for k, v in params.items()]


def test_secret_is_stripped_of_the_newline_of_a_file() -> None:
    """A secret pasted with a line end around it works."""
    padded = f" {SECRET}\n"
    assert base64.b64decode(SECRET)
    assert sign("/0/private/AddOrder", NONCE, BODY, padded) == SIGNATURE


SOL = Pair("SOLUSD", "SOLUSD", "SOL/USD", Symbol("SOL/USD"), "SOL", "ZUSD", lot_decimals=4)


APPLE = Pair("AAPLxUSD", "AAPLxUSD", "AAPLx/USD", None, "AAPLx", "ZUSD", asset_class=TOKENIZED)


NO_TEXT: list[Any] = [None, "", "  ", 5, b"BTC/USD", ["BTC/USD"]]


@pytest.mark.parametrize("value", NO_TEXT)
@pytest.mark.parametrize(
    ("check", "name"),
    [
        (checked_pair, "pair parameter is required"),
        (checked_pair, "pair must be a string"),
        (checked_order_type, "order_type must be a string"),
        (checked_txid, "txid parameter is required"),
    ],
)
def test_what_is_no_text_is_refused_by_its_name(check: Any, name: str, value: object) -> None:
    """An empty word, a number or a list names nothing."""
    with pytest.raises(ArgumentError, match=name):
        check(value)


def test_words_lose_the_blanks_around_them() -> None:
    """What was pasted with a blank is what was meant."""
    assert checked_pair(" BTC/USD ") == "BTC/USD"
    assert checked_order_type("market ") == "market"
    assert checked_txid(" OABC-1\n") == "OABC-1"


@pytest.mark.parametrize(("typed", "side"), [("buy", "buy"), (" SELL ", "sell"), ("Buy", "buy")])
def test_side_is_read_in_any_case(typed: str, side: str) -> None:
    """Buy and sell are the two sides, however they are written."""
    assert checked_direction(typed) == side


@pytest.mark.parametrize("value", [*NO_TEXT, "hold", "buysell", True])
def test_other_sides_are_refused(value: object) -> None:
    """There is no third side, and none by default."""
    with pytest.raises(ArgumentError, match="direction must be 'buy' or 'sell'"):
        checked_direction(value)


@given(st.text() | st.floats() | st.none() | st.binary() | st.booleans() | st.integers())
def test_a_number_is_positive_or_refused_by_its_name(value: object) -> None:
    """Whatever comes in: a positive decimal, or the one error that names the argument."""
    try:
        number = checked_number("volume", value)
    except ArgumentError as error:
        assert str(error).startswith("volume must be positive")  # noqa: PT017
    else:
        assert number > 0


@pytest.mark.parametrize(
    ("volume", "known", "text"),
    [
        ("1.99999", SOL, "1.9999"),
        ("1.99999", None, "1.99999"),
        (Decimal("5E-8"), APPLE, "0.00000005"),
        (0.1, SOL, "0.1"),
    ],
)
def test_volume_is_cut_where_the_decimals_are_known(
    volume: object, known: Pair | None, text: str
) -> None:
    """Never rounded up, and not touched where nobody has told the decimals."""
    assert volume_text(volume, "X", known) == text


def test_text_of_a_volume_is_kept_for_its_pair_and_its_kind_alone() -> None:
    """What is alike to Python need not be alike to Kraken, and a pair may change its decimals."""
    for _ in range(2):
        assert volume_text("1.234567", "SOL", SOL) == "1.2345"
        assert volume_text("1.234567", "SOL", SOL._replace(lot_decimals=5)) == "1.23456"
        assert volume_text("1.234567", "SOL", None) == "1.234567"
        assert [volume_text(one, "SOL", None) for one in ("1", "1.0", Decimal("1.00"), 1)] == [
            "1",
            "1.0",
            "1.00",
            "1",
        ]
        with pytest.raises(ArgumentError):
            volume_text(True, "SOL", None)
        with pytest.raises(ArgumentError):
            volume_text(["1"], "SOL", None)


def test_volume_of_which_nothing_is_left_is_refused_by_the_name_as_typed() -> None:
    """An order of nothing is an error here and not at Kraken."""
    with pytest.raises(ArgumentError, match=r"0\.00001 is zero in the 4 decimals of sol-usd"):
        volume_text("0.00001", "sol-usd", SOL)


@pytest.mark.parametrize("name", ["AAPLx/USD", "AAPLxUSD", "BRK.Bx-EUR"])
def test_tokenized_pair_is_named_with_its_class(name: str) -> None:
    """Kraken looks for an xStock only where it is told to, with or without its listing at hand."""
    assert named("SOL", SOL) == {"pair": "SOLUSD"}
    assert named("aapl", APPLE) == {"pair": "AAPLxUSD", "asset_class": "tokenized_asset"}
    assert named(name, None) == {"pair": name, "asset_class": "tokenized_asset"}
    assert named(name, None, "aclass_base") == {"pair": name, "aclass_base": "tokenized_asset"}


@pytest.mark.parametrize("name", ["XXBTZUSD", "BTC/USD", "btc/usd", "XTZUSD", "XBTUSD.d", "x"])
def test_other_pairs_are_named_without_a_class(name: str) -> None:
    """No coin has a small x before its quote."""
    assert named(name, None) == {"pair": name}


def test_text_of_an_argument_is_shown_with_an_end() -> None:
    """What somebody handed in forges no line, and fills none."""
    with pytest.raises(ArgumentError) as caught:
        checked_direction("\x1b[31m\n" + "x" * 10_000)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


# --- lists of objects ---


def test_list_of_objects_is_signed_as_the_json_that_is_sent() -> None:
    """A form has no agreed way to name their fields, and all that is said is the same in both."""
    order = {"price": "+5.0%", "volume": Decimal("5E-8"), "post": False, "close": {"price": 2.5}}
    params = {"pair": "XBTUSD", "orders": [order, {"flags": ["a", "b"], "reduce_only": True}]}
    request = private_request("AddOrderBatch", {**params, "deadline": None}, 7, "key", SECRET)
    assert request.headers["Content-Type"] == "application/json"
    text = request.body.decode()
    assert request.headers["API-Sign"] == sign("/0/private/AddOrderBatch", "7", text, SECRET)
    assert json.loads(text) == {
        "nonce": "7",
        "pair": "XBTUSD",
        "orders": [
            {"price": "+5.0%", "volume": "0.00000005", "close": {"price": "2.5"}},
            {"flags": "a,b", "reduce_only": True},
        ],
    }


@pytest.mark.parametrize(
    "orders",
    [[{"volume": float("nan")}, {}], [{"volume": object()}, {}], [{"close": {"price": 1j}}, {}]],
)
def test_value_without_a_text_is_named_with_its_place(orders: list[dict[str, object]]) -> None:
    """Nothing is sent, and the message says which field of which order it is."""
    with pytest.raises(ArgumentError, match=r"orders\[0\]\[(volume|close)\]"):
        encode_json({"orders": orders})


@pytest.mark.parametrize("value", [[{"a": 1}, "b"], ["b", {"a": 1}], {"x": [{"a": 1}, 2]}])
def test_list_that_is_partly_of_objects_is_refused(value: object) -> None:
    """Neither form nor JSON could say what is meant."""
    for encoded in (encode, encode_json):
        with pytest.raises(ArgumentError, match="cannot be a dict"):
            encoded({"orders": value})


@pytest.mark.parametrize(
    "orders",
    [None, "ab", {"a": {}, "b": {}}, [], [{}], [{}] * 16, [{}, "b"], [{}, None], iter([{}, {}])],
)
def test_batch_is_2_to_15_objects(orders: object) -> None:
    """Kraken takes no other, so nothing is sent."""
    with pytest.raises(ArgumentError, match="orders must be a list of 2 to 15 objects"):
        checked_batch(orders)


def test_id_stands_in_one_order_of_a_batch_alone() -> None:
    """Orders without one are no copies of each other."""
    assert len(checked_batch([{"cl_ord_id": None}, {}, {"cl_ord_id": "a"}])) == 3
    with pytest.raises(ArgumentError, match="each cl_ord_id must stand in one order alone"):
        checked_batch([{"cl_ord_id": "a"}, {}, {"cl_ord_id": "a"}])


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=4))
def test_text_is_quoted_as_by_the_standard_library(params: dict[str, str]) -> None:
    """What is left as it is needs no quoting; nothing else is."""
    try:
        quoted = urlencode(params)
    except UnicodeEncodeError:
        with pytest.raises(ArgumentError):
            encode(params)
    else:
        assert encode(params) == quoted
