"""Where API keys are looked for: the environment, files of secrets, then a `.env` file.

A file of secrets holds one value: `KRAKEN_API_SECRET_FILE` and the like name it, as containers do
it, or it lies under the variable's own name in `$CREDENTIALS_DIRECTORY`, as systemd does it.
Values are handed to the caller and to nobody else: they are never logged, and finding a key does
not copy it into the environment, where every child process would see it.
"""

from __future__ import annotations

import codecs
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

# Further names of each variable, in the order of preference; `copilot_<name>` comes before them.
_OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "KRAKEN_API_KEY": ("COPILOT_W_KR_RO_PUBLIC", "COPILOT_W_KR_PUBLIC"),
    "KRAKEN_API_SECRET": ("COPILOT_W_KR_RO_SECRET", "COPILOT_W_KR_SECRET"),
    "KRAKEN_API_KEY_RW": ("COPILOT_W_KR_RW_PUBLIC", "COPILOT_W_KR_RW_KEY"),
    "KRAKEN_API_SECRET_RW": ("COPILOT_W_KR_RW_SECRET", "COPILOT_W_KR_RW_SECRET_KEY"),
}

# Bytes: ten times what any key of Kraken's has.
_LONGEST_SECRET = 4096

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(.*?)\s*", re.ASCII)
_QUOTED = re.compile(r"""(["'])(.*?)\1\s*(?:#.*)?""")


def load_env(env_file: str | Path = ".env") -> None:
    """Copy the variables of a `.env` file into the environment, as far as they are not there.

    Args:
        env_file: Lines `NAME=value`, with or without `export`, quotes, comments; a missing file
            is fine, one that cannot be read is warned of.
    """
    for name, value in _read_env_file(env_file).items():
        os.environ.setdefault(name, value)


def get_env_var(name: str) -> str | None:
    """Return an environment variable under its exact name, or one of its other names.

    Returns:
        The value without spaces around it; None where no name has one that is not empty.
    """
    return _find(name, {})


def find_kraken_credentials(
    readwrite: bool = False, env_file: str | Path = ".env"
) -> tuple[str | None, str | None]:
    """Return Kraken's (key, secret), each None where it is not to be found.

    The exact name wins over the others, and for each name the environment over a file of secrets,
    and that over the `.env` file. A read-only key never stands in for one that may place orders,
    nor the other way round.

    Args:
        readwrite: Whether to look for the key that may place orders.
        env_file: A `.env` file; it need not exist.

    Raises:
        ValueError: If a variable such as `KRAKEN_API_KEY_FILE` names a file that holds no value:
            keys that cannot be read must not look like keys that nobody gave.
    """
    suffix = "_RW" if readwrite else ""
    in_file = _read_env_file(env_file)
    key = _find(f"KRAKEN_API_KEY{suffix}", _with_secrets(f"KRAKEN_API_KEY{suffix}", in_file))
    name = f"KRAKEN_API_SECRET{suffix}"
    return key, _find(name, _with_secrets(name, in_file))


def _with_secrets(name: str, in_file: Mapping[str, str]) -> Mapping[str, str]:
    """Return what a `.env` file says, with the value of `name` from its own file of secrets."""
    if os.environ.get(name, "").strip():
        return in_file  # it wins anyway
    variable = f"{name}_FILE"
    given = os.environ.get(variable, "").strip() or in_file.get(variable, "").strip()
    if given:
        return {**in_file, name: _secret_in(Path(given), variable)}
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "").strip()
    if folder and (Path(folder) / name).exists():
        return {**in_file, name: _secret_in(Path(folder) / name, "CREDENTIALS_DIRECTORY")}
    return in_file


def _secret_in(path: Path, variable: str) -> str:
    """Return the one value that a file holds; `variable` is who names it."""
    cure = "put the value there, and nothing else, readable by the user of the program"
    try:
        if not path.is_file():  # a pipe would wait for its writer
            raise ValueError(f"{variable} names {path}, which is no file: {cure}")
        with path.open("rb") as file:
            raw = file.read(_LONGEST_SECRET + 1)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ValueError(f"{variable} names {path}, which cannot be read ({why}): {cure}") from None
    value = _decoded(raw).strip()
    if not value or len(raw) > _LONGEST_SECRET or re.search(r"\s|[^ -~]", value):
        raise ValueError(f"{variable} names {path}, which does not hold one value: {cure}")
    return value


def get_setting(name: str, env_file: str | Path = ".env") -> str | None:
    """Return a variable from the environment, else from a `.env` file; None where it is empty.

    Args:
        name: Its exact name.
        env_file: A `.env` file; it need not exist.
    """
    own = os.environ.get(name, "").strip()
    return own or _read_env_file(env_file).get(name, "").strip() or None


def names_in(env_file: str | Path = ".env") -> frozenset[str]:
    """Return the names of the variables in a `.env` file, without their values.

    Args:
        env_file: A `.env` file; it need not exist.
    """
    return frozenset(_read_env_file(env_file))


def _find(name: str, in_file: Mapping[str, str]) -> str | None:
    for candidate in (name, f"copilot_{name}", *_OTHER_NAMES.get(name, ())):
        for source in (os.environ, in_file):
            value = source.get(candidate, "").strip()
            if value:
                return value
    return None


def _read_env_file(env_file: str | Path) -> dict[str, str]:
    try:
        path = Path(env_file)
        if path.exists() and not path.is_file():  # a pipe would wait for its writer
            if str(path) != os.devnull:
                _log.warning("Cannot read %s, so its keys are not used: no plain file", env_file)
            return {}
        raw = path.read_bytes()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        # ValueError: a path with a NUL in it, which no file has.
        _log.warning("Cannot read %s, so its keys are not used: %s", env_file, error)
        return {}
    return _parse(_decoded(raw))


def _decoded(raw: bytes) -> str:
    # Windows' Notepad has written both; names and keys are ASCII, so nothing else can matter.
    utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return raw.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")


def _parse(text: str) -> dict[str, str]:
    """Return the variables of a `.env` text; lines that are none are passed over."""
    matches = (_LINE.fullmatch(line) for line in text.splitlines())
    # A NUL is damage, and no environment can hold it.
    return {m[1]: _unquoted(m[2]) for m in matches if m and "\0" not in m[2]}


def _unquoted(value: str) -> str:
    quoted = _QUOTED.fullmatch(value)
    if quoted:
        return quoted[2]
    # Keys hold `+`, `/` and `=`, never a space: a `#` after one begins a comment.
    return re.split(r"(?:^|\s)#", value, maxsplit=1)[0].rstrip()
