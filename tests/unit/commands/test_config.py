"""The command `config`: shows and changes settings.toml."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fake_runs import as_json

from codex_tui.base import locations, settings, settings_schema
from codex_tui.cli import main

pytestmark = pytest.mark.usefixtures("empty_home")


def write(text: str) -> Path:
    path = locations.settings_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_every_setting_is_listed_with_its_value_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    write("[app]\nlow_bandwidth = true\n")
    assert main(["config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = settings.read_values()
    assert {"trainer.python", "app.low_bandwidth", "app.theme"} <= set(names) == set(settings_schema.HELP)
    for name in names:
        assert any(line.startswith(name) and settings_schema.HELP[name] in line for line in lines), name
    assert any(line.split()[:2] == ["app.low_bandwidth", "true"] for line in lines)
    assert any(line.split()[:2] == ["app.theme", "unset"] for line in lines)
    assert str(locations.settings_file()) in lines[-1]
    assert main(["config", "--json"]) == 0
    assert as_json(capsys) == {**names, "app.low_bandwidth": True}


def test_a_value_is_set_read_and_unset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "app.theme", "light"]) == 0
    assert settings.load().theme == "light"
    capsys.readouterr()
    assert main(["config", "app.theme"]) == 0
    assert capsys.readouterr().out == "light\n"
    assert main(["config", "app.theme", "--json"]) == 0
    assert as_json(capsys) == {"app.theme": "light"}
    assert main(["config", "app.theme", "--unset"]) == 0
    assert settings.load().theme is None
    assert main(["config", "app.theme", "--unset"]) == 0  # nothing to do is no mistake
    capsys.readouterr()
    assert main(["config", "app.theme"]) == 0
    assert capsys.readouterr().out == "unset\n"


def test_a_change_keeps_every_other_byte(capsys: pytest.CaptureFixture[str]) -> None:
    path = write('# mine\n[app]\nlow_bandwidth = true  # the train\n\n[trainer]\npython = "/usr/bin/python3"\n')
    assert main(["config", "app.low_bandwidth", "false", "--json"]) == 0
    assert as_json(capsys) == {"app.low_bandwidth": False}
    assert path.read_text() == (
        '# mine\n[app]\nlow_bandwidth = false  # the train\n\n[trainer]\npython = "/usr/bin/python3"\n'
    )
    assert path.stat().st_mode & 0o077 == 0


def test_a_relative_interpreter_is_stored_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["config", "trainer.python", "env/bin/python"]) == 0
    assert settings.load().trainer_python == tmp_path / "env/bin/python"
    assert main(["config", "trainer.python", "~/env"]) == 0
    assert 'python = "~/env"' in locations.settings_file().read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["app.low_bandwidth", "maybe"], "app.low_bandwidth: 'low_bandwidth' is true or false"),
        (["app.theme", "pink"], 'app.theme: \'theme\' is "dark" or "light"'),
        (["app.thme", "dark"], "Did you mean app.theme?"),
        (["theme"], "Did you mean app.theme?"),
        (["trainer"], "Did you mean trainer.python?"),
        (["--unset"], "Name the setting"),
        (["app.theme", "dark", "--unset"], "either a value or --unset"),
    ],
)
def test_a_mistake_changes_nothing(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("[app]\nlow_bandwidth = true\n")
    assert main(["config", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert path.read_text() == "[app]\nlow_bandwidth = true\n"


def test_a_damaged_file_is_named_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    path = write("[app\n")
    for arguments in ([], ["app.theme", "dark"], ["app.theme", "--unset"]):
        assert main(["config", *arguments]) == 2
        assert f"{path}: not valid TOML" in capsys.readouterr().err
    assert path.read_text() == "[app\n"


def test_a_link_to_a_file_of_settings_stays_a_link(tmp_path: Path) -> None:
    target = tmp_path / "dotfiles.toml"
    target.write_text("")
    path = locations.settings_file()
    path.parent.mkdir(parents=True)
    path.symlink_to(target)
    assert main(["config", "app.theme", "dark"]) == 0
    assert path.is_symlink() and 'theme = "dark"' in target.read_text()


def test_a_key_is_never_shown_and_never_taken_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    locations.settings_file().parent.mkdir(parents=True, exist_ok=True)
    locations.settings_file().write_text('[judge_model]\nkey = "sk-0123456789"\n')
    for arguments in ([], ["--json"], ["judge_model.key"], ["judge_model.key", "--json"]):
        assert main(["config", *arguments]) == 0
    assert main(["config", "judge_model.key", "sk-9876543210"]) == 2
    shown = capsys.readouterr()
    assert "the shell would keep it in its history" in shown.err
    assert "codex-tui config judge_model.key_env NAME" in shown.err
    assert "sk-" not in shown.out + shown.err
    assert '"judge_model.key": "(hidden)"' in shown.out
    assert main(["config", "judge_model.key", "--unset"]) == 0
    assert "sk-" not in locations.settings_file().read_text()


def test_a_webhook_is_set_by_its_name_and_its_secrets_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "webhook.phone.kind", "ntfy"]) == 0
    assert main(["config", "webhook.phone.url", "https://ntfy.sh/my-topic"]) == 2
    assert "codex-tui config webhook.phone.url_env NAME" in capsys.readouterr().err
    assert main(["config", "webhook.phone.url_env", "NTFY_URL"]) == 0
    assert settings.load().webhooks == (settings.WebhookSettings("phone", "ntfy", url_env="NTFY_URL"),)
    path = locations.settings_file()
    path.write_text(f'{path.read_text()}url = "https://ntfy.sh/my-topic"\ntoken = "tk_0123"\n')
    capsys.readouterr()
    for arguments in ([], ["--json"], ["webhook.phone.url"], ["webhook.phone.token", "--json"]):
        assert main(["config", *arguments]) == 0
        printed = capsys.readouterr().out
        assert settings.HIDDEN in printed and "my-topic" not in printed and "tk_0123" not in printed
    assert main(["config", "webhook.phone.nothing"]) == 2
    assert main(["config", "webhook.phone.url", "--unset"]) == 0
    assert "my-topic" not in path.read_text()
