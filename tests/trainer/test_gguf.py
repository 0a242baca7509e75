"""GGUF files of the demo, written and served by the real llama.cpp, against transformers and peft."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from support.disks import fill, mounted
from support.training_runs import Trainer

from codex_tui.base import locations
from codex_tui.base.errors import CodexError
from codex_tui.base.progress import Progress, ignore_progress
from codex_tui.environment.llama_cpp import LlamaCpp
from codex_tui.export import gguf, gguf_types
from codex_tui.export.gguf_proof import make_gguf_ask
from codex_tui.export.records import ExportRecord, FileRecord, StepRecord
from codex_tui.llama_cpp.chat_server import ChatServer
from codex_tui.llama_cpp.llama_server import LlamaServer, ServerAnswer, ServerOptions, find_free_port, start_server
from training import demo as demo_package
from training.contract.chat_messages import ChatReady, Generate, Token
from training.contract.config import RowForm
from training.contract.export_messages import Exported, ProofQuestion
from training.contract.judgement import Answer, Question
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory

SAMPLE = Path(demo_package.__file__).with_name("zombie_waves.jsonl")
QUANTS = ("f16", "q8_0", "q4_k_m")
NEW_TOKENS = 64


@pytest.fixture(scope="module")
def home(trainer: Trainer, llama_cpp: LlamaCpp, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A home whose settings name the shared interpreter, with the shared llama.cpp."""
    root = tmp_path_factory.mktemp("gguf")
    (root / "config").mkdir()
    (root / "config" / "settings.toml").write_text(f"[trainer]\npython = {json.dumps(str(trainer.python))}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CODEX_TUI_HOME", raising=False)
        shared = locations.managed_llama_cpp()
        patch.setenv("CODEX_TUI_HOME", str(root))
        locations.managed_llama_cpp().parent.mkdir(parents=True)
        locations.managed_llama_cpp().symlink_to(shared)
        yield root


@pytest.fixture(scope="module")
def pairs() -> list[list[str]]:
    """30 training questions and their answers."""
    with SAMPLE.open() as lines:
        rows = [json.loads(line) for line in islice(lines, 30)]
    return [[row["instruction"], row["response"]] for row in rows]


@pytest.fixture(scope="module")
def merged(trainer: Trainer, demo: RunDirectory, home: Path) -> Path:
    trainer.run_program("llama", "merge", str(demo.path), str(home / "merged"))
    return home / "merged"


@pytest.fixture(scope="module")
def expected(trainer: Trainer, merged: Path, pairs: list[list[str]]) -> list[dict[str, Any]]:
    return trainer.run_program("llama", "answer", str(merged), json.dumps(pairs))


@pytest.fixture(scope="module")
def files(llama_cpp: LlamaCpp, demo: RunDirectory, merged: Path) -> dict[str, Any]:
    """The path and the facts of each file, by its type."""
    paths = {quant: merged.parent / gguf_types.name_file("demo", quant) for quant in QUANTS}
    convert = gguf.convert_model(llama_cpp, merged, demo, demo.adapter, "f16", paths["f16"], ignore_progress)
    facts = {"f16": asyncio.run(convert)}
    for quant in QUANTS[1:]:
        steps: list[Progress] = []
        facts[quant] = asyncio.run(gguf.quantize_model(llama_cpp, paths["f16"], quant, paths[quant], steps.append))
        assert steps[-1].step == f"quantising to {quant}"
        assert steps[-1].fraction > 0.9
    return {quant: (paths[quant], facts[quant]) for quant in QUANTS}


