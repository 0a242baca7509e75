"""`codex-tui` with a stand-in for Xet's servers, to which an upload takes seven seconds."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

from huggingface_hub.utils import _xet

from codex_tui.cli import main


class Commit:
    def __init__(self, **_: object) -> None:
        pass

    def __enter__(self) -> Commit:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start_upload_file(self, path: str, sha256: str) -> None:
        time.sleep(7)


_xet.get_xet_session = lambda: SimpleNamespace(new_upload_commit=Commit)
sys.exit(main(sys.argv[1:]))
