"""The library alone: what README.md says to copy, in a folder of its own, is all that it needs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from tests.kits.common.fresh_python import complaints

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ADVICE = README.partition("To use the library alone, copy ")[2].partition("\n\n")[0]
COPIED = re.findall(r"`([^`]+(?:\.py|/))`", ADVICE)
INSTALLED = re.findall(r"`([a-z-]+)`", ADVICE)
# What a caller does with it, with the libraries in `sys.argv` missing.
CALLER = """\
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from kraken_api import KrakenAPI, WEBSOCKET_AVAILABLE
with KrakenAPI() as api:
    print(WEBSOCKET_AVAILABLE, api.get_current_price("XBTUSD"), api.get_quote("BTC/USD").source)
from krakenlink.errors import KrakenError
with KrakenAPI.from_env(readwrite=True) as api:
    print(api.add_trailing_stop_loss("XBTUSD", "sell", "0.01", 5)["txid"] != [])
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Make a folder with what is to be copied, and nothing else."""
    for name in COPIED:
        if name.endswith("/"):
            shutil.copytree(
                ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "caller.py").write_text(CALLER, encoding="utf-8")
    return tmp_path


def test_advice_names_files_and_libraries() -> None:
    """Three files, one folder, five libraries: as the words before them say."""
    assert ADVICE.startswith("three files and one folder")
    assert sum(name.endswith(".py") for name in COPIED) == 3
    assert sum(name.endswith("/") for name in COPIED) == 1
    needed = {"requests", "websocket-client", "msgspec", "filelock", "platformdirs"}
    assert set(INSTALLED) == needed


@pytest.mark.parametrize(
    ("missing", "source"),
    [
        ([], "websocket"),
        (["websocket"], "rest"),
        (["msgspec"], "rest"),
        (["websocket", "msgspec"], "rest"),
    ],
)
def test_copy_gives_prices_and_places_orders(
    copy: Path, exchange: FakeKraken, missing: list[str], source: str
) -> None:
    """Over the stream, and without its libraries over REST; nothing of the program is loaded."""
    exchange.set_price("XXBTZUSD", "50000.5")
    done = subprocess.run(
        [sys.executable, "-W", "error", "caller.py", *missing],
        cwd=copy,
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "KRAKEN_SPOT_URL": exchange.rest_url,
            "KRAKEN_WS_PUBLIC_URL": exchange.ws_url,
            "KRAKEN_API_KEY_RW": exchange.api_key,
            "KRAKEN_API_SECRET_RW": exchange.api_secret,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, complaints(done.stderr)) == (0, [])
    prices, order, loaded = done.stdout.splitlines()
    assert prices == f"{not missing} 50000.5 {source}"
    assert order == "True"
    foreign = {"ttslo", "ttslo_app", "fake_kraken", "config", "validator", "aiohttp"}
    assert foreign & set(loaded.split()) == set()
