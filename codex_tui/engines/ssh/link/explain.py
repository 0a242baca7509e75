"""Says in plain words why ssh failed, from what it prints."""

from __future__ import annotations

import re

from codex_tui.base.text import clean, shorten

CUT = ("the connection was cut", "It is made again at the next try.")
# A pattern, the reason in a few words, and what to do. {} is the host.
_REASONS: tuple[tuple[str, str, str], ...] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not the one that you accepted",
        "If you know why, remove the old key as `ssh {}` says, then connect once by hand: ssh {}",
    ),
    (
        r"Host key verification failed|host key is known for",
        "its host key is unknown here",
        "Connect once by hand, compare the key and accept it: ssh {}",
    ),
    (
        r"Too many authentication failures",
        "it refuses the login after too many keys",
        "Name the right key in ~/.ssh/config: IdentityFile, and IdentitiesOnly yes.",
    ),
    (
        r"UNPROTECTED PRIVATE KEY FILE|bad permissions",
        "ssh does not use your key, because others may read it",
        "Make it yours alone: chmod 600 ~/.ssh/KEY",
    ),
    (
        r"Permission denied \([^)]*password[^)]*\)|Permission denied \([^)]*keyboard",
        "it refuses the login without a password",
        "Codex TUI never asks for one. Copy your key there once: ssh-copy-id {}. If your key has a passphrase: ssh-add",
    ),
    (
        r"Permission denied \(",
        "it refuses the login",
        "Your public key must be in ~/.ssh/authorized_keys there. Try it by hand: ssh {}. For a key with a passphrase: "
        "ssh-add",
    ),
    (
        r"Temporary failure in name resolution",
        "host names can't be looked up now",
        "Check the network of this machine, then try it again.",
    ),
    (
        r"Could not resolve hostname",
        "there is no such host name",
        "Check the name, or give it a HostName in ~/.ssh/config.",
    ),
    (r"Connection refused", "it refuses connections at its ssh port", "Check the port, and that sshd runs there."),
    (
        r"timed out|No route to host|Network is unreachable|Host is down",
        "it does not answer",
        "Check that it is on, and the network in between.",
    ),
    (
        r"Timeout, server|mux_client|[Cc]ontrol socket|Broken pipe|Connection to \S+ closed|Shared connection",
        *CUT,
    ),
    (
        r"kex_exchange_identification|Connection closed|Connection reset|closed by remote host",
        "it closed the connection",
        "Try it by hand: ssh {}",
    ),
    (
        r"Bad configuration option|Bad owner or permissions|bad configuration options|Bad port|Bad host",
        "ssh does not accept its configuration",
        "Correct ~/.ssh/config; see what it says: ssh {}",
    ),
)
_ANSWERED: tuple[tuple[str, str, str], ...] = (
    (
        r"is not recognized|CommandNotFoundException|Microsoft Windows",
        "it runs Windows, where training is not supported",
        "Let sshd run inside of WSL2 there, and use that.",
    ),
    (r"password has expired", "your password there has expired", "Log in by hand and change it: ssh {}"),
    (r"", "its login shell does not run commands", "This must print Linux: ssh {} uname"),
)
_REMEDIES = (
    (r"No space left on device|Disk quota exceeded", "Free some space there, then try it again."),
    (r"Read-only file system|Permission denied", "Check the owner and the permissions of the folder there."),
)


def explain_failure(printed: str, host: str, *, answered: bool) -> tuple[str, str]:
    """Return the reason in a few words, and what to do. `answered`: ssh has connected, but the shell over there has not
    started the command."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    last = shorten(clean(lines[-1]), 200) if lines else ""
    for pattern, reason, hint in _ANSWERED if answered else _REASONS:
        if re.search(pattern, printed):
            said = f" It printed: {last}" if answered and last else ""
            return reason, hint.replace("{}", host) + said
    return (f"ssh says: {last}", f"Try it by hand: ssh {host}") if last else CUT


def find_remedy(printed: str) -> str:
    """What to do about a command that failed over there, if it printed a reason that many commands have; else ""."""
    return next((remedy for pattern, remedy in _REMEDIES if re.search(pattern, printed)), "")
