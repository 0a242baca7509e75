"""Starts a Hub on the loopback interface, and a user of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hub.server import Hub
from support.hub.user import HubUser


@pytest.fixture
def user(tmp_path: Path) -> Iterator[HubUser]:
    token = "hf_" + secrets.token_hex(17)
    hub = Hub(token)
    hub.start()
    try:
        user = HubUser(hub, tmp_path, token)
        yield user
        assert not user.files_with_token()
    finally:
        hub.stop()
