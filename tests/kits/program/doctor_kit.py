"""The doctor, run in this process beside an embedded exchange, and what it has found."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI, Timeouts
from tests.kits.program.live_program import PATIENT
from tests.kits.program.program_process import HEADER, READ_KEY, READ_SECRET, ROW, with_reading_key
from ttslo_app.doctor import account, local, network
from ttslo_app.doctor import command as doctor
from ttslo_app.doctor.network import StreamLook
from ws_price_provider import WebSocketPriceProvider

EVERY_ID = tuple(check.id for check in doctor.table(StreamLook()))
ETH = "eth,ETH/USD,100,below,buy,1,1.25,true"
# A busy machine that lets nobody have a turn is no Kraken that does not answer.
LONG = Timeouts(connect=60.0, read=60.0, read_order=60.0, retry_pauses=(0.1,))


class Report:
    """What one run has told.

    Attributes:
        code: Its exit code.
        told: The object of `--json`.
    """

    def __init__(self, code: int, told: dict[str, Any]) -> None:
        self.code, self.told = code, told

    def lines(self, name: str) -> list[tuple[str, str, str]]:
        """Return status, text and cure of each line of a check."""
        of_it = (one for one in self.told["checks"] if one["id"] == name)
        return [(one["status"], one["text"], one["cure"]) for one in of_it]

    def only(self, name: str) -> tuple[str, str, str]:
        """Return the one line of a check."""
        (line,) = self.lines(name)
        return line

    def statuses(self, name: str) -> list[str]:
        """Return the statuses of a check's lines."""
        return [status for status, _, _ in self.lines(name)]

    def failing(self) -> set[str]:
        """Return the checks that fail."""
        return {one["id"] for one in self.told["checks"] if one["status"] == "fail"}

    def odd(self) -> set[str]:
        """Return the checks that warn."""
        return {one["id"] for one in self.told["checks"] if one["status"] == "warn"}


class Clinic:
    """A folder with a config.csv, an exchange where BTC/USD stands at 50000, and both keys."""

    def __init__(
        self,
        exchange: FakeKraken,
        patch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.exchange, self.patch, self._capsys = with_reading_key(exchange), patch, capsys
        self.write(ROW)
        for room in (account, local):
            patch.setattr(room, "TIMEOUTS", LONG)
        patch.setattr(local, "KrakenAPI", partial(KrakenAPI, feed_settings=PATIENT))
        patch.setattr(
            network,
            "WebSocketPriceProvider",
            partial(WebSocketPriceProvider, settings=PATIENT),
        )
        for bound in ("_STEP", "_HANDSHAKE", "_FIRST_PRICE"):
            patch.setattr(network, bound, LONG.read)
        for name, value in {
            "KRAKEN_SPOT_URL": exchange.rest_url,
            "KRAKEN_WS_PUBLIC_URL": exchange.ws_url,
            "KRAKEN_API_KEY": READ_KEY,
            "KRAKEN_API_SECRET": READ_SECRET,
            "KRAKEN_API_KEY_RW": exchange.api_key,
            "KRAKEN_API_SECRET_RW": exchange.api_secret,
        }.items():
            patch.setenv(name, value)

    def write(self, *rows: str, header: str = HEADER) -> None:
        """Write config.csv."""
        Path("config.csv").write_text("\n".join([header, *rows, ""]), encoding="utf-8")

    def set(self, **variables: str) -> None:
        """Set variables of the environment; an empty value takes one away."""
        for name, value in variables.items():
            self.patch.setenv(name, value) if value else self.patch.delenv(name, raising=False)

    def examine(self, *flags: str, seconds: float = 60.0) -> Report:
        """Run the doctor, and see that it places nothing and shows no key."""
        code = doctor.main(["--json", *flags], seconds=seconds)
        out = self._capsys.readouterr().out
        for secret in (READ_KEY, READ_SECRET, self.exchange.api_key, self.exchange.api_secret):
            assert secret not in out
        assert self.exchange.placed_count() == 0
        report = Report(code, json.loads(out))
        assert code == (1 if report.failing() else 0)
        assert {one["id"] for one in report.told["checks"]} == set(EVERY_ID)
        return report


@pytest.fixture
def clinic(
    exchange: FakeKraken, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Clinic:
    """Hand out what runs the doctor beside an exchange."""
    return Clinic(exchange, monkeypatch, capsys)
