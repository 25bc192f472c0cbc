"""Two real hosts on a real store, killed, stopped and cut off in the middle of orders: one a row.

Trials run side by side, as they mostly wait. The model beside this file tries thousands of
schedules; these few keep it honest. `benchmarks/standby.py` runs as many as one has time for.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kits.crashes import trouble_kit
from tests.kits.hosts.standby_kit import CONTROL, SETTINGS_BY_NAME, Setting, Tally, Trial, shaken

if TYPE_CHECKING:
    from tests.kits.hosts.three_etcd import EtcdNodes

SIDE = 6
STEADY = [one for one in SETTINGS_BY_NAME.values() if not (one.shakes_store or one.early)]
CUT_OFF = [one for one in SETTINGS_BY_NAME.values() if one.early]
SHAKEN = SETTINGS_BY_NAME["the store is shaken"]


def tried(
    nodes: EtcdNodes, folder: Path, settings: Sequence[Setting], seeds: Sequence[int]
) -> Tally:
    """Return what came of a trial of each kind for each seed, some of them side by side."""
    total = Tally()
    trials = [
        Trial(folder / f"{number}-{seed}", nodes.ports, setting, seed)
        for seed in seeds
        for number, setting in enumerate(settings)
    ]
    with ThreadPoolExecutor(SIDE, thread_name_prefix="trial") as pool:
        for tally in pool.map(Trial.run, trials):
            total.add(tally)
    return total


@pytest.mark.timeout(480)  # they take their time by nature, and more of it on a busy machine
def test_each_row_has_one_order_whatever_happens_to_who_sends_it(
    three_etcd: EtcdNodes, tmp_path: Path
) -> None:
    """At every step, on every kind of Kraken and with wrong clocks; and others do take over."""
    tally = tried(three_etcd, tmp_path, STEADY, [1, 2])
    assert (tally.doubles, tally.none) == ([], 0)
    assert tally.one == sum(2 * setting.rows for setting in STEADY)
    # Trouble has struck, and somebody stood in.
    assert sum(tally.acts.values()) >= len(STEADY)
    assert tally.changes >= len(STEADY)


def test_each_row_has_one_order_whatever_a_host_is_cut_off_from(
    three_etcd: EtcdNodes, tmp_path: Path
) -> None:
    """Be it one that leads or not, both ways or one: whoever can, places the order."""
    tally = tried(three_etcd, tmp_path, CUT_OFF, [1, 2])
    assert (tally.doubles, tally.none) == ([], 0)
    assert tally.one == sum(2 * setting.rows for setting in CUT_OFF)
    assert sum(tally.cuts.values()) == sum(2 * setting.troubled for setting in CUT_OFF)


def test_each_row_has_one_order_while_the_store_loses_nodes(
    three_etcd: EtcdNodes, tmp_path: Path
) -> None:
    """One of three at a time is killed or stopped; the others go on."""
    acts: Counter[str] = Counter()
    with shaken(three_etcd, acts):
        tally = tried(three_etcd, tmp_path, [SHAKEN], [1, 2, 3])
    assert (tally.doubles, tally.none) == ([], 0)
    assert sum(acts.values()) > 0


def test_hosts_without_the_protocol_place_two(three_etcd: EtcdNodes, tmp_path: Path) -> None:
    """The same trial on hosts that lead by a lease of their clock alone: the trials can see."""
    tally = tried(three_etcd, tmp_path, [CONTROL], [1, 2])
    assert tally.two == 2 * CONTROL.rows
    assert tally.acts == {"stop": 2 * CONTROL.troubled}


# --- trouble itself ----------------------------------------------------------------------------


def test_trouble_strikes_one_host_at_its_step(tmp_path: Path) -> None:
    """Whoever comes to the step first takes it, and tells who it is."""
    order = {"step": "sending", "act": "kill", "seconds": 1.0}
    path, died = tmp_path / "trouble", []
    one, other = (trouble_kit.Trouble(str(path), lambda: died.append(1)) for _ in range(2))
    one.at("sending")
    trouble_kit.write(path, order)
    one.at("intending")
    assert died == []
    one.at("sending")
    other.at("sending")
    assert died == [1]
    told = json.loads((tmp_path / f"trouble.{os.getpid()}").read_text("utf-8"))
    assert (told["step"], told["act"], told["pid"]) == ("sending", "kill", os.getpid())


@pytest.mark.timeout(60)
def test_trouble_waits_until_a_host_is_cut_off(tmp_path: Path) -> None:
    """The host goes on once whoever ordered it has taken its word away."""
    path, died = tmp_path / "trouble", []
    trouble_kit.write(path, {"step": "sending", "act": "cut", "seconds": 1.0})
    host = threading.Thread(
        target=trouble_kit.Trouble(str(path), lambda: died.append(1)).at, args=("sending",)
    )
    host.start()
    told = tmp_path / f"trouble.{os.getpid()}"
    while not told.exists():
        assert host.is_alive() or told.exists()
    assert host.is_alive()
    told.unlink()
    host.join()
    assert died == []
