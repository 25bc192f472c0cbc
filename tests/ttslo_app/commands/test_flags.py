"""The flags: what each becomes, what is none, and which do not go together."""

from __future__ import annotations

import pytest

from ttslo import __version__, main
from ttslo_app.commands.flags import command, options_from
from ttslo_app.terminal import ENV_FILE, env_file


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--nonsense"], "--nonsense"),
        (["--interval", "soon"], "write seconds, such as 60"),
        (["--interval", "0"], "write seconds, such as 60"),
        (["--interval", "-1"], "write seconds, such as 60"),
        (["--interval", "nan"], "write seconds, such as 60"),
        (["--when-blind", "maybe"], "--when-blind"),
        (["--when-blind", "maybe"], "'maybe' (choose from"),
        (["--replay", "x.csv"], "--replay needs --demo"),
        (["--demo", "--config", "x"], "does not use --config"),
        (["--demo", "--dry-run"], "does not use --dry-run"),
        (["--demo", "--env-file", "x"], "does not use --env-file"),
    ],
)
def test_bad_flag_is_2_and_says_which(
    capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    """A flag that is none, or whose value is none, ends with 2 and its name."""
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("flag", "words"), [("--help", "--dry-run"), ("--version", __version__)])
def test_help_and_version_are_0(capsys: pytest.CaptureFixture[str], flag: str, words: str) -> None:
    """What only tells something ends with 0."""
    with pytest.raises(SystemExit) as ended:
        main([flag])
    assert ended.value.code == 0
    assert words in capsys.readouterr().out


def test_help_names_every_flag_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    """None of the flags that scripts rely on is missing."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    wanted = (
        "--config --state --log --dry-run --verbose --once --interval --create-sample-config "
        "--validate-config --env-file --debug --no-websocket --strict --demo --replay --when-blind"
    )
    assert [flag for flag in wanted.split() if flag not in text] == []


def test_nothing_given_means_the_files_of_the_working_folder() -> None:
    """What a service file or a first try leaves out is what the documents say."""
    options = options_from([])
    assert (options.config, options.state, options.log) == ("config.csv", "state.csv", "logs.csv")
    assert (options.dry_run, options.once, options.strict, options.demo) == (False,) * 4
    assert (options.interval, options.when_blind) == (60.0, "arm-if-beyond")
    assert env_file(options) == ENV_FILE


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        (["--config", "a b.csv"], "config", "a b.csv"),
        (["--interval", "2.5"], "interval", 2.5),
        (["--when-blind", "notify"], "when_blind", "notify"),
        (["--metrics-port", "9100"], "metrics_port", 9100),
        (["--no-websocket"], "no_websocket", True),
        (["--demo", "--replay", "p.csv"], "replay", "p.csv"),
    ],
)
def test_flag_becomes_its_value(given: list[str], name: str, value: object) -> None:
    """Under the name by which the program asks for it, and of its own kind."""
    assert getattr(options_from(given), name) == value


def test_demo_takes_the_flags_that_tell_of_it() -> None:
    """What only changes who hears of it goes with the demo."""
    options = options_from(["--demo", "--verbose", "--notify", "json://localhost/a"])
    assert options.demo
    assert options.notify == ["json://localhost/a"]


def test_secret_that_was_typed_in_the_wrong_place_is_not_repeated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An address of a service holds a secret; a mistyped flag before it must not show that."""
    with pytest.raises(SystemExit):
        options_from(["--notfy", "--x", "tgram://12345:secret/678"])
    said = capsys.readouterr().err
    assert "secret" not in said
    assert "tgram://..." in said


def test_json_is_not_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    """A table for people and lines for programs do not share a screen."""
    with pytest.raises(SystemExit) as ended:
        options_from(["--live", "--log-format", "json"])
    assert ended.value.code == 2
    assert "leave one out" in capsys.readouterr().err


def test_command_is_what_the_user_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentences that tell what to type next can be copied."""
    monkeypatch.setattr("sys.argv", ["/opt/bin/ttslo"])
    assert command() == "ttslo"


def test_dry_run_and_exclusive_key_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    """A rehearsal uses no trading key."""
    with pytest.raises(SystemExit):
        options_from(["--dry-run", "--exclusive-key"])
    assert "leave --exclusive-key out" in capsys.readouterr().err
