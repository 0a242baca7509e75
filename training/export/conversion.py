"""Runs the converters of llama.cpp, which turn a model or an adapter into a GGUF file.

They are scripts of another project, in the version that the person or the app installed. They run in this process, so
that their progress can be read, and so that the rule for an unknown tokenizer can be given to them.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from types import ModuleType
from typing import Any

from training.contract.cache import cache_home
from training.contract.failures import TrainingFailure
from training.contract.gguf_messages import ConvertAdapter, Converted, ConvertModel, TokenSample
from training.export.quantization import explain_full_disk
from training.job.job import read_job
from training.job.model import resolve_source
from training.judge.questions import read_split_rows

OnBytes = Callable[[int, int], None]
MAX_OWN_TEXTS = 100
WEIGHTS = "adapter_model.safetensors"
MERGE = "Export the merged model instead: --to gguf --quant q4_k_m"
UNKNOWN_TOKENIZER = "BPE pre-tokenizer was not recognized"


def convert_model(request: ConvertModel, report: OnBytes) -> Converted:
    """Write a model as GGUF, check its vocabulary, and tokenise the texts of `request`. Raises TrainingFailure."""
    from transformers import AutoTokenizer

    from training.export.pre_tokenizer import find_pre_tokenizer
    from training.export.vocabulary import check_vocabulary, complete_end_tokens, list_configured_ends

    model, out = Path(request.model), Path(request.out)
    tokenizer = AutoTokenizer.from_pretrained(request.tokenizer, trust_remote_code=False)
    module = _load_converter(Path(request.converter))
    rule: list[str] = []  # the pre-tokenizer, if the converter does not know it

    def choose(recognise: Callable[..., str], *arguments: Any) -> str:
        try:
            return recognise(*arguments)
        except NotImplementedError as error:
            if UNKNOWN_TOKENIZER not in str(error):
                raise
        rule.append(find_pre_tokenizer(Path(request.tokenizer)))
        return rule[0]

    base = sys.modules.get("conversion.base", module)  # older converters are one file
    ends = {tokenizer.eos_token_id, *list_configured_ends(model)} - {None}
    arguments = [str(model), "--outfile", str(out), "--outtype", request.float_type]
    with (
        _wrapped(base.TextModel, "get_vocab_base_pre", choose),
        _wrapped(module.gguf.GGUFWriter, "write_header_to_file", _after(lambda w: complete_end_tokens(w, ends))),
    ):
        _run(request.converter, arguments, report, module.main)
    pre_tokenizer = check_vocabulary(module.gguf, out, tokenizer, ends)
    texts = [*((text, True) for text in _list_own_texts(Path(request.run))), *((text, False) for text in request.texts)]
    samples = [
        TokenSample(text=text, ids=list(tokenizer(text, add_special_tokens=False)["input_ids"]), own=own)
        for text, own in texts
    ]
    return Converted(pre_tokenizer=pre_tokenizer, known=not rule, samples=samples)


def _list_own_texts(run: Path) -> list[str]:
    """Return texts of the dataset of `run`, those that it held out first; [] if the dataset is gone or has changed."""
    try:
        split = read_split_rows(read_job(run))
    except TrainingFailure:
        return []
    rows = islice(chain(split.held_out, split.train), MAX_OWN_TEXTS)
    return [row.text or "\n".join(turn["content"] or "" for turn in row.messages) for row in rows]


def convert_adapter(request: ConvertAdapter, report: OnBytes) -> None:
    """Write an adapter as GGUF. Raises TrainingFailure if this kind of adapter can't be written."""
    adapter = Path(request.adapter)
    config = json.loads((adapter / "adapter_config.json").read_bytes())
    if problem := explain_unsupported(config):
        raise TrainingFailure("bad_config", f"The adapter can't be a GGUF of its own: {problem}.", MERGE)
    work = Path(request.out).with_suffix(".work")
    work.mkdir(exist_ok=True)
    try:
        base = _write_base_config(request.base, work / "base")
        if config.get("use_rslora"):
            adapter = _copy_scaled(adapter, config, work / "adapter")
        _run_adapter_converter(request, base, adapter, report)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_base_config(base: str, folder: Path) -> Path:
    """Write the configuration of the base model, as if its weights were not quantised: the adapter's are not."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(resolve_source(base, cache_home()), trust_remote_code=False)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.save_pretrained(folder)
    return folder


def _copy_scaled(adapter: Path, config: dict[str, Any], folder: Path) -> Path:
    """Copy a rank-stabilised adapter with the lora_alpha that gives the same scale in llama.cpp, which divides by the
    rank, and not by its root."""
    folder.mkdir()
    scaled = config | {"lora_alpha": config["lora_alpha"] * math.sqrt(config["r"]), "use_rslora": False}
    (folder / "adapter_config.json").write_text(json.dumps(scaled))
    (folder / WEIGHTS).symlink_to((adapter / WEIGHTS).absolute())
    return folder


def _run_adapter_converter(request: ConvertAdapter, base: Path, adapter: Path, report: OnBytes) -> None:
    script = Path(request.converter)
    sys.path.insert(0, str(script.parent))  # the package `conversion` beside it
    arguments = ["--base", str(base), "--outfile", request.out, "--outtype", "f16", str(adapter)]
    try:
        _run(request.converter, arguments, report, lambda: runpy.run_path(str(script), run_name="__main__"))
    finally:
        sys.path.remove(str(script.parent))


def explain_unsupported(config: dict[str, Any]) -> str:
    """Say why an adapter with this adapter_config.json can't be a GGUF of its own, or return ""."""
    if config.get("modules_to_save"):
        return f"it has whole modules ({', '.join(config['modules_to_save'])}), and the format has only LoRA matrices"
    if config.get("trainable_token_indices"):
        return "it has trained tokens, and the format has only LoRA matrices"
    if config.get("use_dora"):
        return "it is a DoRA adapter, which llama.cpp does not know"
    if config.get("bias", "none") != "none" or config.get("lora_bias"):
        return "it has biases, which llama.cpp does not know"
    if config.get("alpha_pattern") or (config.get("rank_pattern") and config.get("use_rslora")):
        return "its modules have different scales, and the format has one"
    return ""


