"""`python -m training gguf FOLDER`: writes GGUF files with the programs of llama.cpp that the app names.

The messages are in `training.contract.gguf_messages`. FOLDER is where the worker works; it may write temporary files.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from training.contract.gguf_messages import (
    GGUF,
    AdapterConverted,
    ConvertAdapter,
    ConvertModel,
    GgufAnswer,
    GgufRequest,
    QuantizeModel,
    Writing,
)
from training.contract.messages import Loading
from training.workers.pipe import Pipe

GgufPipe = Pipe[GgufRequest, GgufAnswer]


def serve(folder: Path) -> int:
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    os.chdir(folder)
    pipe: GgufPipe = Pipe(GGUF)
    return pipe.answer_requests(partial(_answer, pipe))


def _answer(pipe: GgufPipe, request: GgufRequest) -> None:
    def report(done: int, total: int) -> None:
        pipe.send(Writing(done=min(done, total), total=total))

    match request:
        case ConvertModel():
            from training.export.conversion import convert_model

            pipe.send(Loading(detail="loading the converter", done=0, total=1))
            pipe.send(convert_model(request, report))
        case ConvertAdapter():
            from training.export.conversion import convert_adapter

            pipe.send(Loading(detail="loading the converter", done=0, total=1))
            convert_adapter(request, report)
            pipe.send(AdapterConverted())
        case QuantizeModel():
            from training.export.quantization import quantize

            pipe.send(Loading(detail="quantising", done=0, total=1))
            pipe.send(quantize(request, report))
