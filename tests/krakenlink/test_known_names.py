"""Names known without asking: old ids are names of the same thing, and nothing is guessed."""

import pytest

from krakenlink.known_names import asset_name, old_rows, well_known_rows
from krakenlink.pairs import well_known_directory, well_known_pair


def test_a_name_is_never_cut_at_its_front() -> None:
    """XTZUSD is Tezos: its funds are not those of an asset TZ or T."""
    pair = well_known_pair("XTZUSD")
    assert pair is not None
    assert asset_name(pair.base) == "XTZ"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("XXBT", "BTC"),
        ("XBT", "BTC"),
        ("XXDG", "DOGE"),
        ("ZUSD", "USD"),
        ("XTZ", "XTZ"),
        ("sol", "SOL"),
    ],
)
def test_an_asset_has_one_name(code: str, name: str) -> None:
    """Kraken's old ids are names of the same thing; nothing else is cut."""
    assert asset_name(code) == name


@pytest.mark.parametrize("code", ["XMLN", "XREP", "ZAUD"])
def test_old_ids_without_an_old_pair_are_known_too(code: str) -> None:
    """Funds may lie there under a name that no pair of today has."""
    assert asset_name(code) == code[1:]


def test_old_rows_are_keyed_by_both_ids_but_for_dogecoin() -> None:
    """Every old pair has the key, the assets and the names that Kraken lists it by."""
    rows = dict(old_rows())
    assert rows["XXBTZUSD"] == {
        "altname": "XBTUSD",
        "wsname": "XBT/USD",
        "base": "XXBT",
        "quote": "ZUSD",
    }
    odd = {key for key, cells in rows.items() if key != cells["base"] + cells["quote"]}
    assert odd == {"XDGUSD", "XDGEUR"}


def test_well_known_rows_have_no_pair_of_one_asset() -> None:
    """An asset is not traded for itself, and each pair is named once."""
    rows = list(well_known_rows())
    assert len(dict(rows)) == len(rows)
    assert not [cells for _, cells in rows if cells["base"] == cells["quote"]]


@pytest.mark.parametrize("name", ["XBTUSD", "BTC/USD", "btc-usd", "DOGE/USDT", "XDG/USDT"])
def test_well_known_names_are_found_by_any_spelling(name: str) -> None:
    """Old and new names of the renamed two lead to the same pair."""
    assert well_known_pair(name) is not None


def test_every_well_known_name_means_one_pair() -> None:
    """No two of them share a name, so that none is refused as ambiguous."""
    for pair in well_known_directory():
        assert well_known_directory().resolve(pair.altname) is pair
