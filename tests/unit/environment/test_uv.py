"""pip's settings in uv's words, uv's progress, uv's failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex_tui.environment.uv import Activity, failure, parse_pip_config, uv_environment

LISTED = r"""
global.index-url='https://global.example/simple'
install.index-url='https://install.example/simple'
global.extra-index-url='\nhttps://one.example/simple\nhttps://two.example/simple'
:env:.find-links='/wheels https://wheels.example/'
global.find-links='/overridden'
download.proxy='http://only-for-download.example'
global.cert='/etc/company.pem'
global.broken=not quoted
"""


def test_sections_override_as_in_pip() -> None:
    options = parse_pip_config(LISTED, {})
    assert options["index-url"] == "https://install.example/simple"
    assert options["find-links"] == "/wheels https://wheels.example/"
    assert "proxy" not in options and "broken" not in options


def test_variables_count_where_pip_is_missing() -> None:
    assert parse_pip_config("", {"PIP_EXTRA_INDEX_URL": "https://a.example", "PIP_PROXY": ""}) == {
        "extra-index-url": "https://a.example"
    }


def test_options_in_the_words_of_uv() -> None:
    result = uv_environment(parse_pip_config(LISTED, {}), {"HOME": "/home/a"})
    assert result["UV_DEFAULT_INDEX"] == "https://install.example/simple"
    assert result["UV_INDEX"] == "https://one.example/simple https://two.example/simple"
    assert result["UV_FIND_LINKS"] == "/wheels,https://wheels.example/"
    assert result["SSL_CERT_FILE"] == "/etc/company.pem"
    assert result["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert result["HOME"] == "/home/a"


def test_what_is_set_for_uv_wins_and_the_shell_stays_out() -> None:
    environ = {"UV_INDEX": "https://mine.example", "VIRTUAL_ENV": "/other", "PYTHONPATH": "/other"}
    result = uv_environment(parse_pip_config(LISTED, {}), environ)
    assert result["UV_INDEX"] == "https://mine.example"
    assert "VIRTUAL_ENV" not in result and "PYTHONPATH" not in result


def test_relative_find_links_are_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert uv_environment({"find-links": "wheels"}, {})["UV_FIND_LINKS"] == str(tmp_path / "wheels")


def test_downloads_are_counted_and_the_rest_estimated() -> None:
    activity = Activity({})
    for line in ("Resolved 3 packages in 1ms", "Downloading torch (1.5GiB)", "Downloading numpy (512.0MiB)"):
        activity.read(line)
    assert str(activity) == "0 of 2,048 MiB: torch, numpy"
    assert activity.eta_seconds(60) is None  # nothing honest can be said yet
    activity.read(" Downloaded numpy")
    assert str(activity) == "512 of 2,048 MiB: torch"
    assert activity.eta_seconds(10) == pytest.approx(30)
    activity.read(" Downloaded torch")
    assert activity.eta_seconds(60) is None and str(activity) == ""


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("error: Failed to write to x: No space left on device (os error 28)", "disk is full"),
        ("error: Request failed\n  cause: error sending request for url (https://a.example/)", "cannot be reached"),
        ("× No solution found:\n╰─▶ Because there is no version of trl==9, ...", "does not have a version"),
        ("error: No interpreter found for Python >=3.11, <3.14 in search path", "no Python 3.11 to 3.13"),
        ("error: something new", "could not be built"),
    ],
)
def test_failures_in_words(said: str, message: str) -> None:
    error = failure(["Resolved 3 packages", *said.splitlines()])
    assert message in error.message
    assert error.hint.endswith(said)
    assert "Resolved" not in error.hint


def test_a_full_disk_is_named_where_uv_breaks_its_lines() -> None:
    said = """
    error: Failed to install: trl-1.15.0-py3-none-any.whl (trl==1.15.0)
      cause: Failed to copy to
             `/home/me/envs/codex-train.new/lib/trl/large.py`
      cause: failed to copy file from
             /home/me/cache/archive-v0/GpfaPJ92UYbyP_rB/trl/large.py
             to
             /home/me/envs/codex-train.new/lib/trl/.tmpwoajnF:
             No space left on device (os error 28)
    """
    error = failure(said.splitlines())
    assert error.message == "The disk is full: /home/me/envs/codex-train.new/lib/trl/.tmpwoajnF can't be written"
    assert error.hint.startswith("Free some space there")
