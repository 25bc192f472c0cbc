"""`ttslo state`: lives from files into a store, and back, and none of them twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kits.hosts.store_cli_kit import LONG, FakeHost, cells, put_life, ttslo
from tests.kits.hosts.three_etcd import opened
from ttslo_app.cluster.records import Keys, read_cells
from ttslo_app.cluster.store import Change
from ttslo_app.orders.intents import intent_lines
from ttslo_app.store.lock import StateLock
from ttslo_app.store.state_text import StateReader, state_bytes

Said = pytest.CaptureFixture[bytes]
STATE = Path("state.csv")
ORDER = json.dumps({"pair": "XXBTZUSD"})


def write(*lives: dict[str, str]) -> None:
    """Write a state.csv."""
    STATE.write_bytes(state_bytes({one["id"]: one for one in lives}))


def test_what_is_imported_is_exported_as_it_was(url: str, keys: Keys, capsysbinary: Said) -> None:
    """Id, generation and order: so orders under way stay found."""
    lives = [cells("a"), cells("b", "placed", order_id="OAAAAA-BBBBB-CCCCCC", noted="true")]
    lives += [cells(f"r{n:03}", "disarmed") for n in range(100)]
    write(*lives)
    assert ttslo("state", "import", "state.csv", "--store", url) == 0
    assert b"102 lives were put into the store" in capsysbinary.readouterr().out
    assert ttslo("state", "export", "--store", url) == 0
    told = capsysbinary.readouterr()
    assert told.err == b""
    rows = StateReader(told.out, "state.csv").rows
    for life in lives:
        assert {name: rows[life["id"]][name] for name in life} == life
    STATE.write_bytes(told.out)
    assert ttslo("state", "import", "state.csv", "--store", url) == 0
    assert b"102 were there already" in capsysbinary.readouterr().out


def test_a_second_time_it_goes_on_where_it_ended(url: str, keys: Keys, capsysbinary: Said) -> None:
    """Lives that are there as in the file are no others."""
    write(cells("a"), cells("b"))
    assert ttslo("state", "import", "state.csv", "--store", url) == 0
    write(cells("a", generation="2"), cells("c"))
    assert ttslo("state", "import", "state.csv", "--store", url) == 1
    assert b"other lives already, of a, b" in capsysbinary.readouterr().err
    write(cells("a"), cells("b"), cells("c"))
    assert ttslo("state", "import", "state.csv", "--store", url) == 0
    assert b"2 were there already" in capsysbinary.readouterr().out
    with opened(url) as store:
        assert len(store.list(keys.lives, patience=LONG)[0]) == 3


def test_what_the_journal_says_is_newer(url: str, keys: Keys, capsysbinary: Said) -> None:
    """An intent in it is not settled, so nothing is taken over."""
    write(cells("a"))
    intent = cells("a", "intended", sends="1", order=ORDER)
    Path("state.csv.intents").write_bytes(intent_lines([intent]))
    assert ttslo("state", "import", "state.csv", "--store", url) == 1
    assert capsysbinary.readouterr().err.startswith(b"Not done: ")
    placed = cells("a", "placed", sends="1", order_id="OAAAAA-BBBBB-CCCCCC")
    Path("state.csv.intents").write_bytes(intent_lines([placed]))
    assert ttslo("state", "import", "state.csv", "--store", url) == 0
    with opened(url) as store:
        found = store.get(keys.life("a"), patience=LONG)
    assert found is not None
    assert read_cells("", found.value)["order_id"] == "OAAAAA-BBBBB-CCCCCC"


def test_files_in_doubt_are_refused(url: str, keys: Keys, capsysbinary: Said) -> None:
    """A damaged row or journal, and a life that contradicts itself; and nothing is in the store."""
    for text, journal, said in (
        (b"", b"", b"cannot be known"),
        (state_bytes({"a": cells("a", triggered="maybe")}), b"", b"not true or false"),
        (state_bytes({"a": cells("a", "closed", triggered="false")}), b"", b"cannot be read"),
        (state_bytes({"a": cells("a")}), b"damage\n" + intent_lines([cells("a")]), b"is damaged"),
    ):
        STATE.write_bytes(text)
        Path("state.csv.intents").write_bytes(journal)
        assert ttslo("state", "import", "state.csv", "--store", url) == 1
        assert said in capsysbinary.readouterr().err
    with opened(url) as store:
        assert store.list(keys.lives, patience=LONG)[0] == []


def test_a_file_that_a_program_uses_is_refused(url: str, capsysbinary: Said) -> None:
    """It may write another life at any moment."""
    write(cells("a"))
    with StateLock(STATE):
        assert ttslo("state", "import", "state.csv", "--store", url) == 1
    assert b"is in use by" in capsysbinary.readouterr().err
    assert ttslo("state", "import", "none.csv", "--store", url) == 1
    assert b"there is no none.csv" in capsysbinary.readouterr().err


def test_a_host_that_leads_is_seen(url: str, keys: Keys, capsysbinary: Said) -> None:
    """No life is put under its hands, and what is printed is called a moment's."""
    write(cells("a"))
    with opened(url) as store, FakeHost(url, keys, "one").living() as host:
        host.lead(store, 1)
        assert ttslo("state", "import", "state.csv", "--store", url) == 1
        assert b"one leads this account and lives" in capsysbinary.readouterr().err
        assert ttslo("state", "export", "--store", url) == 0
        assert b"true of this moment only" in capsysbinary.readouterr().err
    assert ttslo("state", "import", "state.csv", "--store", url) == 0


def test_what_is_not_settled_is_told_with_the_export(
    url: str, keys: Keys, capsysbinary: Said
) -> None:
    """Also a life that nobody can read."""
    with opened(url) as store:
        put_life(store, keys, cells("a", "uncertain", order=ORDER))
        put_life(store, keys, cells("b", "closed", triggered="false"))
        put_life(store, keys, cells("c"))
    assert ttslo("state", "export", "--store", url) == 0
    told = capsysbinary.readouterr()
    assert b"of a, b it is not known" in told.err
    assert len(StateReader(told.out, "x").rows) == 3


def test_a_life_that_nobody_of_ours_wrote_ends_it(url: str, keys: Keys, capsysbinary: Said) -> None:
    """A hole would be taken for a row that never fired."""
    with opened(url) as store:
        store.commit(Change({}, {keys.life("a"): b"x"}), patience=LONG)
    assert ttslo("state", "export", "--store", url) == 1
    assert b"cannot be read" in capsysbinary.readouterr().err
