"""The chat worker of a model that wants to command the terminal, and sends its escape sequences in halves."""

from __future__ import annotations

import json
import sys

HALVES = ("\x1b", "]0;OWN", "ED\x07", "\x1b]5", "2;c;T1dORUQ=\x07", "\x1b[", "2JOWNED", "\u202e", "e", *["\u0301"] * 90)

print(json.dumps({"type": "ready", "device": "cpu\x1b]0;OWNED\x07", "has_adapter": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["type"] == "generate":
        for half in HALVES:
            print(json.dumps({"type": "token", "id": request["id"], "text": half}), flush=True)
        end = {"type": "end", "id": request["id"], "reason": "eos", "tokens": 9, "seconds": 1}
        print(json.dumps(end), flush=True)
