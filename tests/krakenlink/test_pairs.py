"""Names of pairs: every spelling finds the one pair that it means, and a doubtful one none."""

import json
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.pairs import (
    AmbiguousPair,
    Pair,
    PairDirectory,
    UnknownPair,
    legacy_pair,
    shown_pair,
)


def row(altname: str, wsname: str | None, base: str, quote: str, **more: Any) -> dict[str, Any]:
    """Return a row of AssetPairs as Kraken sends it."""
    cells: dict[str, Any] = {"altname": altname, "base": base, "quote": quote}
    cells |= {"pair_decimals": 2, "lot_decimals": 8, "lot_multiplier": 1, "status": "online"}
    cells |= {"ordermin": "0.0001", "costmin": "0.5", "tick_size": "0.01", **more}
    return cells if wsname is None else {**cells, "wsname": wsname}


LISTING = {
    "XXBTZUSD": row("XBTUSD", "XBT/USD", "XXBT", "ZUSD", pair_decimals=1, tick_size="0.1"),
    "XXBTZUSD.d": row("XBTUSD.d", None, "XXBT", "ZUSD"),
    "XETHXXBT": row("ETHXBT", "ETH/XBT", "XETH", "XXBT"),
    "XDGUSD": row("XDGUSD", "XDG/USD", "XXDG", "ZUSD"),
    "XXDGXXBT": row("XDGXBT", "XDG/XBT", "XXDG", "XXBT"),
    "XTZUSD": row("XTZUSD", "XTZ/USD", "XTZ", "ZUSD"),
    "TUSD": row("TUSD", "T/USD", "T", "ZUSD"),
    "USDTZUSD": row("USDTUSD", "USDT/USD", "USDT", "ZUSD"),
    "USDCUSDT": row("USDCUSDT", "USDC/USDT", "USDC", "USDT"),
    "ZEURZUSD": row("EURUSD", "EUR/USD", "ZEUR", "ZUSD"),
    "1INCHEUR": row("1INCHEUR", "1INCH/EUR", "1INCH", "ZEUR"),
    "ETHUSDT": row("ETHUSDT", "ETH/USDT", "XETH", "USDT"),
    "AAPLxUSD": row("AAPLxUSD", "AAPLx/USD", "AAPLx", "ZUSD", aclass_base="tokenized_asset"),
    "OLDUSD": {"altname": "OLDUSD", "base": "OLD", "quote": "ZUSD"},
}
DIRECTORY = PairDirectory.from_asset_pairs(LISTING)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *((n, "XXBTZUSD") for n in ("XXBTZUSD", "XBTUSD", "XBT/USD", "BTC/USD", "BTCUSD")),
        *((n, "XXBTZUSD") for n in ("btc-usd", "xbt-usd", " Btc/Usd ", "XXBT/ZUSD", "btc/zusd")),
        *((n, "XDGUSD") for n in ("DOGEUSD", "XDG/USD", "doge-usd", "DOGE/USD", "xdgusd")),
        *((n, "XETHXXBT") for n in ("ETH/XBT", "ETHBTC", "ETH-BTC", "ethxbt", "XETHXXBT")),
        *((n, "XTZUSD") for n in ("XTZUSD", "XTZ/USD", "xtz-usd", "xtzusd")),
        *((n, "TUSD") for n in ("TUSD", "T/USD", "t-usd")),
        *((n, "AAPLxUSD") for n in ("AAPLx/USD", "AAPLxUSD", "aaplx/usd", "AAPLX-USD")),
        *((n, "XXDGXXBT") for n in ("DOGE/BTC", "DOGEBTC", "DOGE/XBT", "XDGBTC")),
        *((n, "XXBTZUSD.d") for n in ("XXBTZUSD.d", "XBTUSD.D", "xxbt/zusd.d")),
        ("EURUSD", "ZEURZUSD"),
        ("USDCUSDT", "USDCUSDT"),
        ("1inch/eur", "1INCHEUR"),
        ("ETHUSDT", "ETHUSDT"),
        ("OLD/ZUSD", "OLDUSD"),
    ],
)
def test_every_spelling_finds_its_pair(name: str, key: str) -> None:
    """REST key, altname, wsname and v2 symbol are one, in any case and with any separator."""
    assert DIRECTORY.resolve(name).rest_key == key
    found = DIRECTORY.find(name)
    assert found is not None
    assert found.rest_key == key


