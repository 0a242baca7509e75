"""settings.toml: its two settings, and what is said of a wrong one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codex_tui.base import locations, settings
from codex_tui.base.errors import BadInput
from codex_tui.base.toml import MAX_BYTES


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    path = locations.settings_file()
    path.parent.mkdir()
    return path


def test_none_is_needed(file: Path) -> None:
    assert settings.load().trainer_python is None


def test_interpreter_may_start_with_a_tilde(file: Path) -> None:
    file.write_text('[trainer]\npython = "~/envs/a/bin/python"\n')
    assert settings.load().trainer_python == Path.home() / "envs/a/bin/python"


def test_a_notify_command_is_a_program_and_its_arguments(file: Path) -> None:
    assert (settings.load().notify_command, settings.load().notify_terminal) == ((), True)
    file.write_text('[notify]\ncommand = ["~/bin/tell", "", "{title}"]\nterminal = false\n')
    assert (settings.load().notify_command, settings.load().notify_terminal) == (("~/bin/tell", "", "{title}"), False)


def test_low_bandwidth_is_neither_on_nor_off_by_itself(file: Path) -> None:
    assert settings.load().low_bandwidth is None
    file.write_text("[app]\nlow_bandwidth = false\n")
    assert settings.load().low_bandwidth is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[trainer]\npython = /usr/bin/python\n", "at line 2"),
        ("[trainer]\n# python\n\npython = 3\n", "line 4: 'python' is the path"),
        ('[trainer]\npython = "/a\\u0000"\n', "line 2: 'python' is the path"),
        (f"[app]\nlow_bandwidth = {'9' * 5000}\n", "thousands of digits"),
        ('[trainer]\npyhton = "/a"\n', "line 2: there is no setting 'pyhton' in [trainer]"),
        ('\n[trainr]\npython = "/a"\n', "line 2: there is no setting 'trainr'"),
        ('[trainer]\npyhton = "/a"\n', "did you mean python?"),
        ('[trainr]\npython = "/a"\n', "did you mean trainer?"),
        ('[app]\ntheme = "pink"\n', 'line 2: \'theme\' is "dark" or "light"'),
        ("[app]\ntheme = 1\n", 'line 2: \'theme\' is "dark" or "light"'),
        ("trainer = 1\n", "line 1: 'trainer' is a table"),
        ('[app]\nlow_bandwidth = "yes"\n', "line 2: 'low_bandwidth' is true or false"),
        ("[app]\npython = 1\n", "line 2: there is no setting 'python' in [app]"),
        ("[app]\nlow_bandwidth = 1\n", "line 2: 'low_bandwidth' is true or false"),
        ('[trainer]\npython = ""\n', "line 2: 'python' is the path"),
        ('[notify]\ncommand = "notify-send"\n', "line 2: 'command' is a list"),
        ("[notify]\ncommand = []\n", "line 2: 'command' is a list"),
        ('[notify]\ncommand = ["a", 1]\n', "line 2: 'command' is a list"),
        ('[notify]\ncommand = ["a\\u0000"]\n', "line 2: 'command' is a list"),
        ('[notify]\ncommand = ["./a"]\n', "line 2: the program in 'command' must begin with / or ~"),
        ('[notify]\nterminal = "no"\n', "line 2: 'terminal' is true or false"),
        ("notify = 1\n", "line 1: 'notify' is a table"),
        ('app = "low_bandwidth"\n', "line 1: 'app' is a table"),
        ("# python\ntrainer = { python = true }\n", "line 2: 'python' is the path"),
        ("[trainer.python]\na = 1\n", "line 1: 'python' is the path"),
        ("[[app]]\nlow_bandwidth = true\n", "line 1: 'app' is a table"),
        ('[app]\n"a`b - at `$.x`\\n" = 1\n', "line 2: there is no setting 'a`b - at `$.x`\\n' in [app]"),
    ],
)
def test_mistakes_are_named_with_file_and_line(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(BadInput) as error:
        settings.load()
    assert str(file) in error.value.message and said in error.value.message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('url = "api.example.com"', "'url' is an address that begins with https://"),
        ('url = "file:///etc/passwd"', "'url' is an address"),
        ('url = "https://me:pass@api.example.com/v1"', "'url' has a secret in it"),
        ('key_env = "sk-abc"', "'key_env' is the name of an environment variable, not the key itself"),
        ('key = "two words"', "'key' is a text in quotes, without spaces"),
        ("model = 3", "'model' is the name of a model"),
    ],
)
def test_a_judge_model_with_a_mistake(file: Path, line: str, said: str) -> None:
    file.write_text(f"[judge_model]\n{line}\n")
    with pytest.raises(BadInput, match=f"line 2: {said}") as raised:
        settings.load()
    assert "pass@" not in raised.value.message


def test_a_pipe_in_its_place_holds_nobody_up(file: Path) -> None:
    os.mkfifo(file)
    with pytest.raises(BadInput, match="cannot be read: it is not a file"):
        settings.load()


def test_a_file_beyond_the_limits_is_refused_at_once(file: Path) -> None:
    file.write_text("[app]\n" + ".".join(["a"] * 100_000) + " = 1\n")
    with pytest.raises(BadInput, match=r"a key has more than 16 parts, separated by dots \(at line 2\)"):
        settings.load()
    file.write_text("#" * (MAX_BYTES + 1))
    with pytest.raises(BadInput, match="it is larger than 1 MiB"):
        settings.load()


def test_file_that_is_not_text(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="cannot be read"):
        settings.load()


def test_webhooks_have_names_and_events_are_chosen(file: Path) -> None:
    assert (settings.load().webhooks, settings.load().notify_events) == ((), None)
    file.write_text(
        '[notify]\nevents = ["failed"]\n[webhook.phone]\nkind = "ntfy"\nurl_env = "NTFY"\n'
        '[webhook.team]\nkind = "slack"\nurl = "http://10.0.0.7/hook"\nlan = true\n'
    )
    assert settings.load().notify_events == ("failed",)
    assert settings.load().webhooks == (
        settings.WebhookSettings("phone", "ntfy", url_env="NTFY"),
        settings.WebhookSettings("team", "slack", "http://10.0.0.7/hook", lan=True),
    )
    assert settings.read_values()["webhook.team.url"] == settings.HIDDEN


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[notify]\nevents = ["end"]\n', "line 2: 'events' is a list of some of these words in quotes: done"),
        ('[webhook.a]\nkind = "mail"\n', 'line 2: \'kind\' is "ntfy" or "slack"'),
        ('[webhook.a]\nurl = "http://ntfy.sh/secret1"\n', "line 2: 'url' begins with http://"),
        ('[webhook.a]\nkind = "ntfy"\nurl = "ntfy.sh/secret1"\n', "line 3: 'url' is an address that begins with"),
        ('[webhook.a]\nurl = "https://me:secret1@ntfy.sh/a"\n', "line 2: 'url' has a name or a password in it"),
        ('[webhook.a]\nurl = "https://[secret1/a"\n', "line 2: 'url' is no address"),
        ('[webhook.a]\ntoken = "secret1 b"\n', "line 2: 'token' is a text in quotes, without spaces"),
        ('[webhook.a]\nuri = "https://x"\n', "line 2: there is no setting 'uri' in [webhook.a]; did you mean url?"),
        ('[[webhook]]\nkind = "ntfy"\n', "line 1: 'webhook' has a table for each webhook"),
        ('[webhook]\nkind = "ntfy"\n', "line 2: a webhook is a table with a name"),
        ('[webhook."my phone"]\nkind = "ntfy"\n', "line 1: the name of a webhook has letters"),
    ],
)
def test_a_webhook_with_a_mistake(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(BadInput) as raised:
        settings.load()
    assert said in raised.value.message
    assert "secret1" not in str(raised.value)
