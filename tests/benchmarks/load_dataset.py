"""`load_dataset.py FILE CACHE`: what `datasets.load_dataset` takes for a file, as JSON. For dataset_list.py."""

from __future__ import annotations

import json
import sys
import time

import datasets

began = time.perf_counter()
rows = datasets.load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2])
rows[0]
print(json.dumps({"seconds": time.perf_counter() - began, "rows": len(rows)}))
