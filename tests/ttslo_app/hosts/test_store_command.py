"""`ttslo store init`: once, with a yes, and Kraken's word on the key."""

from __future__ import annotations

import io
import os
import uuid

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from tests.kits.hosts.store_cli_kit import LONG, ttslo, ttslo_soon
from tests.kits.hosts.three_etcd import keys_of_its_own, opened
from ttslo_app.cluster.records import Keys, read_cluster, read_lead
from ttslo_app.cluster.store import Change
from ttslo_app.hosts.store_command import main, trouble_with

YES = "--yes-this-key-is-ttslos-alone"
Said = pytest.CaptureFixture[str]


@pytest.fixture
def keys() -> Keys:
    """A cluster that nobody has made."""
    return keys_of_its_own()


@pytest.fixture
def keyed(exchange: FakeKraken, monkeypatch: pytest.MonkeyPatch) -> FakeKraken:
    """An exchange, and a trading key for it."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", exchange.rest_url)
    key = f"of-the-cluster-{uuid.uuid4().hex}"  # nonces of a key go on within a process
    exchange.add_key(key, exchange.api_secret)
    monkeypatch.setenv("KRAKEN_API_KEY_RW", key)
    monkeypatch.setenv("KRAKEN_API_SECRET_RW", exchange.api_secret)
    return exchange


def test_it_makes_a_cluster_and_an_account_once(url: str, keys: Keys, capsys: Said) -> None:
    """A second time it says what is there, and a second account is in the same cluster."""
    assert ttslo("store", "init", "--store", url, YES) == 0
    assert "not led so far" in capsys.readouterr().out
    with opened(url) as store:
        both = [store.get(key, patience=LONG) for key in (keys.format, keys.lead)]
        assert both[0] is not None
        assert both[1] is not None
        made_id = read_cluster("", both[0].value)
        lead = read_lead("", both[1].value)
        assert (lead.epoch, lead.host) == (0, "")
        assert ttslo("store", "init", "--store", url) == 0
        assert made_id in capsys.readouterr().out
        assert [store.get(key, patience=LONG) for key in (keys.format, keys.lead)] == both
        assert ttslo("store", "init", "--store", url, "--account", "two", YES) == 0
        assert store.get(keys.format, patience=LONG) == both[0]
        assert store.get(Keys(keys.cluster, "two").lead, patience=LONG) is not None


@pytest.mark.parametrize("typed", [None, "", "y\n", "no\n"])
def test_nothing_is_made_without_a_yes(
    url: str, keys: Keys, capsys: Said, monkeypatch: pytest.MonkeyPatch, typed: str | None
) -> None:
    """Neither in a script nor at a terminal."""
    if typed is not None:
        monkeypatch.setattr("sys.stdin", Terminal(typed))
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["init", "--store", url]) == 2
    err = capsys.readouterr().err
    assert "one way" in err
    assert YES in err
    with opened(url) as store:
        assert store.list(keys.root, patience=LONG)[0] == []


def test_a_yes_at_a_terminal_will_do(
    url: str, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question says what it means."""
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["init", "--store", url]) == 0
    assert "this cluster's alone" in capsys.readouterr().err


class Terminal(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        """Tell that it is one."""
        return True


def test_kraken_has_seen_a_nonce_of_the_first_epoch(
    url: str, keyed: FakeKraken, capsys: Said
) -> None:
    """One call, and no order."""
    assert ttslo("store", "init", "--store", url, YES) == 0
    assert "Kraken has taken a nonce" in capsys.readouterr().out
    assert [call.endpoint for call in keyed.requests] == ["OpenOrders"]


def test_a_key_that_was_exclusive_is_refused(
    url: str, keys: Keys, keyed: FakeKraken, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its nonces are higher already, and nothing is made."""
    earlier = KrakenAPI.from_env(readwrite=True, use_websocket=False)
    earlier.gate.reign()
    earlier.query_open_orders()
    assert "Make a new key" in trouble_with(earlier)  # here it is known before Kraken is asked
    keyed.fault("nonce_refused")
    monkeypatch.setenv("KRAKEN_API_KEY_RW", f"another-{uuid.uuid4().hex}")
    keyed.add_key(os.environ["KRAKEN_API_KEY_RW"], keyed.api_secret)
    assert ttslo("store", "init", "--store", url, YES) == 1
    assert "Make a new key for this account" in capsys.readouterr().err
    with opened(url) as store:
        assert store.list(keys.root, patience=LONG)[0] == []


def test_a_key_that_kraken_does_not_let_in_is_told(
    url: str, keys: Keys, keyed: FakeKraken, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is made of it, or where nobody knows."""
    fault = keyed.fault("error", text="EAPI:Invalid key")
    assert ttslo("store", "init", "--store", url, YES) == 1
    assert "Kraken refuses the trading key" in capsys.readouterr().err
    fault.clear()
    keyed.stop()
    monkeypatch.setenv("KRAKEN_API_KEY_RW", f"another-{uuid.uuid4().hex}")
    assert ttslo("store", "init", "--store", url, YES) == 1
    assert "could not be asked about the key" in capsys.readouterr().err
    with opened(url) as store:
        assert store.list(keys.root, patience=LONG)[0] == []


def test_a_store_of_another_format_is_left_alone(url: str, keys: Keys, capsys: Said) -> None:
    """A later version has made it."""
    with opened(url) as store:
        store.commit(Change({}, {keys.format: b'{"format":"2","id":"x"}'}), patience=LONG)
        assert ttslo("store", "init", "--store", url, YES) == 1
        assert "this version knows '1' alone" in capsys.readouterr().err
        assert len(store.list(keys.root, patience=LONG)[0]) == 1


def test_a_store_that_does_not_answer_has_a_code_of_its_own(capsys: Said) -> None:
    """Nothing is asked of anybody before."""
    assert ttslo_soon("store", "init", "--store", "etcd://127.0.0.1:1/x", YES) == 3
    assert "cannot connect" in capsys.readouterr().err
