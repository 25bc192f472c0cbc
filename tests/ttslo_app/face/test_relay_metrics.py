"""A relay's figures, as Prometheus and whoever watches health get them."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from krakenlink.machine import feed_clock
from krakenlink.relay.server import Standing
from ttslo_app.face.metrics import MetricsServer
from ttslo_app.face.relay_metrics import RelayFigures
from ws_price_provider import WebSocketPriceProvider

pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")

LONG = 60.0


class Told:
    """Figures of a relay that stands as a test says."""

    def __init__(self) -> None:
        self.standing = Standing(3, 40, 1000, 198.5, feed_clock(), is_heard=True)
        provider = WebSocketPriceProvider("ws://127.0.0.1:1/v2")
        self.figures = RelayFigures(lambda: self.standing, provider.health, LONG)

    def stand(self, **changes: Any) -> None:
        """Let it stand otherwise."""
        self.standing = replace(self.standing, **changes)


@pytest.fixture
def told() -> Told:
    """Figures of a relay that is well."""
    return Told()


def values(figures: RelayFigures) -> dict[str, float]:
    """Return the relay's own figures by name."""
    return {
        sample.name: sample.value
        for family in figures.families()
        for sample in family.samples
        if sample.name.startswith("ttslo_relay")
    }


def test_figures_tell_how_it_stands(told: Told) -> None:
    """Readers, packets, subscriptions, proof."""
    found = values(told.figures)
    assert 0 <= found.pop("ttslo_relay_proof_age_seconds") < LONG
    assert found == {
        "ttslo_relay_readers": 3,
        "ttslo_relay_subscriptions": 40,
        "ttslo_relay_packets_total": 1000,
        "ttslo_relay_packets_per_second": 198.5,
        "ttslo_relay_proven": 1,
        "ttslo_relay_broker_up": 1,
    }


def test_feed_s_figures_stand_beside_them(told: Told) -> None:
    """By the names that they have in the program."""
    names = {family.name for family in told.figures.families()}
    assert {"ttslo_feed_state", "ttslo_feed_messages_per_second"} <= names


@pytest.mark.parametrize("is_old", [False, True])
def test_proof_that_does_not_hold_has_no_age(told: Told, is_old: bool) -> None:
    """Not even where the relay itself has stopped and its last word was a good one."""
    told.stand(proven_at=feed_clock() - LONG - 1 if is_old else None)
    found = values(told.figures)
    assert "ttslo_relay_proof_age_seconds" not in found
    assert found["ttslo_relay_proven"] == 0
    assert told.figures.healthz() == (503, "no proven prices from Kraken\n")


def test_broker_that_takes_nothing_is_told_first(told: Told) -> None:
    """Proven prices that nobody gets are none."""
    told.stand(is_heard=False)
    assert told.figures.healthz() == (503, "the broker takes no prices\n")
    assert values(told.figures)["ttslo_relay_broker_up"] == 0


def test_new_relay_is_not_well_yet() -> None:
    """Nothing is proven before it was heard."""
    told = Told()
    told.standing = Standing()
    assert told.figures.healthz()[0] == 503


@pytest.fixture
def served(told: Told) -> Iterator[str]:
    """The address at which the figures are served."""
    server = MetricsServer(0, told.figures).start()
    try:
        yield server.url
    finally:
        server.stop()


def ask(url: str) -> tuple[int, str]:
    """Return status and text of an answer."""
    try:
        with urllib.request.urlopen(url, timeout=LONG) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_both_addresses_are_served(told: Told, served: str) -> None:
    """By the program's own server."""
    status, text = ask(f"{served}/metrics")
    assert (status, "ttslo_relay_readers 3.0" in text) == (200, True)
    status, text = ask(f"{served}/healthz")
    assert status == 200
    assert text.startswith("ok: proven ")
    assert text.endswith(" s ago, 3 readers\n")
    told.stand(proven_at=None)
    assert ask(f"{served}/healthz") == (503, "no proven prices from Kraken\n")
