"""A chat worker that answers one question at a laptop's pace: 15 words a second."""

from __future__ import annotations

import json
import sys
import time

ANSWER = "At first the zombies came one by one , and a shovel was enough for them . " * 200


def send(**message: object) -> None:
    print(json.dumps(message), flush=True)


send(type="ready", device="cpu", has_adapter=False)
number = json.loads(sys.stdin.readline())["id"]
for word in ANSWER.split():
    send(type="token", id=number, text=f"{word} ")
    time.sleep(1 / 15)
