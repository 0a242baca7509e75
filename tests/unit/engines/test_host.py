"""The address of a remote: what ssh takes, and what is said about the rest before anything is asked."""

from __future__ import annotations

import pytest

from codex_tui.base.errors import BadInput
from codex_tui.cli import main
from codex_tui.engines.ssh.remote.host import parse_host
from codex_tui.engines.ssh.remote.remotes import read_remotes


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("box", "box"),
        ("me@203.0.113.7", "me@203.0.113.7"),
        (" me@gpu.example.org ", "me@gpu.example.org"),
        ("ssh://me@gpu:2222", "ssh://me@gpu:2222"),
        ("SSH://me@gpu:2222/", "ssh://me@gpu:2222"),
        ("ssh://gpu", "ssh://gpu"),
        ("me@corp@gpu", "me@corp@gpu"),
        ("2001:db8::1", "2001:db8::1"),
        ("me@[2001:db8::1]", "me@2001:db8::1"),
        ("ssh://me@[2001:db8::1]", "me@2001:db8::1"),
        ("me@fe80::1%eth0", "me@fe80::1%eth0"),
    ],
)
def test_an_address_becomes_one_that_ssh_takes(text: str, host: str) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    ("text", "problem", "advice"),
    [
        ("me@gpu:2222", "gives its port in a form that ssh does not take", "Use ssh://me@gpu:2222, or a Host with"),
        ("203.0.113.7:22", "gives its port in a form", "Use ssh://203.0.113.7:22, or a Host"),
        ("me@gpu:", "has no port after the colon", "as in ssh://me@gpu:2222"),
        ("me@gpu:/data", "is no host that ssh knows", "Use me@203.0.113.7, ssh://me@203.0.113.7:2222"),
        ("me@gpu:data", "has no port after the colon", "as in ssh://me@gpu:2222"),
        ("ssh://gpu:0", "has no port after the colon", "ssh://gpu:2222"),
        ("ssh://gpu:99999", "has no port after the colon", "ssh://gpu:2222"),
        ("ssh://gpu:22/data", "is no host that ssh knows", "Use me@203"),
        ("ssh -p 2222 me@gpu", "is more than an address", "that is ssh://me@host:2222"),
        ("me@my gpu", "is more than an address", "Give the address alone"),
        ("https://gpu", "is no address for ssh", "Use me@203"),
        ("me:secret@gpu", "An address has no password", "ssh-copy-id"),
        ("ssh://me@[2001:db8::1]:2222", "no port after an IPv6", "HostName 2001:db8::1, Port 2222, User me"),
        ("2001:db8::1:99999", "no port after an IPv6", "HostName 2001:db8::1"),
        ("me@[gpu:1]", "'gpu:1' is no IPv6 address", "Use me@"),
        ("-oProxyCommand=x", "is no host", "Use me@"),
        ("me@-oProxyCommand", "is no host", "Use me@"),
        ("@gpu", "is no host", "Use me@"),
        ("me@", "is no host", "Use me@"),
        ("", "is no host", "Use me@"),
        ("box;true", "is no host", "Use me@"),
    ],
)
def test_another_one_is_refused_with_the_form_that_ssh_takes(text: str, problem: str, advice: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_host(text)
    assert problem in refused.value.message and advice in refused.value.hint, refused.value


def test_the_command_says_it_before_it_asks_anybody(empty_home: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["remote", "add", "lab", "me@gpu.invalid:2222"]) == 2
    printed = capsys.readouterr().err
    assert "'me@gpu.invalid:2222' gives its port in a form that ssh does not take" in printed
    assert "Use ssh://me@gpu.invalid:2222, or a Host with HostName and Port in ~/.ssh/config." in printed
    assert not read_remotes()
