"""Keys are found under every promised name, in the promised order, and are shown to nobody."""

import codecs
import logging
import os
from pathlib import Path

import pytest

import creds
from tests.kits.common.odd_files import ODD

Env = pytest.MonkeyPatch


def env_file(text: str | bytes, name: str = ".env") -> Path:
    """Write a file into the test's own folder."""
    path = Path(name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_exact_names_win_from_the_environment(monkeypatch: Env) -> None:
    """The plain names in the environment beat everything else."""
    env_file("KRAKEN_API_KEY=file\nKRAKEN_API_SECRET=file-secret\n")
    monkeypatch.setenv("KRAKEN_API_KEY", "env")
    monkeypatch.setenv("copilot_KRAKEN_API_KEY", "copilot")
    assert creds.find_kraken_credentials() == ("env", "file-secret")


def test_exact_name_in_the_file_beats_another_name_in_the_environment(monkeypatch: Env) -> None:
    """First the name counts, then the place."""
    env_file("KRAKEN_API_KEY=file\n")
    monkeypatch.setenv("copilot_KRAKEN_API_KEY", "copilot")
    assert creds.find_kraken_credentials() == ("file", None)


def test_copilot_names_come_before_the_short_ones(monkeypatch: Env) -> None:
    """`copilot_<name>` beats `COPILOT_W_...`."""
    monkeypatch.setenv("COPILOT_W_KR_RO_PUBLIC", "short")
    monkeypatch.setenv("copilot_KRAKEN_API_KEY", "copilot")
    assert creds.get_env_var("KRAKEN_API_KEY") == "copilot"


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("COPILOT_W_KR_RO_PUBLIC", "KRAKEN_API_KEY"),
        ("COPILOT_W_KR_PUBLIC", "KRAKEN_API_KEY"),
        ("COPILOT_W_KR_RO_SECRET", "KRAKEN_API_SECRET"),
        ("COPILOT_W_KR_SECRET", "KRAKEN_API_SECRET"),
        ("COPILOT_W_KR_RW_PUBLIC", "KRAKEN_API_KEY_RW"),
        ("COPILOT_W_KR_RW_KEY", "KRAKEN_API_KEY_RW"),
        ("COPILOT_W_KR_RW_SECRET", "KRAKEN_API_SECRET_RW"),
        ("COPILOT_W_KR_RW_SECRET_KEY", "KRAKEN_API_SECRET_RW"),
    ],
)
def test_every_promised_name_is_looked_at(monkeypatch: Env, variable: str, name: str) -> None:
    """Each further name stands for its variable, in the environment and in the file."""
    monkeypatch.setenv(variable, "value")
    assert creds.get_env_var(name) == "value"
    monkeypatch.delenv(variable)
    env_file(f"{variable}=value\n")
    assert "value" in creds.find_kraken_credentials(readwrite=name.endswith("_RW"))


def test_reading_keys_never_stand_in_for_trading_keys(monkeypatch: Env) -> None:
    """Without a trading key there is none, whatever else is set; nor the other way round."""
    monkeypatch.setenv("KRAKEN_API_KEY", "ro")
    monkeypatch.setenv("KRAKEN_API_SECRET", "ro-secret")
    assert creds.find_kraken_credentials(readwrite=True) == (None, None)
    assert creds.find_kraken_credentials(readwrite=False) == ("ro", "ro-secret")


def test_empty_values_count_as_absent(monkeypatch: Env) -> None:
    """A variable that is set to nothing, or to spaces, is not a key."""
    monkeypatch.setenv("KRAKEN_API_KEY", "  ")
    env_file("KRAKEN_API_KEY=file\n")
    assert creds.find_kraken_credentials() == ("file", None)
    assert creds.get_env_var("KRAKEN_API_KEY") is None


def test_finding_keys_leaves_the_environment_alone() -> None:
    """Keys of the file do not leak into the environment of child processes."""
    env_file("KRAKEN_API_KEY=file\n")
    creds.find_kraken_credentials()
    assert "KRAKEN_API_KEY" not in os.environ


def test_load_env_never_overrides(monkeypatch: Env) -> None:
    """What the environment has, stays; what it lacks, comes from the file."""
    monkeypatch.setenv("KRAKEN_API_KEY", "env")
    monkeypatch.delenv("TTSLO_OTHER", raising=False)
    creds.load_env(env_file("KRAKEN_API_KEY=file\nTTSLO_OTHER=file\n", "other.env"))
    assert (os.environ["KRAKEN_API_KEY"], os.environ["TTSLO_OTHER"]) == ("env", "file")
    monkeypatch.delenv("TTSLO_OTHER")


