"""What the requests to servers share."""

from __future__ import annotations

import email.utils
import time
from typing import Any

import pytest

from codex_tui.base.http import read_retry_after


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), ("1.5", 1.5), ("", 0), (None, 0), ("soon", 0), ("-3", 0), ("Mon, 99 Foo", 0)]
)
def test_the_header_retry_after(value: Any, seconds: float) -> None:
    assert read_retry_after(value) == seconds
    in_a_minute = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert 50 < read_retry_after(in_a_minute) <= 60