@pytest.mark.parametrize(
    ("key", "symbol"),
    [
        ("XXBTZUSD", "BTC/USD"),
        ("XETHXXBT", "ETH/BTC"),
        ("XXDGXXBT", "DOGE/BTC"),
        ("XTZUSD", "XTZ/USD"),
        ("AAPLxUSD", "AAPLx/USD"),
        ("XXBTZUSD.d", None),
        ("OLDUSD", None),
    ],
)
def test_symbol_is_the_wsname_with_two_renames(key: str, symbol: str | None) -> None:
    """Only XBT and XDG have other names on the stream; without a wsname there is no stream."""
    assert DIRECTORY.resolve(key).symbol == symbol


def test_row_becomes_a_typed_pair() -> None:
    """Each cell that is used arrives under its own name and with its own type."""
    assert DIRECTORY.resolve("BTC/USD") == Pair(
        rest_key="XXBTZUSD",
        altname="XBTUSD",
        wsname="XBT/USD",
        symbol=DIRECTORY.resolve("BTC/USD").symbol,
        base="XXBT",
        quote="ZUSD",
        price_decimals=1,
        lot_decimals=8,
        ordermin=Decimal("0.0001"),
        costmin=Decimal("0.5"),
        tick_size=Decimal("0.1"),
        status="online",
    )


def test_bare_row_is_taken_for_what_it_says() -> None:
    """A row with neither wsname, nor status, nor numbers is online, and its numbers are unknown."""
    pair = DIRECTORY.resolve("OLDUSD")
    assert (pair.status, pair.ordermin, pair.lot_decimals) == ("online", None, None)
    assert not pair.is_tokenized


def test_xstocks_are_told_apart() -> None:
    """A tokenized asset says so, because its calls need to be told."""
    assert DIRECTORY.resolve("AAPLx/USD").is_tokenized


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("BTC/USX", "BTC/USD"), ("doge-usx", "DOGE/USD"), ("APLx/USD", "AAPLx/USD")],
)
def test_unknown_name_brings_the_nearest_known(name: str, nearest: str) -> None:
    """A slip of the hand is answered with what was probably meant."""
    with pytest.raises(UnknownPair, match=nearest):
        DIRECTORY.resolve(name)
    assert DIRECTORY.find(name) is None


QUOTED = PairDirectory.from_asset_pairs(
    {
        f"{base}{quote}": row(f"{base}{quote}", f"{base}/{quote}", base, quote)
        for base, quotes in {
            "XBT": "ZAR BTC2 USDT JPY CHF EUR AUD USD GBP DAI",
            "DOT": "BTC ETH USDT EUR",
            "BTT": "USD",
        }.items()
        for quote in quotes.split()
    }
)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        *((name, "BTC/USD, BTC/EUR, BTC/GBP") for name in ("BTC", "btc", "XBT", " xxbt ", "XXBT")),
        ("DOT", "DOT/EUR, DOT/USDT, DOT/BTC"),
        ("BTT", "BTT/USD"),
    ],
)
def test_asset_alone_brings_its_price_in_common_money_first(name: str, nearest: str) -> None:
    """Whoever writes BTC wants to know what one costs, and not in another coin."""
    with pytest.raises(UnknownPair) as caught:
        QUOTED.resolve(name)
    assert str(caught.value).endswith(f"; the nearest are {nearest}")