def _load_converter(script: Path) -> ModuleType:
    """Import the script convert_hf_to_gguf.py. Raises TrainingFailure."""
    name = "convert_hf_to_gguf"
    if name in sys.modules:
        return sys.modules[name]
    sys.path.insert(0, str(script.parent))  # the package `conversion` beside it
    try:
        spec = importlib.util.spec_from_file_location(name, script)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except ImportError as error:
        del sys.modules[name]
        raise TrainingFailure(
            "missing_library",
            f"The converter {script} can't be imported: {error}",
            "Use the whole checkout of llama.cpp, or unset llama_cpp.path and run: codex-tui setup --export",
        ) from error
    return module


def _run(script: str, arguments: list[str], report: OnBytes, main: Callable[[], Any]) -> None:
    """Run `main` of a converter with `arguments`. Raises TrainingFailure with its last message if it fails."""
    errors: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: errors.append(record.getMessage())  # type: ignore[method-assign]
    before = sys.argv
    sys.argv = [script, *arguments]
    logging.getLogger().addHandler(handler)
    try:
        with _reported_bar(report):
            main()
    except SystemExit as error:
        if error.code:
            last = errors[-1] if errors else f"it ended with code {error.code}"
            raise TrainingFailure("unknown", f"The converter of llama.cpp failed: {last}") from error
    except OSError as error:
        if error.errno is None and "written" in str(error):  # NumPy's words for a failed write
            raise explain_full_disk(arguments[arguments.index("--outfile") + 1]) from error
        raise
    finally:
        sys.argv = before
        logging.getLogger().removeHandler(handler)


@contextmanager
def _reported_bar(report: OnBytes) -> Iterator[None]:
    """Report the bytes of the progress bar that the converter shows while it writes."""
    import tqdm

    original = tqdm.tqdm

    class Bar(original):  # type: ignore[misc, valid-type]
        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            if self.total and self.unit == "byte":
                report(int(self.n), int(self.total))
            return shown

    tqdm.tqdm = Bar
    try:
        yield
    finally:
        tqdm.tqdm = original


@contextmanager
def _wrapped(owner: Any, name: str, wrapper: Callable[..., Any]) -> Iterator[None]:
    """Inside the block, call `wrapper(original, *arguments)` in place of the method `name` of `owner`."""
    original = getattr(owner, name)

    def call(*arguments: Any, **options: Any) -> Any:
        return wrapper(lambda *a, **o: original(*a, **o), *arguments, **options)

    setattr(owner, name, call)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _after(prepare: Callable[[Any], None]) -> Callable[..., Any]:
    """Return a wrapper that calls `prepare` with the object of the method first."""

    def call(original: Callable[..., Any], this: Any, *arguments: Any, **options: Any) -> Any:
        prepare(this)
        return original(this, *arguments, **options)

    return call
