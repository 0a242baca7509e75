"""A chat worker that hangs: before it is ready ("start"), after that ("ready"), or while it writes what is no message
("noise"). With "pipe" it has opened its pipes as a real worker does. It reads no stdin and ignores SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from training.contract.chat_messages import CHAT, ChatReady
from training.contract.messages import encode
from training.workers.pipe import Pipe

signal.signal(signal.SIGTERM, signal.SIG_IGN)
how, run = sys.argv[1], Path(sys.argv[3])
if how == "pipe":
    Pipe(CHAT)
(run / "worker.pid").write_text(str(os.getpid()))
if how == "ready":
    os.write(1, encode(ChatReady(device="a card", has_adapter=False)))
while True:
    if how == "noise":
        os.write(1, b"x" * 1000 + b"\n")
    time.sleep(0.01)
