from collections.abc import Mapping
from typing import Any

from ttslo_app.commands.cli import main as main
from ttslo_app.messages import Market
from ttslo_app.orders.life import OrderSettings
from ttslo_app.orders.ports import Exchange
from ttslo_app.rules.findings import Accepted
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.run.program import Program
from ttslo_app.store.manager import ConfigManager
from ttslo_app.watch.past import Pace

__all__ = ["TTSLO", "__version__", "main"]

__version__: str

class TTSLO(Program):
    def __init__(
        self,
        config_manager: ConfigManager,
        kraken_api_readonly: Any,  # duck-typed by contract, as the next one
        kraken_api_readwrite: Any = None,
        dry_run: bool = False,
        verbose: bool = False,
        debug: bool = False,
        *,
        settings: OrderSettings | None = None,
        when_blind: WhenBlind = ...,
        pace: Pace | None = None,
        metrics_port: int | None = None,
    ) -> None: ...
    def check_threshold(self, config: Mapping[str, Any], current_price: object) -> bool: ...
    def create_tsl_order(self, config: Mapping[str, Any], trigger_price: object) -> str | None: ...
    def process_config(self, config: Mapping[str, Any], current_price: object = None) -> None: ...
    def look_at(self, row: Mapping[str, Any], price: object) -> None: ...
    def make_exchange(self) -> Exchange | None: ...
    def market_of(self, pair: str) -> Market: ...
    def market_of_row(self, accepted: Accepted) -> Market: ...
    def prices_of(self, pairs: list[str]) -> Mapping[str, object]: ...
    def run_continuous(self, interval: float = 60) -> None: ...
