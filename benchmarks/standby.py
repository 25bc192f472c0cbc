"""Two hosts that share a store, killed, stopped and cut off at every step: one order or two?

Each trial runs two processes of the program on a real store of three etcd nodes, and an exchange
that keeps to its rules, ignores deadlines or queues orders behind its nonce check. Five rows are
crossed, with three of them trouble comes, such as a line to Kraken or to the store that loses what
is said both ways or one way; in the end orders are counted by row. Beside the kinds of trouble runs
a control, hosts that lead by a lease of their own clock: it must double, or the trials have lost
their eyes.

    python benchmarks/standby.py --trials 500

needs etcd on PATH (Debian: etcd-server), and ends with 1 if any row had two orders, or the control
had none with two.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.kits.hosts.standby_kit import CONTROL, SETTINGS_BY_NAME, Setting, Tally, Trial, shaken  # noqa: E402
from tests.kits.hosts.three_etcd import EtcdNodes  # noqa: E402
from ttslo_app.cluster.etcd import store_from  # noqa: E402
from ttslo_app.cluster.records import Keys  # noqa: E402
from ttslo_app.cluster.store import Change  # noqa: E402

_HEAD = (
    "| trials | crossings | one order | two | none yet | stops / kills / cuts | takeovers "
    "| refused: nonce / deadline | without a leader, median / worst "
    "| crossing to order, median / worst |"
)


class Bench:
    """Runs trials, some side by side, and keeps what came of them.

    Args:
        folder: For all files.
        side: How many trials run side by side.
    """

    def __init__(self, folder: Path, side: int) -> None:
        self._folder, self._side = folder, side
        self._nodes = EtcdNodes(folder)

    def end(self) -> None:
        """End the store."""
        self._nodes.end()

    def run(self, setting: Setting, seeds: Sequence[int]) -> Tally:
        """Return what came of trials of a kind, one for each seed; tells each double at once."""
        total = Tally()
        with ExitStack() as stack:
            is_shaken = setting.shakes_store
            stack.enter_context(shaken(self._nodes, total.acts) if is_shaken else nullcontext())
            pool = stack.enter_context(ThreadPoolExecutor(self._side))
            for tally in pool.map(lambda seed: self._one(setting, seed), seeds):
                total.add(tally)
        return total

    def _one(self, setting: Setting, seed: int) -> Tally:
        folder = self._folder / f"{setting.name.replace(' ', '-')}-{seed}"
        trial = Trial(folder, self._nodes.ports, setting, seed)
        try:
            tally = trial.run()
        except Exception as error:  # noqa: BLE001 - one broken trial must not end the others
            print(f"{trial.name} is broken: {str(error)[:4000]}", file=sys.stderr, flush=True)
            return Tally(acts=Counter({"broken": 1}))
        for double in tally.doubles:
            print(f"TWO ORDERS: {double}; its files are in {folder}", file=sys.stderr, flush=True)
        if tally.none:
            print(f"no order yet: {trial.name}; {folder}", file=sys.stderr, flush=True)
        return tally

    def hand_overs(self, times: int) -> list[float]:
        """Return how long hand-overs take, in seconds, on hosts of their own."""
        calm = Setting("handed over")
        return Trial(self._folder / "handed-over", self._nodes.ports, calm, 1).hand_over(times)

    def commits(self, times: int) -> list[float]:
        """Return how long a change takes that rests on two versions, as an intent does; seconds."""
        store, took, value = store_from(self._nodes.url("bench"))[0], [], b"x" * 600
        lead, life = (Keys("bench").life(name) for name in ("lead", "life"))
        versions = {lead: store.commit(Change({}, {lead: value}), patience=5).version, life: 0}
        for number in range(times):
            began = time.perf_counter()
            change = Change(versions, {life: b"%d" % number + value})
            versions[life] = store.commit(change, patience=5).version
            took.append(time.perf_counter() - began)
        return took


def spread(took: Sequence[float]) -> str:
    """Return median and worst of some times."""
    return f"median {median(took) * 1000:.1f} ms, worst {max(took) * 1000:.1f} ms (n={len(took)})"


def row_of(name: str, tally: Tally) -> str:
    """Return the row of the table that tells of some trials."""
    acts, refused, took = tally.acts, tally.refused, sorted(tally.takeovers)
    times, late = (
        f"{median(some):.2f} s / {some[-1]:.2f} s" if some else "-"
        for some in (took, sorted(tally.late))
    )
    cells = [name, tally.trials, tally.crossings, tally.one, tally.two, tally.none]
    cells += [f"{acts['stop']} / {acts['kill']} / {acts['cut']}", tally.changes]
    cells += [f"{refused['nonce']} / {refused['deadline']}", times, late]
    return f"| {' | '.join(map(str, cells))} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the trials and print the table; 1 if they show a defect."""
    parser = argparse.ArgumentParser(description="Count the orders of hosts that stand by.")
    parser.add_argument("--trials", type=int, default=28, help="in all (default: %(default)s)")
    parser.add_argument("--side", type=int, default=6, help="side by side (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial")
    parser.add_argument("--only", choices=SETTINGS_BY_NAME, help="one kind of trouble alone")
    options = parser.parse_args(argv)
    chosen = [SETTINGS_BY_NAME[options.only]] if options.only else [*SETTINGS_BY_NAME.values()]
    folder = Path(tempfile.mkdtemp(prefix="standby-"))
    bench, total, began = Bench(folder, options.side), Tally(), time.monotonic()
    print(f"| hosts {_HEAD}\n|---{'|---' * _HEAD.count('|')}", flush=True)
    try:
        for number, setting in enumerate(chosen):
            count = options.trials // len(chosen) + (number < options.trials % len(chosen))
            tally = bench.run(setting, range(options.seed, options.seed + count))
            print(row_of(setting.name, tally), flush=True)
            total.add(tally)
        control = bench.run(CONTROL, range(options.seed, options.seed + 3))
        told = [f"hand-over: {spread(bench.hand_overs(10))}"]
        told += [f"fenced change of the store: {spread(bench.commits(500))}"]
    finally:
        bench.end()
    print(row_of("**all**", total))
    print(row_of("control: lease and clock alone", control))
    print("", *told, sep="\n")
    cuts = ", ".join(f"{name} {count}" for name, count in sorted(total.cuts.items()))
    print(f"\ncut off from: {cuts or '-'}")
    shakes = f"{total.acts['node stopped']} nodes stopped, {total.acts['node killed']} killed"
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(
        f"\n{time.monotonic() - began:.0f} s; {shakes}; {total.acts['broken']} broken; load {load}"
    )
    return int(bool(total.two or total.acts["broken"] or not control.two))


if __name__ == "__main__":
    sys.exit(main())
