"""Writes the GGUF files of a merged model, and proves that they read a text as the run does.

Each function writes into a folder that it is given, and returns facts about the file for the report. The steps of an
export call them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from codex_tui.base.errors import CodexError
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.base.text import pluralize, shorten
from codex_tui.environment import build
from codex_tui.environment.llama_cpp import LlamaCpp, Tool, read_version
from codex_tui.export.gguf_types import estimate_bytes, name_file
from codex_tui.export.plan import ADAPTER, ExportPlan
from codex_tui.export.steps import Facts, Step
from codex_tui.llama_cpp.llama_server import ServerOptions, start_server
from codex_tui.workers.process import Worker
from training.contract import checkpoints
from training.contract.gguf_messages import (
    FLOAT_TYPES,
    GGUF,
    QUANTS,
    AdapterConverted,
    ConvertAdapter,
    Converted,
    ConvertModel,
    FloatType,
    GgufAnswer,
    GgufRequest,
    Quantized,
    QuantizeModel,
    TokenSample,
    Writing,
)
from training.contract.messages import Loading, WorkerError
from training.contract.run_directory import RunDirectory

FLOAT_OF_DTYPE: dict[str, FloatType] = {"float16": "f16", "bfloat16": "bf16", "float32": "f32"}
T = TypeVar("T", bound=GgufAnswer)

DIFFICULT_TEXTS = (
    "Which weapon should I upgrade first?",
    "  two spaces, a\ttab\nand a line\n\n\nand three   \n",
    "It's 3 o'clock; they'VE 12345 coins, 3.14 or 1,000,000?!",
    'def f(x: int) -> str:\n    return f"{x!r}"  # ok\n',
    "Привет, мир! Ещё раз: ёлка, объект.",
    "你好，世界。これはテストです。안녕하세요",
    "naïve café — “quotes” … №5 ½ ﬁ",
    "🚀👩‍👩‍👧 نص עברית हिन्दी ไทย",
    "CamelCase snake_case kebab-case https://example.org/a?b=c&d=%20",
    "\r\n\u00a0\u2003\ufeff|<s></s>[INST] <|x|>",
)
"""Texts in which tokenizers differ: spaces, numbers, contractions, scripts, emoji."""


async def convert_model(
    llama_cpp: LlamaCpp,
    model: Path,
    run: RunDirectory,
    tokenizer: Path,
    float_type: FloatType,
    out: Path,
    report: OnProgress,
) -> dict[str, Any]:
    """Write the merged `model` to `out`. `tokenizer` is the folder with the tokenizer of `run`.

    The vocabulary, the special tokens and the chat template in the file are compared with it, and llama-server must
    read texts of the run's dataset as the same tokens. Difficult texts are tried too: where the converter does not know
    the tokenizer, they must be the same as well. Raises CodexError if anything differs.
    """
    request = ConvertModel(
        converter=str(_require(llama_cpp.converter)),
        model=str(model),
        run=str(run.path),
        tokenizer=str(tokenizer),
        out=str(out),
        float_type=float_type,
        texts=list(DIFFICULT_TEXTS),
    )
    converted = await _ask(request, Converted, out.parent, f"writing {out.name}", report)
    different = await _find_different(llama_cpp, out, converted.samples, report)
    own = [sample for sample in different if sample.own]
    if own or (different and not converted.known):
        raise _refuse_tokens(own or different, len(converted.samples), converted.known)
    return {
        "quant": float_type,
        "pre_tokenizer": converted.pre_tokenizer,
        "pre_tokenizer_known": converted.known,
        "compared_texts": len(converted.samples),
        "different_texts": [sample.text for sample in different],
        **_describe_tools(llama_cpp),
    }


async def _find_different(
    llama_cpp: LlamaCpp, model: Path, samples: Sequence[TokenSample], report: OnProgress
) -> list[TokenSample]:
    """Return the samples that llama-server reads as other tokens."""
    different: list[TokenSample] = []
    async with start_server(_require(llama_cpp.server), ServerOptions(model, context=512), report) as server:
        for done, sample in enumerate(samples):
            report(Progress("comparing the tokens of texts", done, len(samples), "texts"))
            if await server.tokenize(sample.text) != sample.ids:
                different.append(sample)
    return different


def _refuse_tokens(different: Sequence[TokenSample], compared: int, known: bool) -> CodexError:
    reason = "" if known else " Its converter does not know this tokenizer."
    return CodexError(
        f"llama.cpp reads {pluralize(len(different), 'text')} of {compared} as other tokens than the run, such as "
        f"{shorten(different[0].text, 60)!r}.{reason}",
        "The file was not kept, because the model would not understand its prompts. "
        "A newer llama.cpp may: codex-tui config llama_cpp.path FOLDER",
    )


async def quantize_model(
    llama_cpp: LlamaCpp, source: Path, quant: str, out: Path, report: OnProgress
) -> dict[str, Any]:
    """Write the GGUF file `source` as `quant` to `out`. Raises CodexError."""
    quantizer = str(_require(llama_cpp.quantizer))
    request = QuantizeModel(quantizer=quantizer, source=str(source), out=str(out), quant=quant)
    quantized = await _ask(request, Quantized, out.parent, f"quantising to {quant}", report)
    return {"quant": quant, "fallbacks": quantized.fallbacks, "tensors": quantized.tensors}


async def convert_adapter(
    llama_cpp: LlamaCpp, base: str, adapter: Path, out: Path, report: OnProgress
) -> dict[str, Any]:
    """Write the adapter in the folder `adapter` to `out`. `base` names its base model. Raises CodexError if the format
    has no place for such an adapter."""
    if llama_cpp.lora_converter is None:
        raise CodexError(
            "The converter for adapters, convert_lora_to_gguf.py, is missing.",
            "It is in a checkout of llama.cpp: codex-tui config llama_cpp.path FOLDER",
        )
    request = ConvertAdapter(
        converter=str(llama_cpp.lora_converter.path), base=base, adapter=str(adapter), out=str(out)
    )
    await _ask(request, AdapterConverted, out.parent, f"writing {out.name}", report)
    return {"quant": ADAPTER}


def make_steps(plan: ExportPlan, merge: Step, dtype: str, parameters: int, llama_cpp: LlamaCpp) -> list[Step]:
    """Make the steps that write the GGUF files of `plan` from the merged model. They are quantised from a file with
    the number type of the merged model, which stays only if it was asked for."""
    version = read_version(_require(llama_cpp.server))
    source_type = FLOAT_OF_DTYPE.get(dtype, "f16")
    floats = [quant for quant in plan.quants if quant in FLOAT_TYPES]
    quants = [quant for quant in plan.quants if quant in QUANTS]
    if quants and source_type not in floats:
        floats.append(source_type)

    def make(quant: str, needed: Step, intermediate: bool) -> Step:
        async def work(folder: Path, report: OnProgress) -> Facts:
            out, source = folder / name_file(plan.run.name, quant), needed.find_folder(plan.out)
            if quant in FLOAT_TYPES:
                return await convert_model(llama_cpp, source, plan.run, plan.adapter, quant, out, report)
            file = source / name_file(plan.run.name, source_type)
            return await quantize_model(llama_cpp, file, quant, out, report)

        return Step(
            name=name_step(quant),
            depends_on=[quant, version],
            work=work,
            bytes_needed=estimate_bytes(quant, parameters),
            needs=(needed.name,),
            intermediate=intermediate,
        )

    steps = {quant: make(quant, merge, quant not in plan.quants) for quant in floats}
    return [*steps.values(), *(make(quant, steps[source_type], False) for quant in quants)]


def make_adapter_step(plan: ExportPlan, base: str, llama_cpp: LlamaCpp) -> Step:
    """Make the step that writes the adapter alone. It needs no merged model."""

    async def work(folder: Path, report: OnProgress) -> Facts:
        return await convert_adapter(llama_cpp, base, plan.adapter, folder / name_file(plan.run.name, ADAPTER), report)

    size = (plan.adapter / checkpoints.ADAPTER).stat().st_size
    return Step(name_step(ADAPTER), [plan.side.model.sha256], work, bytes_needed=size)


def name_step(quant: str) -> str:
    return f"gguf-{quant}"


def _require(tool: Tool | None) -> Path:
    if tool is None:
        raise CodexError("llama.cpp is missing.", "Install it: codex-tui setup --export")
    return tool.path


def _describe_tools(llama_cpp: LlamaCpp) -> dict[str, Any]:
    server = _require(llama_cpp.server)
    return {"llama_cpp": read_version(server), "llama_server": str(server)}


async def _ask(request: GgufRequest, kind: type[T], folder: Path, step: str, report: OnProgress) -> T:
    """Start the worker, ask it once, and return its answer. It ends with this call. Raises CodexError."""
    async with _start_worker(folder) as worker:
        report(Progress("starting the converter"))
        await worker.send(request)
        async for answer in worker:
            match answer:
                case Loading():
                    report(Progress(answer.detail))
                case Writing():
                    report(Progress(step, answer.done, answer.total))
                case WorkerError():
                    raise CodexError(answer.message, answer.hint)
                case _ if isinstance(answer, kind):
                    return answer
        raise CodexError("The worker that writes GGUF files ended without an answer.", worker.last_lines())


@asynccontextmanager
async def _start_worker(folder: Path) -> AsyncIterator[Worker[GgufRequest, GgufAnswer]]:
    python = await asyncio.to_thread(build.find_python)
    worker = await Worker.start(python, GGUF, folder)
    try:
        yield worker
    finally:
        await asyncio.shield(worker.close())
