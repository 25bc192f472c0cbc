"""`ttslo handover`: another host leads, or the command says why none does."""

from __future__ import annotations

import threading

import pytest

from tests.kits.hosts.store_cli_kit import LONG, FakeHost, ttslo
from tests.kits.hosts.three_etcd import opened, wait_until
from ttslo_app.cluster.records import Keys
from ttslo_app.hosts import handover

Said = pytest.CaptureFixture[str]


@pytest.mark.parametrize(("after", "code"), [("two", 0), ("one", 1)])
def test_it_waits_until_another_leads(
    url: str, keys: Keys, capsys: Said, after: str, code: int
) -> None:
    """And says so where the same host took it back, since no other did."""
    with (
        opened(url) as store,
        FakeHost(url, keys, "one").living() as one,
        FakeHost(url, keys, "two").living() as two,
    ):
        one.lead(store, 1)

        def give_way() -> None:
            wait_until(lambda: store.get(keys.handover, patience=LONG) is not None)
            FakeHost(url, keys, "").lead(store, 2)
            (two if after == "two" else one).lead(store, 3)

        thread = threading.Thread(target=give_way)
        thread.start()
        assert ttslo("handover", "--store", url) == code
        thread.join(LONG)
    told = capsys.readouterr()
    if code:
        assert "one gave the lead away, no other host took it" in told.err
    else:
        assert "two leads now, and one does no longer" in told.out


def test_nobody_to_hand_over_to_is_told_before_anything_is_asked(
    url: str, keys: Keys, capsys: Said
) -> None:
    """Nobody leads, who leads is silent, nobody stands by: and no wish is left behind."""
    with opened(url) as store:
        assert ttslo("handover", "--store", url) == 1
        assert "nobody leads account main" in capsys.readouterr().err
        with FakeHost(url, keys, "one").living() as one:
            one.lead(store, 1)
            assert ttslo("handover", "--store", url) == 1
            assert "no other host gives a sign of life" in capsys.readouterr().err
        with FakeHost(url, keys, "two").living():
            assert ttslo("handover", "--store", url) == 1
            assert "one leads and gives no sign of life" in capsys.readouterr().err
        assert store.get(keys.handover, patience=LONG) is None


def test_a_host_that_does_not_give_way_is_told(
    url: str, keys: Keys, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while; it may do so later."""
    monkeypatch.setattr(handover, "_LONGEST", 0.3)
    with (
        opened(url) as store,
        FakeHost(url, keys, "one").living() as one,
        FakeHost(url, keys, "two").living(),
    ):
        one.lead(store, 1)
        assert ttslo("handover", "--store", url) == 1
    assert "has not handed over yet" in capsys.readouterr().err


def test_an_account_that_is_none_is_told(url: str, capsys: Said) -> None:
    """As everywhere."""
    assert ttslo("handover", "--store", url, "--account", "other") == 1
    assert "has no account other" in capsys.readouterr().err
