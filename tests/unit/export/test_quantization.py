"""llama-quantize, with a script in its place that prints what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.contract.failures import TrainingFailure
from training.contract.gguf_messages import QuantizeModel
from training.export.quantization import quantize

LINES = """
echo "main: build = 1"
echo "[   1/   3] output.weight - [ 128, 1024], type = f16, converting to q5_0 .. size =     2.00 MiB ->     0.09 MiB"
printf "[   2/   3] norm.weight - [ 128, 1, 1, 1], type = f32, size =    0.500 MiB\\n[   3/   3] b.weight - "
printf "[ 128, 64, 1, 1], type = f16, converting to q5_0 .. size =     1.00 MiB ->     0.01 MiB\\n"
echo "llama_model_quantize_impl: WARNING: 2 of 3 tensor(s) required fallback quantization" >&2
echo "$@" > "$2"
"""


def run(folder: Path, script: str, reported: list[tuple[int, int]]) -> tuple[int, int]:
    program = folder / "llama-quantize"
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
    source, out = folder / "a.gguf", folder / "b.gguf"
    source.write_bytes(bytes(4 * 2**20))
    request = QuantizeModel(quantizer=str(program), source=str(source), out=str(out), quant="q4_k_m")
    done = quantize(request, lambda done, total: reported.append((done, total)))
    return done.fallbacks, done.tensors


def test_the_program_of_the_person_is_run_and_its_progress_read(tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    assert run(tmp_path, LINES, reported) == (2, 3)
    assert reported == [(done * 2**19, 4 * 2**20) for done in (4, 5, 7)]
    source, out, quant, threads = (tmp_path / "b.gguf").read_text().split()
    assert (source, out, quant) == (str(tmp_path / "a.gguf"), str(tmp_path / "b.gguf"), "Q4_K_M")
    assert int(threads) >= 1


@pytest.mark.parametrize(
    ("script", "message", "kind"),
    [
        ("echo 'main: failed to quantize model' >&2; exit 1", "could not write q4_k_m: main: failed to", "unknown"),
        ("echo hello; exit 3", "could not write q4_k_m: it ended with code 3", "unknown"),
        ("kill -9 $$", "could not write q4_k_m: it ended with code -9", "unknown"),
        ("echo 'failed to quantize: basic_ios::clear: iostream error'; exit 1", "the disk is full", "disk_full"),
    ],
)
def test_a_failure_says_what_llama_cpp_said(tmp_path: Path, script: str, message: str, kind: str) -> None:
    with pytest.raises(TrainingFailure) as caught:
        run(tmp_path, script, [])
    assert message in caught.value.message
    assert caught.value.kind == kind
