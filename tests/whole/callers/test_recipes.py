"""The guide's recipes for async callers, notebooks and worker processes, run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from tests.kits.common.fresh_python import complaints

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "WEBSOCKET_INTEGRATION.md").read_text(encoding="utf-8")
SECTION = GUIDE.partition("\n### Async callers, notebooks, worker processes\n")[2]
RECIPES = re.findall(r"```python\n(.*?)```", SECTION.partition("\n### ")[0], re.DOTALL)
LIBRARY, NOTEBOOK, GUNICORN, CELERY, SPAWN = RECIPES

# What Celery's decorator is to a task that is called.
CELERY_STAND_IN = "def shared_task(function):\n    function.delay = function\n    return function\n"
# What a server with workers does: it makes the client, uses it, forks, and lets the child work.
PREFORK = """\
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: the recipe's point
import prices
if "used before" in sys.argv:
    assert prices.price("BTC/USD") == 50000.5
pids = []
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            WORK
            code = 0
        finally:
            os._exit(code)
    pids.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
assert codes == [0, 0], codes
if "used before" in sys.argv:
    assert prices.price("BTC/USD") == 50000.5
print("done")
"""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


@pytest.fixture(autouse=True)
def market(exchange: FakeKraken) -> FakeKraken:
    """Let two pairs have prices."""
    exchange.set_price("XXBTZUSD", "50000.5")
    exchange.set_price("XETHZUSD", "2500.25")
    return exchange


def run(market: FakeKraken, folder: Path, program: str, *arguments: str, **files: str) -> str:
    """Run a program beside the guide's `prices.py`; return what it prints."""
    for name, text in {"prices": LIBRARY, "program": program, **files}.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "program.py", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "KRAKEN_SPOT_URL": market.rest_url,
            "KRAKEN_WS_PUBLIC_URL": market.ws_url,
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, complaints(done.stderr)) == (0, [])
    return done.stdout.strip()


def test_recipe_for_async_callers(market: FakeKraken, tmp_path: Path) -> None:
    """The loop goes on while a price is waited for, and several are asked for at once."""
    program = """\
import asyncio, prices

async def main():
    beats, pairs = [], ["BTC/USD", "ETH/USD"]
    async def beat():
        while True:
            beats.append(1)
            await asyncio.sleep(0)
    heart = asyncio.create_task(beat())
    found = await asyncio.gather(*map(prices.price_async, pairs))
    heart.cancel()
    print(found, len(beats) > 2, prices.price("BTC/USD"))
    prices.api.close()

asyncio.run(main())
"""
    assert run(market, tmp_path, program) == "[50000.5, 2500.25] True 50000.5"
    assert market.ws_connections_made == 1


def test_recipe_for_a_notebook(market: FakeKraken, tmp_path: Path) -> None:
    """A cell may be run again and again; what it opened is given back each time."""
    program = f"""\
from kraken_api import KrakenAPI
cell = {NOTEBOOK!r}
for _ in range(3):
    exec(cell)
    assert not api.price_provider().subscribed_pairs, api.price_provider().subscribed_pairs
"""
    assert run(market, tmp_path, program) == "50000.5\n50000.5\n50000.5"


@needs_fork
@pytest.mark.parametrize("before", ["unused before", "used before"])
def test_recipe_for_gunicorn(market: FakeKraken, tmp_path: Path, before: str) -> None:
    """Each forked worker has its own stream, also where the parent's was open already."""
    work = "import conf; conf.post_fork(None, None); assert prices.price('BTC/USD') == 50000.5"
    program = PREFORK.replace("WORK", work)
    assert run(market, tmp_path, program, before, conf=GUNICORN) == "done"
    assert "preload_app = True" in GUNICORN
    assert market.ws_connections_made == (3 if before == "used before" else 2)


@needs_fork
def test_recipe_for_celery(market: FakeKraken, tmp_path: Path) -> None:
    """A task in a forked worker asks the module's client."""
    work = "import tasks; assert tasks.price_of.delay('ETH/USD') == 2500.25"
    program = PREFORK.replace("WORK", work)
    files = {"tasks": CELERY, "celery": CELERY_STAND_IN}
    assert run(market, tmp_path, program, "used before", **files) == "done"


def test_recipe_for_spawn(market: FakeKraken, tmp_path: Path) -> None:
    """Each process of the pool imports the module, and makes a client of its own."""
    assert run(market, tmp_path, SPAWN) == "[50000.5, 2500.25]"


def test_client_goes_to_a_spawned_process(market: FakeKraken, tmp_path: Path) -> None:
    """As the guide says: by its arguments, with an address and keys of its own."""
    program = """\
import multiprocessing
from kraken_api import KrakenAPI

def work(api, pair):
    return api.get_current_price(pair), api.api_key

if __name__ == "__main__":
    api = KrakenAPI("key", "c2VjcmV0", use_websocket=False)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.starmap(work, [(api, "BTC/USD")]))
"""
    assert run(market, tmp_path, program) == "[(50000.5, 'key')]"