@pytest.mark.parametrize("name", ["", "  ", None, 5, b"BTCUSD", ["BTC/USD"], "Q" * 100_000])
def test_what_is_no_name_is_a_lookup_error(name: object) -> None:
    """Empty and foreign things are the one documented error too, and in no long sentence."""
    with pytest.raises(LookupError) as caught:
        DIRECTORY.resolve(name)
    assert len(str(caught.value)) < 200


def test_ambiguous_name_is_refused_naming_both() -> None:
    """A name of two pairs is nobody's: one of the two is what the user does not want to sell."""
    rows = {
        "ABCUSD": row("ABCUSD", "A/BCUSD", "A", "BCUSD"),
        "ABUSD": row("ABUSD", "AB/USD", "AB", "ZUSD"),
        "XABUSD": row("XABUSD", "AB/USD", "AB", "ZUSD"),
    }
    directory = PairDirectory.from_asset_pairs(rows)
    with pytest.raises(AmbiguousPair, match=r"ABUSD.*XABUSD"):
        directory.resolve("AB/USD")
    assert directory.find("AB/USD") is None
    assert directory.resolve("XABUSD").rest_key == "XABUSD"


def test_composed_names_that_collide_are_refused() -> None:
    """Two pairs whose assets spell the same letters are not told apart by those letters."""
    rows = {"K1": row("N1", "A/BUSD", "A", "BUSD"), "K2": row("N2", "AB/USD", "AB", "USD")}
    directory = PairDirectory.from_asset_pairs(rows)
    with pytest.raises(AmbiguousPair):
        directory.resolve("ABUSD")
    assert directory.resolve("AB/USD").rest_key == "K2"


def test_own_name_beats_a_composed_one() -> None:
    """What Kraken calls a pair wins over what could be made of another pair's assets."""
    rows = {"K1": row("ABUSD", "Q/EUR", "Q", "ZEUR"), "K2": row("N2", "AB/USD", "AB", "USD")}
    assert PairDirectory.from_asset_pairs(rows).resolve("abusd").rest_key == "K1"


def test_exact_case_beats_any_case() -> None:
    """Where names differ by case alone, the one that was typed is meant, and no other."""
    rows = {
        "ABx/USD": row("ABxUSD", "ABx/USD", "ABx", "USD"),
        "ABXUSD": row("ABXUSD", "ABX/USD", "ABX", "USD"),
    }
    directory = PairDirectory.from_asset_pairs(rows)
    assert directory.resolve("ABxUSD").symbol == "ABx/USD"
    assert directory.resolve("ABXUSD").symbol == "ABX/USD"
    with pytest.raises(AmbiguousPair):
        directory.resolve("abxusd")


def test_key_that_follows_the_question_is_not_taken_for_the_rest_key() -> None:
    """Asked for `BTC/USD`, Kraken answers under that name; REST's short name is the surer one."""
    listing = {"BTC/USD": LISTING["XXBTZUSD"]}
    assert PairDirectory.from_asset_pairs(listing).resolve("BTC/USD").rest_key == "XBTUSD"


@pytest.mark.parametrize(
    ("key", "cells"),
    [
        ("", LISTING["XDGUSD"]),
        (5, LISTING["XDGUSD"]),
        ("A", None),
        ("A", []),
        ("A", {}),
        ("A", {"base": "A"}),
        ("A", {"base": 5, "quote": None}),
        ("A", {"wsname": "A/B/C"}),
        ("A", {"wsname": "/"}),
    ],
)
def test_damaged_row_is_left_out(key: object, cells: object) -> None:
    """A row that does not even name its assets costs no other row."""
    directory = PairDirectory.from_asset_pairs({key: cells, "XXBTZUSD": LISTING["XXBTZUSD"]})
    assert [pair.rest_key for pair in directory] == ["XXBTZUSD"]


@pytest.mark.parametrize("result", [None, [], "x", 5, {}])
def test_damaged_listing_is_an_empty_directory(result: object) -> None:
    """No listing raises; at worst it has no pairs."""
    assert len(PairDirectory.from_asset_pairs(result)) == 0


