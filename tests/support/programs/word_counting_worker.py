"""An inspect worker that counts words for tokens."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from training.contract.inspect_messages import INSPECT, InspectProgress, InspectReady, StatsReady, Tokenise
from training.dataset import lengths
from training.dataset.rows import read
from training.dataset.source import local
from training.workers.pipe import Pipe

place = sys.argv[2]
config = json.loads(Path(place).read_text())
pipe = Pipe(INSPECT)
pipe.send(InspectReady(rows=0, why=config["profile"]["title"]))
pipe.send(StatsReady(scan="a scan", lengths=None))  # a large dataset is scanned in the background
for request in pipe.requests():
    assert request == Tokenise()
    found = lengths.Lengths()
    for row in read(local(config["dataset"])).rows:
        pipe.send(InspectProgress(what="tokenising", done=len(found.tokens), total=9))
        words = [len(message["content"].split()) for message in row.messages]
        found.add([(sum(words), [(sum(words[:-1]), sum(words))])])
    file = Path(f"{place}.lengths")
    lengths.save(file, found)
    pipe.send(StatsReady(scan=None, lengths=str(file)))
