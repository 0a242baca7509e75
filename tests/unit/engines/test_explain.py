"""What ssh prints, and what a person reads."""

from __future__ import annotations

import pytest

from codex_tui.engines.ssh.link.explain import explain_failure


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "its host key is not"),
        (
            "No ED25519 host key is known for a.example and you have requested strict checking.",
            "its host key is unknown",
        ),
        ("me@box: Permission denied (publickey,password).", "it refuses the login without a password"),
        ("me@box: Permission denied (publickey).", "it refuses the login"),
        ("Received disconnect from 1.2.3.4 port 22:2: Too many authentication failures", "it refuses the login after"),
        ("ssh: Could not resolve hostname bx: Name or service not known", "there is no such host name"),
        ("ssh: Could not resolve hostname box: Temporary failure in name resolution", "host names can't be looked up"),
        ("ssh: connect to host box port 22: Connection refused", "it refuses connections"),
        ("ssh: connect to host box port 22: No route to host", "it does not answer"),
        ("ssh: connect to host box port 22: Connection timed out", "it does not answer"),
        ("Connection timed out during banner exchange", "it does not answer"),
        ("kex_exchange_identification: Connection closed by remote host", "it closed the connection"),
        ("Timeout, server box not responding.", "the connection was cut"),
        ("mux_client_request_session: read from master failed: Broken pipe", "the connection was cut"),
        ("/root/.ssh/config: line 3: Bad configuration option: prot", "ssh does not accept its configuration"),
        ("", "the connection was cut"),
        ("something\nnew \x1b[2J", "ssh says: new ␛[2J"),
    ],
)
def test_what_ssh_prints_becomes_a_reason_with_a_hint(printed: str, reason: str) -> None:
    told, hint = explain_failure(printed, "me@box", answered=False)

    assert told.startswith(reason)
    assert hint and "{}" not in hint


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("'exec' is not recognized as an internal or external command,", "it runs Windows"),
        ("exec : The term 'exec' is not recognized as the name of a cmdlet", "it runs Windows"),
        ("WARNING: Your password has expired.\nPassword change required but no TTY available.", "your password there"),
        ("This service allows sftp connections only.", "its login shell does not run commands"),
    ],
)
def test_a_shell_that_is_none_is_named(printed: str, reason: str) -> None:
    told, hint = explain_failure(printed, "box", answered=True)
    assert told.startswith(reason)
    assert hint.endswith(f" It printed: {printed.splitlines()[-1]}")