def test_assets_may_come_from_the_wsname_alone() -> None:
    """A row without base and quote is read from its wsname."""
    pair = PairDirectory.from_asset_pairs({"SOLUSD": {"wsname": "SOL/USD"}}).resolve("sol-usd")
    assert (pair.base, pair.quote, pair.altname) == ("SOL", "USD", "SOLUSD")


@pytest.mark.parametrize("value", ["NaN", "-1", "0", "x", None, True, [], "1e999999"])
def test_damaged_amount_is_unknown(value: object) -> None:
    """An amount that cannot be one is None, and the row stays usable."""
    cells = {**LISTING["XDGUSD"], "ordermin": value}
    pair = PairDirectory.from_asset_pairs({"XDGUSD": cells}).resolve("DOGE/USD")
    assert pair.ordermin is None


@pytest.mark.parametrize("value", ["8", -1, 99, True, None, 1.5])
def test_damaged_count_of_places_is_unknown(value: object) -> None:
    """A number of decimals that cannot be one is None, and the row stays usable."""
    cells = {**LISTING["XDGUSD"], "lot_decimals": value}
    pair = PairDirectory.from_asset_pairs({"XDGUSD": cells}).resolve("DOGE/USD")
    assert pair.lot_decimals is None


def test_pair_is_not_ambiguous_with_itself() -> None:
    """Names of one pair that differ by case alone are one name."""
    directory = PairDirectory.from_asset_pairs({"AbUSD": row("ABUSD", "AB/USD", "AB", "USD")})
    assert directory.resolve("abusd").rest_key == "AbUSD"


@pytest.mark.parametrize(
    ("name", "key", "symbol"),
    [
        ("XXBTZUSD", "XXBTZUSD", "BTC/USD"),
        ("XBTUSD", "XXBTZUSD", "BTC/USD"),
        ("btc-usd", "XXBTZUSD", "BTC/USD"),
        ("DOGEUSD", "XDGUSD", "DOGE/USD"),
        ("XDG/EUR", "XDGEUR", "DOGE/EUR"),
        ("ETHBTC", "XETHXXBT", "ETH/BTC"),
        ("EURUSD", "ZEURZUSD", "EUR/USD"),
        ("ETC/ETH", "XETCXETH", "ETC/ETH"),
    ],
)
def test_oldest_pairs_are_known_without_a_listing(name: str, key: str, symbol: str) -> None:
    """What has had the same name for ten years resolves when Kraken cannot be asked."""
    pair = legacy_pair(name)
    assert pair is not None
    assert (pair.rest_key, pair.symbol, pair.lot_decimals) == (key, symbol, None)


@pytest.mark.parametrize("name", ["XTZUSD", "ETHUSDT", "SOL/USD", "XXBTZAUD", "", None])
def test_other_pairs_are_never_guessed(name: object) -> None:
    """A name that only looks like an old one is not known."""
    assert legacy_pair(name) is None


ROWS = st.dictionaries(
    st.text(max_size=8),
    st.none()
    | st.dictionaries(
        st.sampled_from(["altname", "wsname", "base", "quote", "status", "ordermin"]),
        st.text(max_size=8) | st.integers() | st.none() | st.floats(),
    ),
    max_size=5,
)


@given(ROWS, st.text() | st.none() | st.integers())
def test_nothing_raises_but_lookup_errors(rows: dict[str, Any], name: object) -> None:
    """Whatever Kraken lists and whoever asks for it: a pair, or a `LookupError`."""
    directory = PairDirectory.from_asset_pairs(rows)
    try:
        pair = directory.resolve(name)
    except LookupError:
        assert directory.find(name) is None
    else:
        assert directory.find(name) is pair
    kept = PairDirectory.from_asset_pairs(directory.as_asset_pairs())
    assert {pair.rest_key: pair for pair in kept} == {pair.rest_key: pair for pair in directory}


