"""Tokens per second of llama-server beside transformers, for one model with random weights. It needs no GPU.

    PYTHONPATH=. python tests/benchmarks/serving.py [--rounds 5] [--tokens 64] [--work DIR]

Run it with the app's interpreter, after `codex-tui setup --export`. All engines are loaded at once and take turns, so
that a noisy host slows all of them. The model has the shape of a Llama with 137 million weights; its rows can be
divided by 256, so the K-quants are real.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from codex_tui.base.progress import ignore_progress
from codex_tui.environment import build
from codex_tui.environment.llama_cpp import LlamaCpp, ensure_llama_cpp
from codex_tui.export import gguf
from codex_tui.llama_cpp.llama_server import LlamaServer, ServerOptions, start_server
from codex_tui.workers.process import trainer_environment
from training.contract.run_directory import RunDirectory

QUANTS = ("f16", "q8_0", "q4_k_m")
PROMPT = list(range(10, 42))

# Run by the interpreter that trains. It answers each line with the seconds that an answer took.
TRANSFORMERS = """
import sys, time, torch
from transformers import AutoModelForCausalLM
folder, dtype, tokens = sys.argv[1], getattr(torch, sys.argv[2]), int(sys.argv[3])
model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
model.generation_config.eos_token_id = None
prompt = torch.tensor([list(map(int, sys.argv[4].split(",")))])
for line in sys.stdin:
    started = time.perf_counter()
    with torch.inference_mode():
        model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=tokens, do_sample=False)
    print(time.perf_counter() - started, flush=True)
"""

MAKE_MODEL = """
import sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
from training.demo.llama import build_tokenizer
tokenizer = build_tokenizer()
ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
config = LlamaConfig(
    vocab_size=1024, hidden_size=1024, intermediate_size=2816, num_hidden_layers=12, num_attention_heads=16,
    num_key_value_heads=8, max_position_embeddings=2048, tie_word_embeddings=False, **ids)
torch.manual_seed(0)
LlamaForCausalLM(config).to(torch.float16).save_pretrained(sys.argv[1])
tokenizer.save_pretrained(sys.argv[1])
"""

Engine = Callable[[], Awaitable[float]]


def start_transformers(python: Path, model: Path, dtype: str, tokens: int) -> subprocess.Popen[str]:
    prompt = ",".join(map(str, PROMPT))
    command = [str(python), "-c", TRANSFORMERS, str(model), dtype, str(tokens), prompt]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=trainer_environment()
    )


def ask_process(process: subprocess.Popen[str]) -> Engine:
    async def ask() -> float:
        assert process.stdin and process.stdout
        process.stdin.write("\n")
        process.stdin.flush()
        return float(await asyncio.to_thread(process.stdout.readline))

    return ask


def ask_server(server: LlamaServer, tokens: int) -> Engine:
    async def ask() -> float:
        started = time.perf_counter()
        body = {"prompt": PROMPT, "temperature": 0, "n_predict": tokens, "ignore_eos": True, "cache_prompt": False}
        await server._post("/completion", body)
        return time.perf_counter() - started

    return ask


async def write_files(llama_cpp: LlamaCpp, model: Path, work: Path) -> dict[str, Path]:
    files = {quant: work / f"{quant}.gguf" for quant in QUANTS}
    run = RunDirectory(work)  # it has no dataset
    await gguf.convert_model(llama_cpp, model, run, model, "f16", files["f16"], ignore_progress)
    for quant in QUANTS[1:]:
        await gguf.quantize_model(llama_cpp, files["f16"], quant, files[quant], ignore_progress)
    return files


async def measure(llama_cpp: LlamaCpp, work: Path, rounds: int, tokens: int) -> dict[str, list[float]]:
    python, model = build.find_python(), work / "model"
    if not model.exists():
        subprocess.run([str(python), "-c", MAKE_MODEL, str(model)], check=True, env=trainer_environment())
    files = await write_files(llama_cpp, model, work)
    seconds: dict[str, list[float]] = {}
    async with contextlib.AsyncExitStack() as stack:
        engines: dict[str, Engine] = {}
        for dtype in ("float32", "bfloat16"):
            process = stack.enter_context(start_transformers(python, model, dtype, tokens))
            stack.callback(process.kill)
            engines[f"transformers {dtype}"] = ask_process(process)
        assert llama_cpp.server
        for quant, file in files.items():
            started = time.perf_counter()
            server = await stack.enter_async_context(
                start_server(llama_cpp.server.path, ServerOptions(file), ignore_progress)
            )
            print(f"llama-server {quant}: {file.stat().st_size / 2**20:,.0f} MiB, "
                  f"up in {time.perf_counter() - started:.1f} s")  # fmt: skip
            engines[f"llama-server {quant}"] = ask_server(server, tokens)
        for engine in engines.values():  # the first answer loads pages and compiles kernels
            await engine()
        for _ in range(rounds):
            for name, engine in engines.items():
                seconds.setdefault(name, []).append(await engine())
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        seconds = asyncio.run(measure(ensure_llama_cpp(ignore_progress), work, arguments.rounds, arguments.tokens))
    speeds = {name: [arguments.tokens / one for one in values] for name, values in seconds.items()}
    if arguments.json:
        json.dump(speeds, sys.stdout, indent=2)
        return
    for name, values in speeds.items():
        print(f"{name:24} {statistics.median(values):6.1f} tokens/s  ({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main()