def with_server(llama_cpp: LlamaCpp, options: ServerOptions, ask: Callable[[LlamaServer], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with start_server(llama_cpp.server.path, options, ignore_progress) as server:
            return await ask(server)

    return asyncio.run(run())


def turns(question: str) -> list[Any]:
    return [{"role": "user", "content": question}]


def test_the_facts_of_a_file_say_how_it_was_written(files: dict[str, Any]) -> None:
    _, facts = files["f16"]
    # The converter does not know the demo's tokenizer. That "gpt-2" is right was shown by the texts.
    assert (facts["pre_tokenizer"], facts["pre_tokenizer_known"]) == ("gpt-2", False)
    assert facts["compared_texts"] == 100 + len(gguf.DIFFICULT_TEXTS)
    assert facts["different_texts"] == []
    assert facts["llama_cpp"]
    assert gguf_types.describe_fallbacks(files["q8_0"][1]) == ""
    assert gguf_types.describe_fallbacks(files["q4_k_m"][1]).startswith("15 of 21 tensors keep more bits than q4_k_m")
    sizes = [files[quant][0].stat().st_size for quant in QUANTS]
    assert sizes == sorted(sizes, reverse=True)
    assert all(files[quant][0].stat().st_size < gguf_types.estimate_bytes(quant, 656_000) for quant in QUANTS)


@pytest.mark.parametrize(("quant", "at_least"), [("f16", 30), ("q8_0", 30), ("q4_k_m", 28)])
def test_the_server_answers_as_transformers(
    llama_cpp: LlamaCpp, files: dict[str, Any], expected: list[dict[str, Any]], quant: str, at_least: int
) -> None:
    async def ask(server: LlamaServer) -> list[tuple[list[int], ServerAnswer]]:
        return [
            (await server.encode_chat(turns(one["question"])), await server.answer(turns(one["question"]), NEW_TOKENS))
            for one in expected
        ]

    answers = with_server(llama_cpp, ServerOptions(files[quant][0]), ask)
    assert [prompt for prompt, _ in answers] == [one["prompt"] for one in expected]
    assert all(answer.prompt_tokens == len(prompt) for prompt, answer in answers)
    same = [
        (answer.text, answer.ended, answer.tokens) == (one["text"], one["ended"], one["tokens"])
        for (_, answer), one in zip(answers, expected, strict=True)
    ]
    assert sum(same) >= at_least


def test_the_server_measures_the_loss_of_transformers(
    llama_cpp: LlamaCpp, files: dict[str, Any], expected: list[dict[str, Any]]
) -> None:
    async def ask(server: LlamaServer) -> list[list[float]]:
        return [await server.measure(one["prompt"], one["given"]) for one in expected[:3]]

    measured = with_server(llama_cpp, ServerOptions(files["f16"][0]), ask)
    for ours, one in zip(measured, expected, strict=False):
        assert ours == pytest.approx(one["log_probabilities"], abs=0.02)


def test_a_text_is_continued_from_its_tokens(
    llama_cpp: LlamaCpp, files: dict[str, Any], expected: list[dict[str, Any]]
) -> None:
    one = expected[0]
    answer = with_server(
        llama_cpp, ServerOptions(files["f16"][0]), lambda server: server.continue_text(one["prompt"], NEW_TOKENS)
    )
    assert (answer.text, answer.ended, answer.prompt_tokens) == (one["text"], one["ended"], len(one["prompt"]))


def copy_tokenizer(demo: RunDirectory, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Copy the run's tokenizer with another tokenizer.json."""
    folder.mkdir()
    for path in demo.adapter.glob("*token*"):
        shutil.copy(path, folder)
    shutil.copy(demo.adapter / "chat_template.jinja", folder)
    description = json.loads((folder / "tokenizer.json").read_text())
    change(description)
    (folder / "tokenizer.json").write_text(json.dumps(description))
    return folder


def test_another_template_is_refused(llama_cpp: LlamaCpp, demo: RunDirectory, merged: Path, tmp_path: Path) -> None:
    other = copy_tokenizer(demo, tmp_path / "tokenizer", lambda description: None)
    template = other / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    convert = gguf.convert_model(llama_cpp, merged, demo, other, "f16", tmp_path / "a.gguf", ignore_progress)
    with pytest.raises(CodexError, match="not have the tokenizer of the run: its chat template is another text"):
        asyncio.run(convert)


def test_the_proof_of_a_file_finds_another_template(
    llama_cpp: LlamaCpp,
    demo: RunDirectory,
    files: dict[str, Any],
    merged: Path,
    expected: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    other = shutil.copytree(merged, tmp_path / "other")
    template = other / "chat_template.jinja"
    template.write_text(template.read_text().replace("| trim", "| trim ~ ' '"))
    convert = gguf.convert_model(llama_cpp, other, demo, other, "f16", tmp_path / "demo-F16.gguf", ignore_progress)
    asyncio.run(convert)
    questions = [
        ProofQuestion(
            question=Question(id=str(place), messages=turns(one["question"])),
            messages=turns(one["question"]),
            prompt_ids=one["prompt"],
            reference_ids=one["given"],
        )
        for place, one in enumerate(expected[:3])
    ]

    def ask(file: Path) -> list[Exported]:
        return asyncio.run(make_gguf_ask(llama_cpp, file)(questions, NEW_TOKENS, ignore_progress))

    for answered, one in zip(ask(files["f16"][0]), expected, strict=False):
        assert answered.prompt_ids == one["prompt"]
        assert answered.answer == Answer(text=one["text"], tokens=one["tokens"], ended=one["ended"])
        assert answered.loss is not None
        assert answered.loss.tokens == len(one["given"])
        assert answered.loss.total == pytest.approx(-sum(one["log_probabilities"]), abs=0.05)
    assert all(
        answered.prompt_ids != one["prompt"]
        for answered, one in zip(ask(tmp_path / "demo-F16.gguf"), expected, strict=False)
    )


def test_a_full_disk_is_named(
    llama_cpp: LlamaCpp, demo: RunDirectory, files: dict[str, Any], merged: Path, tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk", "size=2m") as disk:
        fill(disk, but=600_000)
        for work in (
            gguf.convert_model(llama_cpp, merged, demo, demo.adapter, "f16", disk / "a.gguf", ignore_progress),
            gguf.quantize_model(llama_cpp, files["f16"][0], "q8_0", disk / "b.gguf", ignore_progress),
        ):
            (disk / "a.gguf").unlink(missing_ok=True)
            with pytest.raises(CodexError, match=f"{disk}/[ab].gguf can't be written: the disk is full"):
                asyncio.run(work)


def test_an_unknown_tokenizer_is_refused_unless_the_tokens_are_the_same(
    llama_cpp: LlamaCpp, demo: RunDirectory, merged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def split_digits(description: dict[str, Any]) -> None:
        digits = {"type": "Digits", "individual_digits": True}
        description["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, description["pre_tokenizer"]]}

    def normalize(description: dict[str, Any]) -> None:
        description["normalizer"] = {"type": "NFC"}

    def convert(name: str, change: Callable[[dict[str, Any]], None]) -> str:
        folder = copy_tokenizer(demo, tmp_path / name, change)
        model = shutil.copytree(merged, tmp_path / f"{name}-model")
        shutil.copy(folder / "tokenizer.json", model)
        with pytest.raises(CodexError) as caught:
            asyncio.run(gguf.convert_model(llama_cpp, model, demo, folder, "f16", tmp_path / "b.gguf", ignore_progress))
        return caught.value.message

    assert convert("digits", split_digits).startswith("The converter of llama.cpp does not know this tokenizer")
    monkeypatch.setattr(gguf, "DIFFICULT_TEXTS", ("an apple", "a cafe\u0301"))
    message = convert("nfc", normalize)
    assert message.startswith("llama.cpp reads 1 text of 102 as other tokens than the run, such as 'a cafe")
    assert message.endswith("Its converter does not know this tokenizer.")


def test_an_adapter_with_whole_modules_is_refused(llama_cpp: LlamaCpp, demo: RunDirectory, home: Path) -> None:
    with pytest.raises(CodexError, match=r"it has whole modules \(embed_tokens, lm_head\)") as caught:
        asyncio.run(gguf.convert_adapter(llama_cpp, "demo:llama", demo.adapter, home / "a.gguf", ignore_progress))
    assert "--to gguf --quant q4_k_m" in caught.value.hint


@pytest.mark.parametrize("rslora", ["", "yes"])
def test_an_adapter_on_its_base_is_the_adapter_of_peft(
    llama_cpp: LlamaCpp,
    files: dict[str, Any],
    merged: Path,
    trainer: Trainer,
    pairs: list[list[str]],
    tmp_path: Path,
    rslora: str,
) -> None:
    adapter, out = tmp_path / "adapter", tmp_path / "adapter.gguf"
    without, with_adapter = trainer.run_program(
        "llama", "make_adapter", str(merged), str(adapter), json.dumps(pairs[:2]), rslora
    )
    asyncio.run(gguf.convert_adapter(llama_cpp, str(merged), adapter, out, ignore_progress))

    async def ask(server: LlamaServer) -> list[list[float]]:
        return [await server.measure(one["prompt"], one["given"]) for one in with_adapter]

    measured = with_server(llama_cpp, ServerOptions(files["f16"][0], lora=out), ask)
    for ours, one, base in zip(measured, with_adapter, without, strict=True):
        assert ours == pytest.approx(one["log_probabilities"], abs=0.05)
        assert sum(ours) != pytest.approx(sum(base["log_probabilities"]), rel=0.05)


def test_the_server_says_why_it_can_not_start(llama_cpp: LlamaCpp, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(CodexError, match=r"llama-server ended with exit code \d+") as caught:
        with_server(llama_cpp, ServerOptions(damaged), lambda server: server.tokenize("a"))
    assert "damaged.gguf" in caught.value.hint


def test_the_chat_by_the_server_is_that_of_the_worker(
    llama_cpp: LlamaCpp, files: dict[str, Any], expected: list[dict[str, Any]]
) -> None:
    async def talk() -> tuple[dict[int, str], list[Any]]:
        options, texts, others = ServerOptions(files["f16"][0], context=512), dict[int, str](), []
        server = await ChatServer.start(llama_cpp.server.path, options, RowForm())
        requests = [
            Generate(id=0, messages=turns(expected[0]["question"])),
            Generate(id=1, messages=turns("Hi"), max_new_tokens=3, temperature=0.7, seed=1),
            Generate(id=2, messages=turns("word " * 600)),
            Generate(id=3, messages=turns(expected[0]["question"]), system_prompt="Be brief."),
        ]
        async for answer in server:
            if isinstance(answer, Token):
                texts[answer.id] = texts.get(answer.id, "") + answer.text
            else:
                others.append(answer)
            if not answer.more_follows:
                if not requests:
                    break
                await server.send(requests.pop(0))
        await server.close()
        return texts, others

    texts, others = asyncio.run(talk())
    assert texts[0] == expected[0]["text"]
    ready, begin, end, _, short, _, refused, with_system, _ = others
    assert (type(ready), ready.context, begin.tokens) == (ChatReady, 512, len(expected[0]["prompt"]))
    assert (end.reason, end.tokens) == ("eos", expected[0]["tokens"])
    assert (short.reason, short.tokens) == ("length", 3)
    assert (refused.id, "exceeds the available context size" in refused.message) == (2, True)
    assert with_system.tokens > begin.tokens


def take_interrupts() -> None:
    """Let SIGINT end a child. A shell that starts the tests with & has it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ask(url: str, key: str = "") -> dict[str, Any]:
    body = json.dumps({"messages": turns("Which weapon should a new player upgrade first?"), "temperature": 0})
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(f"{url}/chat/completions", body.encode(), headers)
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def test_serve_answers_until_ctrl_c(
    demo: RunDirectory, home: Path, files: dict[str, Any], expected: list[dict[str, Any]]
) -> None:
    run = RunDirectory(shutil.copytree(demo.path, home / "data" / "runs" / "served"))
    record = ExportRecord(run=run.name, to="gguf")
    (run.exports / "gguf").mkdir(parents=True)
    target = Path(shutil.copy(files["f16"][0], run.exports / "gguf"))
    file = FileRecord(size=target.stat().st_size, mtime_ns=target.stat().st_mtime_ns, sha256="")
    record.steps["gguf-f16"] = StepRecord(key="", files={target.name: file}, facts={"quant": "f16"})
    record.write(run.exports / "gguf")
    # 127.0.0.2 is loopback, 0.0.0.0 is not.
    for host, has_key in (("127.0.0.2", False), ("0.0.0.0", True)):
        command = ["serve", "served", "--json", "--host", host, "--port", str(find_free_port())]
        with subprocess.Popen(
            [sys.executable, "-m", "codex_tui", *command],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=take_interrupts,
        ) as served:
            assert served.stdout is not None
            told = json.loads(served.stdout.readline())
            url, key = told["url"].replace("0.0.0.0", "127.0.0.1"), told["api_key"]
            assert bool(key) is has_key
            if has_key:
                with pytest.raises(urllib.error.HTTPError, match="401"):
                    ask(url)
            reply = ask(url, key or "")
            assert reply["choices"][0]["message"]["content"] == expected[0]["text"]
            assert reply["model"] == "served"
            served.send_signal(signal.SIGINT)
            assert served.wait() == 0
        with pytest.raises(urllib.error.URLError, match="refused"):
            ask(url, key or "")


HOLD = """
import asyncio, sys
from pathlib import Path
from codex_tui.base.progress import ignore_progress
from codex_tui.llama_cpp.chat_server import ChatServer
from codex_tui.llama_cpp.llama_server import ServerOptions, start_server

async def hold():
    async with start_server(Path(sys.argv[1]), ServerOptions(Path(sys.argv[2])), ignore_progress) as server:
        print(server._process.pid, flush=True)
        await server.wait()

asyncio.run(hold())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_server_never_outlives_us(llama_cpp: LlamaCpp, files: dict[str, Any], number: int) -> None:
    command = [sys.executable, "-c", HOLD, str(llama_cpp.server.path), str(files["f16"][0])]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=take_interrupts
    ) as holder:
        assert holder.stdout is not None
        server = ProcessIdentity.from_pid(int(holder.stdout.readline()))
        assert server is not None
        assert server.is_alive()
        holder.send_signal(number)
        holder.wait()
        while server.is_alive():  # the test's timeout ends it
            time.sleep(0.05)
