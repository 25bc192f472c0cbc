"""The library in careless hands for some seconds; `benchmarks/soak.py` does it for half an hour."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time

import pytest

from tests.kits.common.fresh_python import ROOT, complaints

PATIENCE = 180.0


def test_careless_hands_leave_nothing_and_get_no_wrong_price() -> None:
    """Clients, finalizers, signals and forks: no standstill, no leak, every price proven."""
    command = [sys.executable, "benchmarks/soak.py", "--minutes", str(5 / 60), "--seed", "5"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, complaints(done.stderr)) == (0, []), done.stdout
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["faults"] == 0
    for what in ("prices compared", "user", "collect", "disturb", "market"):
        assert figures[what] > 0, what
    if hasattr(os, "fork"):
        assert figures["forks"] > 0


def test_record_knows_prices_that_were_never_there_and_those_that_are_past(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The soak would see what it is there to see: a price of nobody's, and one of long ago."""
    spec = importlib.util.spec_from_file_location("soak", ROOT / "benchmarks" / "soak.py")
    assert spec is not None
    assert spec.loader is not None
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec.loader.exec_module(soak := importlib.util.module_from_spec(spec))
    record = soak.Record()
    record.change("XXBTZUSD", 1.0, lambda: None)
    asked_at = time.monotonic()
    assert record.verdict("XXBTZUSD", 1.0, asked_at) == ""
    assert "never the exchange's price" in record.verdict("XXBTZUSD", 2.0, asked_at)
    assert "never the exchange's price" in record.verdict("XETHZUSD", 1.0, asked_at)
    record.change("XXBTZUSD", 2.0, lambda: None)
    assert record.verdict("XXBTZUSD", 1.0, asked_at + soak.OLDEST) == ""
    late = time.monotonic() + soak.OLDEST + 1
    assert record.verdict("XXBTZUSD", 1.0, late).endswith("s old")
    assert record.verdict("XXBTZUSD", 2.0, late) == ""
