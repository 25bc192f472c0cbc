"""The keys and the values of the shared store."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.cluster.records import (
    EPOCH_STEP,
    NONCE_BASE,
    Host,
    Keys,
    Lead,
    cluster_text,
    dumped,
    host_text,
    lead_text,
    life_text,
    loaded,
    read_cells,
    read_cluster,
    read_host,
    read_lead,
    row_text,
)

KEYS = Keys("prod", "main")
CELLS = st.dictionaries(st.text(min_size=1, max_size=12), st.text(max_size=40), max_size=6)


def test_keys_lie_below_cluster_and_account() -> None:
    """One account is one trading key, and nothing of it lies elsewhere."""
    assert KEYS.format == "/ttslo/prod/format"
    assert KEYS.lead == "/ttslo/prod/account/main/lead"
    assert KEYS.beat == "/ttslo/prod/account/main/beat"
    assert KEYS.handover == "/ttslo/prod/account/main/handover"
    assert KEYS.marks == "/ttslo/prod/account/main/marks"
    assert KEYS.row("btc/1") == "/ttslo/prod/account/main/row/btc/1"
    assert KEYS.life("btc/1") == "/ttslo/prod/account/main/life/btc/1"
    assert KEYS.host("a") == "/ttslo/prod/account/main/host/a"
    assert all(
        key.startswith(KEYS.base)
        for key in (KEYS.lead, KEYS.beat, KEYS.handover, KEYS.marks, KEYS.rows, KEYS.lives)
    )


@pytest.mark.parametrize("name", ["", "a/b", "+host", ".a", "a b", "ä", "x" * 64, "a\n"])
def test_no_name_can_be_mistaken_for_a_part_of_a_key(name: str) -> None:
    """A slash in a name would make one account see the rows of another."""
    with pytest.raises(ValueError, match="name"):
        Keys(name)
    with pytest.raises(ValueError, match="account's name"):
        Keys("prod", name)


@pytest.mark.parametrize("name", ["a", "main", "prod-2", "x" * 63, "0.a_b"])
def test_ordinary_names_are_taken(name: str) -> None:
    """Letters, digits and three signs are enough."""
    assert Keys(name, name).base == f"/ttslo/{name}/account/{name}/"


@given(
    epoch=st.integers(0, 10**9), host=st.text(max_size=20), since=st.text(max_size=20), token=CELLS
)
def test_who_leads_comes_back_as_it_was_written(
    epoch: int, host: str, since: str, token: dict[str, str]
) -> None:
    """What one host writes is what every other reads."""
    lead = Lead(epoch, host, since, json.dumps(token))
    assert read_lead("k", lead_text(lead)) == lead


def test_nonces_follow_from_the_epoch_alone() -> None:
    """A store that has gone back in time hands out nonces that Kraken refuses."""
    first, second = (Lead(n, "a", "", "t").nonce_base for n in (0, 1))
    assert first == NONCE_BASE
    assert second - first == EPOCH_STEP
    assert Lead(10**9, "a", "", "t").nonce_base + EPOCH_STEP < 2**63


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"epoch":true,"host":"a","since":"","token":"t"}',
        b'{"epoch":-1,"host":"a","since":"","token":"t"}',
        b'{"epoch":1,"host":null,"since":"","token":"t"}',
        b'{"epoch":1,"host":"a","since":""}',
        b"\xff",
    ],
)
def test_a_value_that_nobody_of_ours_wrote_names_its_key(value: bytes) -> None:
    """Whoever reads the message has to know where to look."""
    with pytest.raises(ValueError, match="/ttslo/prod/account/main/lead"):
        read_lead(KEYS.lead, value)


@given(cells=CELLS, place=st.integers(0, 10**6))
def test_cells_come_back_as_typed(cells: dict[str, str], place: int) -> None:
    """A row from the store is the row of the file, to the letter."""
    assert read_cells("k", row_text(cells, place, "t")) == cells
    assert read_cells("k", life_text(cells, "t")) == cells
    assert loaded("k", row_text(cells, place, "t"))["place"] == place


def test_two_writings_of_the_same_cells_differ_by_their_token() -> None:
    """That is how a lost answer is settled."""
    assert life_text({"id": "a"}, "1") != life_text({"id": "a"}, "2")


@pytest.mark.parametrize(
    "value", [{}, {"cells": []}, {"cells": {"id": 1}}, {"cells": None}], ids=str
)
def test_a_row_without_cells_is_refused(value: dict[str, object]) -> None:
    """Nothing is armed from something that is no row."""
    with pytest.raises(ValueError, match="some/key in the store holds no cells"):
        read_cells("some/key", dumped(value))


def test_a_store_says_which_it_is() -> None:
    """Two stores of one name, one made anew, are not the same store."""
    assert read_cluster(KEYS.format, cluster_text("c-1", "t")) == "c-1"


@pytest.mark.parametrize("value", [{}, {"format": "2", "id": "c"}, {"format": "1", "id": 4}])
def test_a_store_of_another_format_is_left_alone(value: dict[str, object]) -> None:
    """A later version may mean something else by the same keys."""
    with pytest.raises(ValueError, match=r"/ttslo/prod/format .* run the version"):
        read_cluster(KEYS.format, dumped(value))


@pytest.mark.parametrize(
    "host",
    [
        Host("a", "lead", False),
        Host("b", "follow", True),
        Host("c", "follow", False, True),
        Host("d", "follow", True, True),
    ],
)
def test_a_host_says_how_it_is(host: Host) -> None:
    """Whoever leads and is blind gives way to one that sees."""
    assert read_host("k", host_text(host, "t")) == host


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"name": "a", "state": "lead", "is_blind": "no"},
        {"name": 1, "state": "lead", "is_blind": True},
        {"name": "a", "is_blind": True},
        {"name": "a", "state": "lead", "is_blind": True, "is_cut_off": 1},
    ],
)
def test_a_host_that_says_something_else_is_none(value: dict[str, object]) -> None:
    """Nobody hands over to what cannot be read."""
    with pytest.raises(ValueError, match="some/host in the store does not say"):
        read_host("some/host", dumped(value))


def test_a_host_of_an_earlier_version_is_taken_to_be_answered_by_kraken() -> None:
    """While hosts are brought up to date one by one, they stand by for each other."""
    word = dumped({"name": "a", "state": "follows", "is_blind": False})
    assert read_host("k", word) == Host("a", "follows", is_blind=False, is_cut_off=False)
