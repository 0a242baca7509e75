"""A worker that says one thing and then ignores SIGTERM and all requests."""

from __future__ import annotations

import json
import signal
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(json.dumps({"type": "said", "text": "deaf"}), flush=True)
time.sleep(600)
