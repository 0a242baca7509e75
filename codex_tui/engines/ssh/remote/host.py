"""Reads the address of a remote in the forms that ssh takes, and says of the others which form it wants."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

from codex_tui.base.errors import BadInput

# A text that ssh can't take for an option, nor a shell for a command.
HOST = r"(ssh://)?[A-Za-z0-9_][A-Za-z0-9_.+@:%\[\]-]{0,254}"
HINT = "Use me@203.0.113.7, ssh://me@203.0.113.7:2222, or a Host of ~/.ssh/config."
MAX_PORT = 65535


def parse_host(text: str) -> str:
    """Return the address `text` as ssh takes it. Raises BadInput."""
    text = text.strip()
    if re.search(r"\s", text):
        hint = "Give the address alone: for `ssh -p 2222 me@host`, that is ssh://me@host:2222"
        raise BadInput(f"{text!r} is more than an address.", hint)
    scheme, is_uri, rest = text.rpartition("://")
    if is_uri and scheme.lower() != "ssh":
        raise BadInput(f"{text!r} is no address for ssh.", HINT)
    user, at, place = (rest.rstrip("/") if is_uri else rest).rpartition("@")
    host, port = _split_port(place)
    _refuse_wrong_parts(text, user, at, host, port)
    before = f"{user}{at}"
    if ":" in host:
        _refuse_port_after_ipv6(text, before, host, port)
        return before + host
    if port is None:
        return f"ssh://{before}{host}" if is_uri else before + host
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= MAX_PORT):
        raise BadInput(f"{text!r} has no port after the colon.", f"A port is a number, as in ssh://{before}{host}:2222")
    if not is_uri:
        raise BadInput(
            f"{text!r} gives its port in a form that ssh does not take.",
            f"Use ssh://{before}{host}:{port}, or a Host with HostName and Port in ~/.ssh/config.",
        )
    return f"ssh://{before}{host}:{port}"


def _split_port(place: str) -> tuple[str, str | None]:
    """Split the host from its port; None if there is no colon after it. An IPv6 address may have brackets."""
    if match := re.fullmatch(r"\[([^\[\]]+)\](?::(.*))?", place):
        return match[1], match[2]
    if _is_ipv6(place):
        return place, None
    host, colon, port = place.rpartition(":")
    return (host, port) if colon else (place, None)


def _refuse_wrong_parts(text: str, user: str, at: str, host: str, port: str | None) -> None:
    if ":" in user:
        raise BadInput("An address has no password.", "Log in with a key: ssh-copy-id HOST. No password is ever asked.")
    whole = f"{user}{at}{host}{'' if port is None else f':{port}'}"
    if host.startswith(("-", ".")) or (at and not user) or not re.fullmatch(HOST, whole) or not host:
        raise BadInput(f"{text!r} is no host that ssh knows.", HINT)
    if ":" in host and not _is_ipv6(host):
        raise BadInput(f"{text!r} is no host that ssh knows: {host!r} is no IPv6 address.", HINT)


def _refuse_port_after_ipv6(text: str, before: str, host: str, port: str | None) -> None:
    if port is None:
        return
    user = f", User {before[:-1]}" if before else ""
    raise BadInput(
        f"{text!r}: ssh takes no port after an IPv6 address.",
        f"Make a Host in ~/.ssh/config with HostName {host}, Port {port or '2222'}{user}, and give its name.",
    )


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True
