"""`codex-tui` for which the Hub's library waits a tenth of its time before it tries a request again."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

from huggingface_hub.utils import _http

from codex_tui.cli import main

_http.time = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 10))  # type: ignore[attr-defined]
sys.exit(main(sys.argv[1:]))
