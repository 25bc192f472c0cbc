"""Figures of a run, for whoever serves them."""

from pathlib import Path

from live_program import LiveProgram

from fake_kraken import FakeKraken
from ttslo_app.run.figures import sources_of


def test_figures_are_those_of_the_run(tmp_path: Path) -> None:
    """The armed row, its order's answers, and what waits for an order."""
    row = "btc,BTC/USD,51000,above,sell,0.01,0.5,true"
    with FakeKraken() as exchange:
        exchange.set_price("XXBTZUSD", "50000")
        with LiveProgram(exchange, tmp_path, [row]) as live:
            run = live.ttslo.live
            assert run is not None
            sources = sources_of(live.ttslo, run)
            assert list(sources.armed()) == ["btc"]
            assert sources.orders() == {"placed": 0, "refused": 0, "uncertain": 0}
            assert sources.orderless() == {}
            assert sources.health() is not None
