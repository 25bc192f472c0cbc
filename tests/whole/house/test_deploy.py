"""What deploy/ says is held to the code: flags, variables, ports, files, users; and it parses."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kits.common.fresh_python import complaints
from ttslo_app.commands import flags
from ttslo_app.doctor import command as doctor
from ttslo_app.environment import KNOWN
from ttslo_app.face.metrics import MetricsServer, Sources

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FILES = ("Dockerfile", "Dockerfile.dockerignore", "compose.yaml", "ttslo.service", "README.md",
         "windows.md")  # fmt: skip
PORT, UID = "9464", "10001"


def read(name: str) -> str:
    """Return the text of a file of deploy/."""
    return (DEPLOY / name).read_text(encoding="utf-8")


DOCKERFILE, COMPOSE, UNIT = read("Dockerfile"), read("compose.yaml"), read("ttslo.service")
BUILD, IMAGE = (f"FROM{part}" for part in DOCKERFILE.split("\nFROM")[1:])
# Without the comments, which may name what is not meant.
SETTINGS = [line for line in UNIT.splitlines() if line and line[0] not in "#["]


def value(name: str) -> str:
    """Return the one value of a setting of the unit."""
    (found,) = (line.partition("=")[2] for line in SETTINGS if line.startswith(f"{name}="))
    return found


# --- one tongue with the code ------------------------------------------------------------------


def test_every_file_is_looked_at() -> None:
    """A new one needs its line here."""
    assert {path.name for path in DEPLOY.iterdir()} == set(FILES)


def known_flags() -> set[str]:
    """Return the flags of the program and of its doctor."""
    parsers = (flags._parser(), doctor.parser())
    return {
        flag for parser in parsers for action in parser._actions for flag in action.option_strings
    }


@pytest.mark.parametrize("name", FILES)
def test_flags_that_are_given_to_the_program_exist(name: str) -> None:
    """Where it is started, by whatever."""
    starts = r'(?:bin/ttslo |ttslo\.exe |ttslo doctor |-Argument "|(?:CMD|command:) \["(?=--))'
    lines = re.findall(starts + r"[^\n`]*", read(name))
    found = {flag for line in lines for flag in re.findall(r"(?<![\w-])--[a-z-]+", line)}
    assert found <= known_flags()
    assert ("--metrics-port" in found) is (name not in ("Dockerfile.dockerignore", "README.md"))


@pytest.mark.parametrize("name", FILES)
def test_variables_of_ours_are_settings(name: str) -> None:
    """A misspelt one would be no setting at all."""
    named = set(re.findall(r"\b(?:KRAKEN|TTSLO)_[A-Z_]+\b", read(name)))
    assert named <= set(KNOWN)


@pytest.mark.parametrize("name", FILES)
def test_extras_that_are_installed_exist(name: str) -> None:
    """Pip only warns of one that does not."""
    for extras in re.findall(r"\.\[([a-z,]+)\]", read(name)):
        assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])


@pytest.mark.parametrize("name", [name for name in FILES if name != "Dockerfile.dockerignore"])
def test_one_port_is_meant_everywhere(name: str) -> None:
    """Where the figures are served, looked at, and told of."""
    text = read(name)
    found = re.findall(r"--metrics-port[\", ]+(\d+)|127\.0\.0\.1:(\d+)", text)
    assert {number for pair in found for number in pair if number} == {PORT}


@pytest.mark.parametrize("name", FILES)
def test_no_host_of_packages_or_images_is_named(name: str) -> None:
    """Whoever builds it has their own."""
    assert not re.search(r"https?://(?!127\.0\.0\.1)", read(name))
    assert not re.search(r"--(index-url|extra-index-url|find-links|registry-mirror)", read(name))


# --- the image -------------------------------------------------------------------------------


def test_both_stages_stand_on_a_slim_python_by_its_plain_name() -> None:
    """And on one that the project runs on."""
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    (base,) = set(bases)
    assert len(bases) == 2
    found = re.fullmatch(r"python:3\.(\d+)-slim", base)
    assert found
    assert int(found[1]) >= int(PROJECT["project"]["requires-python"].rpartition(".")[2])


def test_image_is_built_from_what_the_wheel_is_built_from() -> None:
    """Each door, each package, the stubs and what the metadata read; and nothing else."""
    copied: set[str] = set()
    for line in re.findall(r"^COPY (?!--)(.+)$", BUILD, re.MULTILINE):
        *sources, target = line.split()
        assert target == "./" or [target] == sources
        copied.update(sources)
    tools = PROJECT["tool"]["setuptools"]
    packages = {name.partition(".")[0] for name in tools["packages"] if not name.endswith("-stubs")}
    doors = {f"{name}.py" for name in tools["py-modules"]}
    assert copied == packages | doors | {
        "stubs",
        "pyproject.toml",
        PROJECT["project"]["readme"],
        "LICENSE",
    }
    assert all((ROOT / name).exists() for name in copied)
    allowed = set(re.findall(r"^!(.+)$", read("Dockerfile.dockerignore"), re.MULTILINE))
    assert allowed == copied


def test_image_runs_as_a_fixed_user_in_the_one_place_that_it_writes_to() -> None:
    """A number, so that the folder outside can be given to it."""
    assert f"\nUSER {UID}:{UID}\n" in IMAGE
    assert IMAGE.index("USER") < IMAGE.index("WORKDIR /data\nVOLUME /data")
    assert f"--uid {UID} --gid {UID}" in IMAGE
    assert "TTSLO_CACHE_DIR=/data/" in IMAGE
    assert "COPY --from=build /opt/ttslo /opt/ttslo" in IMAGE
    assert "pip" not in IMAGE  # what built it stays behind
    assert "STOPSIGNAL SIGTERM" in IMAGE


def health_command() -> list[str]:
    """Return the health check of the image, as this Python runs it."""
    command = IMAGE.partition("HEALTHCHECK")[2].partition("CMD ")[2].splitlines()[0]
    python, *rest = re.findall(r'"((?:[^"\\]|\\.)*)"', command)
    assert python == "python"
    return [sys.executable, *rest]


@contextmanager
def served(armed: dict[str, bool], orderless: dict[str, float]) -> Iterator[int]:
    """Serve the health of a program."""
    sources = Sources(lambda: None, lambda: armed, dict, lambda: orderless)
    server = MetricsServer(0, sources).start()
    try:
        yield server.port
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("armed", "orderless", "is_well"),
    [
        ({"btc": True}, {}, True),
        ({"btc": True, "eth": False}, {}, False),
        ({"btc": True}, {"btc": 30.0}, False),
    ],
)
def test_image_is_healthy_while_every_armed_row_has_a_price(
    armed: dict[str, bool], orderless: dict[str, float], is_well: bool
) -> None:
    """By the very command of the Dockerfile, at the port of a real server."""
    with served(armed, orderless) as port:
        command = [part.replace(f":{PORT}/", f":{port}/") for part in health_command()]
        assert command != health_command()
        done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode == 0) is is_well


# --- compose ---------------------------------------------------------------------------------


def test_compose_hands_each_secret_over_as_a_file() -> None:
    """Each variable names a secret that the service has and that a file holds."""
    named = dict(re.findall(r"(KRAKEN_\w+_FILE): /run/secrets/(\w+)", COMPOSE))
    assert set(named) == {name for name in KNOWN if name.startswith("KRAKEN_") and "FILE" in name}
    assert all(f"{secret}_FILE".upper() == name for name, secret in named.items())
    assert re.findall(r"^      - (kraken_\w+)$", COMPOSE, re.MULTILINE) == list(named.values())
    told = re.findall(r"^  (kraken_\w+):\n    file: \./secrets/(\w+)$", COMPOSE, re.MULTILINE)
    assert told == [(name, name) for name in named.values()]
    assert not re.search(r"KRAKEN_API_(KEY|SECRET)(_RW)?:", COMPOSE)


@pytest.mark.parametrize(
    "line",
    [
        "read_only: true",
        f'user: "{UID}:{UID}"',
        "cap_drop: [ALL]",
        "no-new-privileges:true",
        "- ./data:/data",
        "stop_grace_period: 30s",
        "max-size: 10m",
        'max-file: "3"',
        "dockerfile: deploy/Dockerfile",
    ],
)
def test_compose_keeps_the_container_small(line: str) -> None:
    """What it may do, where it may write, how much it may say, how long its end may take."""
    assert line in COMPOSE


def test_figures_are_served_on_this_machine_alone() -> None:
    """The program listens on loopback only, so a published port would lead nowhere."""
    assert "network_mode: host" in COMPOSE
    assert "ports:" not in COMPOSE


def test_compose_parses() -> None:
    """Where a reader of YAML is at hand; indentation is by two in any case."""
    lines = [line for line in COMPOSE.splitlines() if line.strip() and "#" not in line]
    assert all((len(line) - len(line.lstrip())) % 2 == 0 for line in lines)
    yaml = pytest.importorskip("yaml", reason="no reader of YAML is installed")
    told = yaml.safe_load(COMPOSE)
    assert set(told) == {"services", "secrets"}
    assert told["services"]["ttslo"]["command"] == ["--metrics-port", PORT]


# --- systemd ---------------------------------------------------------------------------------


def test_unit_waits_for_ready_and_for_signs_of_life_that_the_program_gives() -> None:
    """Else it would never become active, or be started again for ever."""
    assert value("Type") == "notify"
    assert int(value("WatchdogSec")) >= 60
    code = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "ttslo_app").rglob("*.py"))
    for word in ("NOTIFY_SOCKET", "READY=1", "WATCHDOG=1"):
        assert word in code


def test_unit_hands_the_keys_over_as_credentials_under_their_own_names() -> None:
    """As `creds` looks for them."""
    found = [line.partition("=")[2] for line in SETTINGS if line.startswith("LoadCredential=")]
    assert [text.partition(":")[0] for text in found] == [
        "KRAKEN_API_KEY_RW",
        "KRAKEN_API_SECRET_RW",
    ]
    assert all(text.partition(":")[2] == f"/etc/ttslo/{text.partition(':')[0]}" for text in found)
    assert "CREDENTIALS_DIRECTORY" in (ROOT / "creds.py").read_text(encoding="utf-8")
    assert not any("KRAKEN_API" in line for line in SETTINGS if line.startswith("Environment"))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("User", "ttslo"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("CapabilityBoundingSet", ""),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("StateDirectory", "ttslo"),
        ("WorkingDirectory", "%S/ttslo"),
        ("Restart", "always"),
        ("UMask", "0077"),
    ],
)
def test_unit_gives_the_program_what_it_needs_and_no_more(name: str, wanted: str) -> None:
    """A hole in this is seen here."""
    assert value(name) == wanted


def test_unit_and_its_page_name_the_same_places() -> None:
    """Whoever follows the page has what the unit starts."""
    page = read("README.md")
    for place in (value("ExecStart").split()[0].rpartition("/")[0], "/etc/ttslo", "/var/lib/ttslo"):
        assert place.removesuffix("/bin") in page
    assert "useradd --system" in page


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_unit_is_one_by_systemd_itself(tmp_path: Path) -> None:
    """Every setting is known and has a value that it takes; only the program is another."""
    unit = tmp_path / "ttslo.service"
    unit.write_text(UNIT.replace("/opt/ttslo/bin/ttslo", sys.executable), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, complaints(done.stderr)) == (0, [])


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (test_flags_that_are_given_to_the_program_exist, "/opt/ttslo/bin/ttslo --no-such-flag\n"),
        (test_variables_of_ours_are_settings, "KRAKEN_API_KEYS_FILE: x\n"),
        (test_extras_that_are_installed_exist, 'pip install ".[metric]"\n'),
        (test_one_port_is_meant_everywhere, "http://127.0.0.1:9000/healthz\n"),
        (test_no_host_of_packages_or_images_is_named, "FROM https://images.example/python\n"),
    ],
)
def test_checks_find_what_they_look_for(
    check: Callable[[str], None], bad: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A line that is wrong is seen in any of the files."""
    (tmp_path / "README.md").write_text(read("README.md") + bad, encoding="utf-8")
    monkeypatch.setattr(sys.modules[__name__], "DEPLOY", tmp_path)
    with pytest.raises(AssertionError):
        check("README.md")


def test_documents_of_deploy_lead_somewhere() -> None:
    """Each link is a file."""
    for name in ("README.md", "windows.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", read(name)):
            assert (DEPLOY / link).exists(), link
