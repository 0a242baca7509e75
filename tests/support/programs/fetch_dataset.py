"""`fetch_dataset.py hf://OWNER/NAME`: prints the files and the commit that the launcher gets, as JSON."""

from __future__ import annotations

import json
import sys

from codex_tui.hub.download import fetch

fetched = fetch(sys.argv[1], None, lambda progress: None)
print(json.dumps([[str(path) for path in fetched.files], fetched.revision]))