@pytest.mark.parametrize(
    "line",
    [
        "KRAKEN_API_KEY=a/b+c==",
        "  KRAKEN_API_KEY = a/b+c==  ",
        "export KRAKEN_API_KEY=a/b+c==",
        'KRAKEN_API_KEY="a/b+c=="',
        "KRAKEN_API_KEY='a/b+c=='  # mine",
        "KRAKEN_API_KEY=a/b+c== # mine",
        "KRAKEN_API_KEY=a/b+c==\r\nOTHER=1\r\n",
        "# KRAKEN_API_KEY=old\n\nnonsense\n=x\nKRAKEN_API_KEY=a/b+c==\n",
        "KRAKEN_API_KEY=first\nKRAKEN_API_KEY=a/b+c==",
    ],
)
def test_env_file_is_read_tolerantly(line: str) -> None:
    """Quotes, export, spaces, comments, line ends and foreign lines do no harm."""
    env_file(line)
    assert creds.find_kraken_credentials()[0] == "a/b+c=="


@pytest.mark.parametrize(
    "raw",
    [
        codecs.BOM_UTF8 + b"KRAKEN_API_KEY=k\n",
        codecs.BOM_UTF16_LE + "KRAKEN_API_KEY=k\r\n".encode("utf-16-le"),
        b"# caf\xe9\nKRAKEN_API_KEY=k\n",
    ],
)
def test_encodings_of_editors_are_read(raw: bytes) -> None:
    """A byte-order mark, UTF-16, or a stray Latin-1 letter in a comment hides no key."""
    env_file(raw)
    assert creds.find_kraken_credentials()[0] == "k"


@pytest.mark.parametrize(
    "line", ["KRAKEN_API_KEY=", "KRAKEN_API_KEY=# none", "KRAKEN_API_KEY=a\0b"]
)
def test_values_that_are_none_are_passed_over(line: str) -> None:
    """An empty value, a mere comment and a damaged one are no key, and no crash."""
    creds.load_env(env_file(line))
    assert not creds.get_env_var("KRAKEN_API_KEY")
    os.environ.pop("KRAKEN_API_KEY", None)


