"""What all requests to servers on other machines share."""

from __future__ import annotations

import email.utils
import time
import urllib.request
from contextlib import suppress
from typing import Any


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would send a key to another server."""

    def redirect_request(self, *_: Any) -> None:
        return None


def read_retry_after(value: str | None) -> float:
    """Return the seconds of a header Retry-After, which has a number or a date; 0 if it has neither."""
    if not value:
        return 0.0
    with suppress(ValueError, TypeError, OverflowError):
        if value.strip().replace(".", "", 1).isdecimal():
            return float(value)
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return 0.0
