"""Starts a Hub on the loopback interface, and a person who uses it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hub.person import Person
from support.hub.server import Hub


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    token = "hf_" + secrets.token_hex(17)
    hub = Hub(token)
    hub.start()
    try:
        someone = Person(hub, tmp_path, token)
        yield someone
        assert not someone.left_behind()
    finally:
        hub.stop()
