"""Asks a GGUF file the questions of its proof, through llama-server, in the way of every client."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from codex_tui.base.errors import CodexError
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.environment.llama_cpp import LlamaCpp
from codex_tui.export.gguf_types import name_quant
from codex_tui.export.proof import Ask
from codex_tui.llama_cpp.llama_server import LlamaServer, ServerAnswer, ServerOptions, start_server, sum_loss
from training.contract.export_messages import Exported, ProofQuestion
from training.contract.judgement import Answer, Loss

MAX_MEASURED_TOKENS = 1000  # of all references; the server takes a request for each, as slow as to write it
CONTEXT_STEP = 256


def make_gguf_ask(llama_cpp: LlamaCpp, file: Path) -> Ask:
    """Return the function that asks the model in `file`."""

    async def ask(questions: Sequence[ProofQuestion], max_new_tokens: int, report: OnProgress) -> list[Exported]:
        assert llama_cpp.server is not None
        quant = name_quant(file)
        options = ServerOptions(file, context=_choose_context(questions, max_new_tokens), use_gpu=True)
        exported: list[Exported] = []
        left = MAX_MEASURED_TOKENS
        async with start_server(llama_cpp.server.path, options, report) as server:
            for done, question in enumerate(questions):
                report(Progress(f"asking {quant}", done, len(questions), "questions"))
                measures = 0 < len(question.reference_ids) <= left
                left -= len(question.reference_ids) if measures else 0
                exported.append(await _ask(server, question, max_new_tokens, measures=measures))
        return exported

    return ask


def _choose_context(questions: Sequence[ProofQuestion], max_new_tokens: int) -> int:
    """Return the number of tokens that the longest question needs with its answer. The model's own context may need
    many times the memory of the model."""
    longest = max((len(one.prompt_ids) + max(max_new_tokens, len(one.reference_ids)) for one in questions), default=0)
    return (longest // CONTEXT_STEP + 2) * CONTEXT_STEP


async def _ask(server: LlamaServer, question: ProofQuestion, max_new_tokens: int, *, measures: bool) -> Exported:
    prompt, answer = await _answer(server, question, max_new_tokens)
    if answer.prompt_tokens != len(prompt):
        raise CodexError(
            f"llama-server read {answer.prompt_tokens} tokens for a prompt of {len(prompt)}.", server.last_lines()
        )
    loss = None
    if measures:
        measured = await server.measure(prompt, question.reference_ids)
        loss = Loss(total=sum_loss(measured), tokens=len(measured))
    written = Answer(text=answer.text, tokens=answer.tokens, ended=answer.ended)
    return Exported(prompt_ids=prompt, answer=written, loss=loss)


async def _answer(server: LlamaServer, question: ProofQuestion, max_new_tokens: int) -> tuple[list[int], ServerAnswer]:
    """Return the tokens of the prompt, as the file's own tokenizer and template make them, and the answer."""
    if question.text is not None:
        prompt = await server.tokenize(question.text, add_special=True)
        return prompt, await server.continue_text(prompt, max_new_tokens)
    tools = question.question.tools
    prompt = await server.encode_chat(question.messages, tools)
    if tools:  # the server would parse a call of a tool, and the run's answer is its text
        return prompt, await server.continue_text(prompt, max_new_tokens)
    return prompt, await server.answer(question.messages, max_new_tokens)
