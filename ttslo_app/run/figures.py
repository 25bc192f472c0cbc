"""What goes on beside a run: figures, where they are wanted, and news of pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kraken_api import WEBSOCKET_AVAILABLE
from ttslo_app.messages import tell
from ttslo_app.run import words

if TYPE_CHECKING:
    from ttslo_app.face.metrics import MetricsServer, Sources
    from ttslo_app.run.live import LiveRun
    from ttslo_app.run.program import Program


def sources_of(program: Program, live: LiveRun) -> Sources:
    """Return where figures of a run come from, for whoever serves them."""
    from ttslo_app.face.metrics import Sources  # here, for who wants no figures

    provider = program.kraken_api_readonly.price_provider() if WEBSOCKET_AVAILABLE else None
    health = provider.health if provider else lambda: None
    return Sources(health, live.armed, lambda: program.worker.answers, live.orderless)


def begin_beside(program: Program, live: LiveRun) -> MetricsServer | None:
    """Begin what goes on beside a run: figures, where they are wanted, and news of pairs."""
    metrics = _serve_metrics(program, live)
    if WEBSOCKET_AVAILABLE:  # no minimum of this morning is to bar a row tonight
        program.kraken_api_readonly.follow_instruments(timeout=0.0)
    return metrics


def _serve_metrics(program: Program, live: LiveRun) -> MetricsServer | None:
    """Serve figures on this machine, where that is wanted."""
    if program.options.metrics_port is None:
        return None
    from ttslo_app.face.metrics import MetricsServer  # here, for who wants no figures

    server = MetricsServer(program.options.metrics_port, sources_of(program, live)).start()
    tell(program.say, words.figures_at(server.url))
    return server
