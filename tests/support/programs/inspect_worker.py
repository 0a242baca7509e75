"""An inspect worker without a tokenizer. `line` of an answer counts the requests; row 3 is one that the chat template
refuses; at row 13 the worker ends."""

from __future__ import annotations

import sys

from training.contract.failures import TrainingFailure
from training.contract.inspect_messages import INSPECT, InspectReady, RenderedRow
from training.workers.pipe import Pipe

pipe = Pipe(INSPECT)
pipe.send(InspectReady(rows=200))
for count, request in enumerate(pipe.requests(), 1):
    if request.index == 13:
        sys.exit("Out of memory.")
    elif request.index == 3:
        pipe.send_error(TrainingFailure("bad_data", "line 4: refused.", "Mend it."), 3)
    else:
        pipe.send(RenderedRow(index=request.index, line=count, max_seq_length=64))