def test_missing_file_is_fine(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever has no `.env` is not told about it."""
    creds.load_env("no-such.env")
    assert creds.find_kraken_credentials(env_file="no-such.env") == (None, None)
    assert not caplog.records


@pytest.mark.parametrize("path", [".", "a\0b"])
def test_unreadable_file_is_warned_of(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """*Cannot read* is said, because it is not the same as *not there*."""
    with caplog.at_level(logging.WARNING):
        assert creds.find_kraken_credentials(env_file=path) == (None, None)
    assert "Cannot read" in caplog.text


def test_values_are_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Reading a file full of keys leaves no trace of them."""
    with caplog.at_level(logging.DEBUG):
        creds.load_env(env_file("TTSLO_SECRET_TEST=hunter2\n"))
        creds.find_kraken_credentials()
    os.environ.pop("TTSLO_SECRET_TEST")
    assert "hunter2" not in caplog.text


def test_names_of_a_file_come_without_values(tmp_path: Path) -> None:
    """What is set in a .env file may be told, and what it is set to may not."""
    file = tmp_path / "my.env"
    file.write_text("A=1\nexport B='2'\n# C=3\n", encoding="utf-8")
    assert creds.names_in(file) == {"A", "B"}
    assert creds.names_in(tmp_path / "none.env") == frozenset()


# --- files of secrets ------------------------------------------------------------------------


def test_file_of_a_secret_is_read_where_its_variable_names_it(monkeypatch: Env) -> None:
    """The line end behind the value is no part of it, nor is what Notepad puts in front."""
    monkeypatch.setenv("KRAKEN_API_KEY_RW_FILE", str(env_file("a-key\n", "key")))
    secret = env_file(codecs.BOM_UTF8 + b"c2VjcmV0\r\n", "secret")
    monkeypatch.setenv("KRAKEN_API_SECRET_RW_FILE", str(secret))
    assert creds.find_kraken_credentials(readwrite=True) == ("a-key", "c2VjcmV0")
    assert creds.find_kraken_credentials() == (None, None)


def test_env_file_may_name_files_of_secrets() -> None:
    """One place tells where everything is."""
    env_file("k", "key")
    env_file("KRAKEN_API_KEY_FILE=key\nKRAKEN_API_SECRET=in-file\n")
    assert creds.find_kraken_credentials() == ("k", "in-file")


def test_credentials_of_a_service_lie_under_the_names_of_the_variables(monkeypatch: Env) -> None:
    """As systemd's LoadCredential puts them down; they beat the .env file."""
    Path("given").mkdir()
    env_file("service-key\n", "given/KRAKEN_API_KEY")
    env_file("KRAKEN_API_KEY=file\nKRAKEN_API_SECRET=file-secret\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "given")
    assert creds.find_kraken_credentials() == ("service-key", "file-secret")


def test_value_in_the_environment_beats_a_file_of_secrets(monkeypatch: Env) -> None:
    """Even where that file is not there: it is not asked for."""
    monkeypatch.setenv("KRAKEN_API_KEY", "env")
    monkeypatch.setenv("KRAKEN_API_KEY_FILE", "gone")
    assert creds.find_kraken_credentials() == ("env", None)


def test_variable_that_names_a_file_beats_the_credentials_of_a_service(monkeypatch: Env) -> None:
    """What was said by name is meant."""
    Path("given").mkdir()
    env_file("service-key", "given/KRAKEN_API_KEY")
    env_file("named", "named")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "given")
    monkeypatch.setenv("KRAKEN_API_KEY_FILE", "named")
    assert creds.find_kraken_credentials()[0] == "named"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no file"),
        (b"", "does not hold one value"),
        (b" \n", "does not hold one value"),
        (b"two words", "does not hold one value"),
        (b"KRAKEN\x00KEY", "does not hold one value"),
        (b"\xff\xfe\x00\x01", "does not hold one value"),
        (b"x" * 5000, "does not hold one value"),
    ],
)
def test_file_that_holds_no_value_is_no_missing_key(
    monkeypatch: Env, content: bytes | None, words: str
) -> None:
    """It is refused by variable and file, with the cure, and its content is not shown."""
    if content is not None:
        env_file(content, "secret")
    monkeypatch.setenv("KRAKEN_API_SECRET_FILE", "secret")
    with pytest.raises(ValueError, match=words) as refused:
        creds.find_kraken_credentials()
    said = str(refused.value)
    assert said.startswith("KRAKEN_API_SECRET_FILE names secret, ")
    assert "put the value there" in said
    assert "two words" not in said


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read_says_why(monkeypatch: Env) -> None:
    """Its mode is the usual cause."""
    env_file("key", "secret").chmod(0)
    monkeypatch.setenv("KRAKEN_API_KEY_FILE", "secret")
    with pytest.raises(ValueError, match="Permission denied"):
        creds.find_kraken_credentials()


def test_setting_is_read_from_the_environment_then_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its exact name; what is empty counts as not there."""
    env = tmp_path / ".env"
    env.write_text("TTSLO_NOTIFY='ntfy://a ntfy://b'\nTTSLO_PING=\n", encoding="utf-8")
    assert creds.get_setting("TTSLO_NOTIFY", env) == "ntfy://a ntfy://b"
    assert creds.get_setting("TTSLO_PING", env) is None
    assert creds.get_setting("TTSLO_NOTIFY", tmp_path / "none") is None
    monkeypatch.setenv("TTSLO_NOTIFY", " ntfy://c ")
    assert creds.get_setting("TTSLO_NOTIFY", env) == "ntfy://c"


@pytest.mark.parametrize("kind", ODD)
def test_file_of_keys_that_is_no_file_is_not_waited_for(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A pipe that nobody writes into has no keys, and that is said."""
    path = tmp_path / ".env"
    ODD[kind](path)
    with caplog.at_level(logging.WARNING):
        assert creds.find_kraken_credentials(env_file=path) == (None, None)
    assert "no plain file" in caplog.text


def test_null_device_is_an_empty_file_of_keys(caplog: pytest.LogCaptureFixture) -> None:
    """It is how people say that there is none."""
    with caplog.at_level(logging.WARNING):
        assert creds.find_kraken_credentials(env_file=os.devnull) == (None, None)
    assert caplog.text == ""
