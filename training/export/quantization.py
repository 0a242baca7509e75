"""Writes a GGUF file in a smaller type, with llama-quantize or with the library that does the same.

Both print the same lines, one for each tensor, from which the progress is read.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path

from training.contract.failures import TrainingFailure
from training.contract.gguf_messages import QUANTS, Quantized, QuantizeModel
from training.contract.process import die_with_parent

MIB = 2**20
OnBytes = Callable[[int, int], None]


class _Log:
    """Reads what llama.cpp prints while it quantises."""

    def __init__(self, total: int, report: OnBytes) -> None:
        self.fallbacks = self.tensors = 0
        self.last = deque[str](maxlen=20)
        self._total, self._report = total, report
        self._read_mib = 0.0
        self._line = ""

    def write(self, text: str) -> None:
        """Take a piece of the output. A line may come in several pieces."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._read(line)

    def _read(self, line: str) -> None:
        if line.strip():
            self.last.append(line.strip())
        if tensor := re.match(r"\[\s*(\d+)/\s*(\d+)\] .*size =\s*([\d.]+) MiB", line):
            self.tensors = int(tensor[2])
            self._read_mib += float(tensor[3])
            self._report(int(self._read_mib * MIB), self._total)
        elif fallback := re.search(r"WARNING: (\d+) of (\d+) tensor\(s\) required fallback", line):
            self.fallbacks = int(fallback[1])


def quantize(request: QuantizeModel, report: OnBytes) -> Quantized:
    """Raises TrainingFailure with the last words of llama.cpp."""
    log = _Log(Path(request.source).stat().st_size, report)
    program = Path(request.quantizer)
    threads = len(os.sched_getaffinity(0))
    run = _run_library if ".so" in program.suffixes else _run_program
    code = run(program, request.source, request.out, request.quant, threads, log)
    log.write("\n")
    if code:
        raise _explain(request, code, log)
    return Quantized(fallbacks=log.fallbacks, tensors=log.tensors)


def _explain(request: QuantizeModel, code: int, log: _Log) -> TrainingFailure:
    reason = next((line for line in reversed(log.last) if re.search("fail|error", line, re.IGNORECASE)), "")
    if "iostream error" in reason:  # llama.cpp has no other words for a failed write
        return explain_full_disk(request.out)
    return TrainingFailure(
        "unknown",
        f"llama.cpp could not write {request.quant}: {reason or f'it ended with code {code}'}.",
        f"Its last lines: {' / '.join(list(log.last)[-3:])}",
    )


def explain_full_disk(out: str) -> TrainingFailure:
    """Return the failure of a write whose reason is not reported."""
    return TrainingFailure(
        "disk_full",
        f"{out} can't be written: the disk is full, or a file may not be so large.",
        "Free some space there, then export again.",
    )


def _run_program(program: Path, source: str, out: str, quant: str, threads: int, log: _Log) -> int:
    process = subprocess.Popen(
        [str(program), source, out, quant.upper(), str(threads)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=lambda: die_with_parent(True),  # this process may be killed
    )
    assert process.stdout is not None
    for line in process.stdout:
        log.write(line)
    return process.wait()


class _Parameters(ctypes.Structure):
    """The head of llama_model_quantize_params; the rest keeps its defaults. The library fills no more than it has."""

    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int), ("rest", ctypes.c_char * 1024)]


def _run_library(library: Path, source: str, out: str, quant: str, threads: int, log: _Log) -> int:
    llama = ctypes.CDLL(str(library))
    llama.llama_model_quantize_default_params.restype = _Parameters
    llama.llama_model_quantize.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(_Parameters)]
    llama.llama_model_quantize.restype = ctypes.c_uint32
    callback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(
        lambda _level, text, _data: log.write(text.decode("utf-8", "replace"))
    )
    llama.llama_log_set(callback, None)
    llama.llama_backend_init()
    parameters = llama.llama_model_quantize_default_params()
    parameters.nthread, parameters.ftype = threads, QUANTS[quant]
    try:
        return int(llama.llama_model_quantize(os.fsencode(source), os.fsencode(out), ctypes.byref(parameters)))
    finally:
        llama.llama_log_set(None, None)
