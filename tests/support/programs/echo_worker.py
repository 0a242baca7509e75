"""A worker that runs the code of each request and answers with its text."""

from __future__ import annotations

import json
import sys

print("ready to echo", sys.argv[1:], file=sys.stderr)
for line in sys.stdin:
    message = json.loads(line)
    exec(message["code"])
    print(json.dumps({"type": "said", "text": message["text"]}), flush=True)
