"""A Hub on the loopback and a person who pushes to it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hub_person import Person
from support.hub_server import serving


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    token = "hf_" + secrets.token_hex(17)
    with serving(token) as hub:
        yield Person(hub, tmp_path, token)
        assert not Person(hub, tmp_path, token).left_behind()