@pytest.mark.parametrize(
    "change",
    [
        {"ordermin": "1e16"},
        {"ordermin": "1e999"},
        {"costmin": "9" * 1_000},
        {"tick_size": "NaN"},
        {"lot_decimals": 31},
        {"lot_decimals": 10**100},
        {"wsname": "SOL/USD\x1b[2J"},
        {"status": "on\nline"},
        {"altname": "x" * 41},
    ],
)
def test_fact_beyond_all_bounds_is_not_taken(change: dict[str, object]) -> None:
    """No minimum bars a pair for ever, no name acts on a screen: such a fact is unknown."""
    row = {"altname": "SOLUSD", "wsname": "SOL/USD", "base": "SOL", "quote": "ZUSD"}
    pair = PairDirectory.from_asset_pairs({"SOLUSD": row | change}).find("SOLUSD")
    plain = PairDirectory.from_asset_pairs({"SOLUSD": row}).find("SOLUSD")
    assert pair is not None
    assert plain is not None
    if "wsname" in change:
        assert pair.symbol is None
    else:
        assert pair == plain


def test_pairs_are_kept_as_the_text_of_a_listing() -> None:
    """All that is known of them, to the last digit, and as a name of Kraken's would have it."""
    small = row("XUSD", "X/USD", "X", "ZUSD", ordermin="5E-8", tick_size=None, lot_decimals=None)
    directory = PairDirectory.from_asset_pairs({**LISTING, "XUSD": small})
    kept = json.loads(json.dumps(directory.as_asset_pairs()))
    assert kept["XUSD"]["ordermin"] == "0.00000005"
    assert "tick_size" not in kept["XUSD"]
    assert list(PairDirectory.from_asset_pairs(kept)) == list(directory)


def test_names_of_a_pair_cost_little() -> None:
    """Kraken has 1,500 pairs, and each of them some eight names that nobody else has."""
    listing = {f"C{n}USD": row(f"C{n}USD", f"C{n}/USD", f"C{n}", "ZUSD") for n in range(500)}
    pairs = list(PairDirectory.from_asset_pairs(listing))
    tracemalloc.start()
    try:
        directory = PairDirectory(pairs)
        assert tracemalloc.get_traced_memory()[0] / len(directory) < 1000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("key", ["SOL\x1bUSD", "x" * 41, "SOL\nUSD", "=1+1"])
def test_key_that_is_no_name_is_no_pair(key: str) -> None:
    """What cannot be a name of Kraken's is left out."""
    row = {"altname": "SOLUSD", "wsname": "SOL/USD", "base": "SOL", "quote": "ZUSD"}
    assert not len(PairDirectory.from_asset_pairs({key: row}))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *((n, "FOO2/USD") for n in ("FOO2USD", "foo2usd", "FOO2/USD", "foo2-usd", " FOO2/USD ")),
        ("FOO2USDT", "FOO2/USDT"),
        ("FOO2XBT", "FOO2XBT"),  # another coin is no common currency
        ("FOO2/XBT", "FOO2/BTC"),
        ("BARxEUR", "BARx/EUR"),
        ("XFOOZUSD", "XFOOZUSD"),  # a key, which says nothing of its assets' names
        ("AUSD", "AUSD"),
        ("USD", "USD"),
        ("=cmd()/USD", "=cmd()/USD"),
        ("\x1b[2JUSD", "\x1b[2JUSD"),
        ("", ""),
    ],
)
def test_pair_outside_the_table_has_one_name_too(name: str, told: str) -> None:
    """However it is typed, and as Kraken's stream calls it, where that can be told."""
    assert shown_pair(name) == told


@given(st.text(max_size=20))
def test_any_text_can_be_told_as_a_pair(name: str) -> None:
    """A cell of a file may hold whatever it likes, and telling it twice changes nothing."""
    once = shown_pair(name)
    assert shown_pair(once) == once
