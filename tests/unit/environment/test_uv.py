"""Tests how pip's settings are passed to uv, and how its progress and its failures are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex_tui.environment.uv import Activity, explain_failure, make_uv_environ, parse_pip_config, read_pip_options

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


def test_variables_count_if_pip_is_not_installed() -> None:
    assert parse_pip_config("", {"PIP_EXTRA_INDEX_URL": "https://a.example", "PIP_PROXY": ""}) == {
        "extra-index-url": "https://a.example"
    }


def test_without_a_pip_of_its_own_the_app_asks_that_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, script in (("none", "exit 1"), ("python3", "echo \"global.index-url='https://machine.example'\"")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o700)
    monkeypatch.setattr("sys.executable", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert read_pip_options()["index-url"] == "https://machine.example"


def test_options_become_variables_of_uv() -> None:
    result = make_uv_environ(parse_pip_config(LISTED, {}), {"HOME": "/home/a"})
    assert result["UV_DEFAULT_INDEX"] == "https://install.example/simple"
    assert result["UV_INDEX"] == "https://one.example/simple https://two.example/simple"
    assert result["UV_FIND_LINKS"] == "/wheels,https://wheels.example/"
    assert result["SSL_CERT_FILE"] == "/etc/company.pem"
    assert result["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert result["HOME"] == "/home/a"


def test_variables_of_uv_win_and_those_of_the_shell_are_removed() -> None:
    environ = {"UV_INDEX": "https://mine.example", "VIRTUAL_ENV": "/other", "PYTHONPATH": "/other"}
    result = make_uv_environ(parse_pip_config(LISTED, {}), environ)
    assert result["UV_INDEX"] == "https://mine.example"
    assert "VIRTUAL_ENV" not in result and "PYTHONPATH" not in result


def test_relative_find_links_refer_to_the_present_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert make_uv_environ({"find-links": "wheels"}, {})["UV_FIND_LINKS"] == str(tmp_path / "wheels")


def test_downloads_are_counted_and_the_rest_estimated() -> None:
    activity = Activity({})
    for line in ("Resolved 3 packages in 1ms", "Downloading torch (1.5GiB)", "Downloading numpy (512.0MiB)"):
        activity.read(line)
    assert str(activity) == "0 of 2,048 MiB: torch, numpy"
    assert activity.estimate_seconds_left(60) is None  # too early for an estimate
    activity.read(" Downloaded numpy")
    assert str(activity) == "512 of 2,048 MiB: torch"
    assert activity.estimate_seconds_left(10) == pytest.approx(30)
    activity.read(" Downloaded torch")
    assert activity.estimate_seconds_left(60) is None and str(activity) == ""


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("error: Failed to write to x: No space left on device (os error 28)", "disk is full"),
        (
            "error: Failed to install\n  cause: failed to copy to `/envs/t/large.so`: File too large (os error 27)",
            "/envs/t/large.so can't be written: it would be larger than a file may be",
        ),
        ("error: Failed to write to x: File too large (os error 27)", "would be larger than a file may be"),
        ("error: Request failed\n  cause: error sending request for url (https://a.example/)", "cannot be reached"),
        ("× No solution found:\n╰─▶ Because there is no version of trl==9, ...", "does not have a pinned version"),
        ("error: No interpreter found for Python >=3.11, <3.14 in search path", "no Python 3.11 to 3.13"),
        ("error: something new", "could not be built"),
    ],
)
def test_failures_in_plain_words(output: str, message: str) -> None:
    error = explain_failure(["Resolved 3 packages", *output.splitlines()])
    assert message in error.message
    assert error.hint.endswith(output)
    assert "Resolved" not in error.hint


def test_the_file_on_a_full_disk_is_named_though_uv_wraps_its_lines() -> None:
    output = """
    error: Failed to install: trl-1.15.0-py3-none-any.whl (trl==1.15.0)
      cause: Failed to copy to
             `/home/me/envs/codex-train.new/lib/trl/large.py`
      cause: failed to copy file from
             /home/me/cache/archive-v0/GpfaPJ92UYbyP_rB/trl/large.py
             to
             /home/me/envs/codex-train.new/lib/trl/.tmpwoajnF:
             No space left on device (os error 28)
    """
    error = explain_failure(output.splitlines())
    assert error.message == "The disk is full: /home/me/envs/codex-train.new/lib/trl/.tmpwoajnF can't be written"
    assert error.hint.startswith("Free some space there")
