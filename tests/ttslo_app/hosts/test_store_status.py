"""`ttslo status --store`: who leads, by signs of life alone."""

from __future__ import annotations

import json

import pytest

from tests.kits.hosts.store_cli_kit import LONG, FakeHost, cells, made, put_life, ttslo, ttslo_soon
from tests.kits.hosts.three_etcd import opened, put
from ttslo_app.cluster.records import Keys
from ttslo_app.cluster.store import Change

Said = pytest.CaptureFixture[str]


def test_an_account_that_is_led_is_told_with_its_hosts(url: str, keys: Keys, capsys: Said) -> None:
    """And with what is not settled."""
    with (
        opened(url) as store,
        FakeHost(url, keys, "one").living() as one,
        FakeHost(url, keys, "two").living(),
    ):
        one.lead(store, 7)
        put_life(store, keys, cells("a", "uncertain", order='{"pair":"XXBTZUSD"}'))
        capsys.readouterr()
        assert ttslo("status", "--store", url) == 0
        lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "main: one leads since 2026-11-26T12:00:00+00:00, epoch 7"
    assert lines[1] == "  0 rows, 1 not settled: a"
    assert lines[2:] == ["  host one: leads", "  host two: follows"]


def test_a_host_that_died_leads_nothing(url: str, keys: Keys, capsys: Said) -> None:
    """Whatever the store has kept of it; and one account that is not led decides the code."""
    made(url, account="other")
    with opened(url) as store:
        with FakeHost(url, Keys(keys.cluster, "other"), "dead").living() as dead:
            dead.lead(store, 1)
        with FakeHost(url, keys, "one").living() as one:
            one.lead(store, 1)
            capsys.readouterr()
            assert ttslo("status", f"--store={url}") == 3
    out = capsys.readouterr().out
    assert "other: NOT LED: dead gave no sign of life" in out
    assert "host dead: gave no sign of life" in out
    assert "main: one leads" in out
    assert "nobody stands by" in out


def test_a_leader_that_sees_no_price_could_miss_a_crossing(
    url: str, keys: Keys, capsys: Said
) -> None:
    """It has a code of its own, as with a program that runs by files."""
    with opened(url) as store, FakeHost(url, keys, "one", is_blind=True).living() as one:
        one.lead(store, 1)
        capsys.readouterr()
        assert ttslo("status", "--store", url, "--json") == 4
    told = json.loads(capsys.readouterr().out)
    assert (told["cluster"], told["code"]) == (keys.cluster, 4)
    assert told["accounts"][0]["hosts"] == [
        {
            "name": "one",
            "state": "leads",
            "is_alive": True,
            "is_blind": True,
            "is_cut_off": False,
        }
    ]


def test_a_leader_that_kraken_does_not_answer_could_miss_an_order(
    url: str, keys: Keys, capsys: Said
) -> None:
    """And each host says whether it is, so that one sees whose network it is."""
    with (
        opened(url) as store,
        FakeHost(url, keys, "one", is_cut_off=True).living() as one,
        FakeHost(url, keys, "two").living(),
    ):
        one.lead(store, 1)
        capsys.readouterr()
        assert ttslo("status", "--store", url) == 4
    out = capsys.readouterr().out
    assert "host one: leads, is not answered by Kraken\n" in out
    assert "host two: follows\n" in out


def test_account_that_nobody_may_lead_any_more_is_told_as_that(
    url: str, keys: Keys, capsys: Said
) -> None:
    """It looks as if a host had died, else, and starting one would help nobody."""
    with opened(url) as store, FakeHost(url, keys, "one").living() as one:
        one.lead(store, 1)
        put(store, keys.halt, b"{}")
        capsys.readouterr()
        assert ttslo("status", "--store", url) == 3
        out = capsys.readouterr().out
        assert "main: HALTED: Kraken saw a higher nonce than the store knows" in out
        assert "leads since" not in out
        assert ttslo("status", "--store", url, "--json") == 3
    assert json.loads(capsys.readouterr().out)["accounts"][0]["is_halted"] is True


def test_nobody_leads_before_the_first_host(url: str, capsys: Said) -> None:
    """An account that was only made."""
    assert ttslo("status", "--store", url) == 3
    assert "main: NOBODY LEADS" in capsys.readouterr().out


def test_each_bad_input_has_its_sentence_and_its_code(url: str, keys: Keys, capsys: Said) -> None:
    """No cluster, no account, no store, and a host or a lead that nobody of ours wrote."""
    for place, code, said in (
        (url.replace(keys.cluster, "nowhere"), 1, "has no cluster nowhere"),
        ("etcd://a/x", 2, "without TLS"),
    ):
        assert ttslo("status", "--store", place) == code
        assert said in capsys.readouterr().err
    assert ttslo_soon("status", "--store", "etcd://127.0.0.1:1/x") == 3
    assert "cannot connect" in capsys.readouterr().err
    with opened(url) as store:
        for key in (keys.host("one"), keys.lead):
            store.commit(Change({}, {key: b"x"}), patience=LONG)
            assert ttslo("status", "--store", url) == 1
            assert "cannot be read" in capsys.readouterr().err
        lead = store.get(keys.lead, patience=LONG)
        assert lead is not None
        store.commit(Change({}, {}, [keys.lead]), patience=LONG)
        assert ttslo("status", "--store", url) == 1
        assert "has no account" in capsys.readouterr().err


def test_without_a_store_it_is_about_the_program_that_runs_here(capsys: Said) -> None:
    """As ever."""
    assert ttslo("status") == 3
    assert "state.csv" in capsys.readouterr().out
