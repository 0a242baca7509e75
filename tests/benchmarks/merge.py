"""How much memory a merge needs: `python tests/benchmarks/merge.py --python PYTHON_OF_CODEX_TRAIN [--shape 1g|8b]`.

The base has random bfloat16 weights in files of at most 4 GB, the adapter changes every linear layer. Each way is a
process of its own. "ours" is the merge of `codex-tui export`; "whole shard" holds the tensors of a file and saves them
with safetensors, as scripts do. The peak is VmHWM, with the libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
# The shapes of the linear layers of each layer, the number of layers, and the vocabulary with the hidden size.
SHAPES = {
    "1g": ([(4096, 4096)] * 6, 6, (1024, 4096)),
    "8b": (
        [(4096, 4096), (1024, 4096), (1024, 4096), (4096, 4096), (14336, 4096), (14336, 4096), (4096, 14336)],
        32,
        (128256, 4096),
    ),
}
RANK = 16
MAKE = """
import json, sys, torch
from pathlib import Path
from training.export.tensors import INDEX, NewTensor, divide_into_shards, iterate_bytes, name_shards, write_header
layers, count, embedding = json.loads(sys.argv[1])
folder = Path(sys.argv[2])
torch.manual_seed(0)
names = {f"model.layers.{n}.part_{p}": shape for n in range(count) for p, shape in enumerate(layers)}
tensors = [NewTensor("model.embed_tokens.weight", "bfloat16", tuple(embedding))]
tensors += [NewTensor(f"{name}.weight", "bfloat16", tuple(shape)) for name, shape in names.items()]
tensors += [NewTensor("lm_head.weight", "bfloat16", tuple(embedding))]
def write(path, tensors):
    with path.open("wb") as file:
        write_header(file, tensors)
        for tensor in tensors:
            for data in iterate_bytes((torch.randn(tensor.shape) * 0.02).to(getattr(torch, tensor.dtype))):
                file.write(data)
base, adapter = folder / "base", folder / "adapter"
base.mkdir(), adapter.mkdir()
shards = divide_into_shards(tensors)
for name, shard in zip(name_shards(len(shards)), shards):
    write(base / name, shard)
weights = {tensor.name: name for name, shard in zip(name_shards(len(shards)), shards) for tensor in shard}
(base / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weights}))
(base / "config.json").write_text(json.dumps({"model_type": "llama", "eos_token_id": 1, "vocab_size": embedding[0]}))
lora = []
for name, (rows, columns) in names.items():
    lora.append(NewTensor(f"base_model.model.{name}.lora_A.weight", "float32", (RANK, columns)))
    lora.append(NewTensor(f"base_model.model.{name}.lora_B.weight", "float32", (rows, RANK)))
write(adapter / "adapter_model.safetensors", lora)
config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 2 * RANK, "target_modules": "all-linear"}
(adapter / "adapter_config.json").write_text(json.dumps(config))
(adapter / "tokenizer_config.json").write_text("{}")
"""
REPORT = """
def report():
    status = open("/proc/self/status").read()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps([peak / 1024, time.perf_counter() - started]))
"""
OURS = """
import json, sys, time
started = time.perf_counter()
from pathlib import Path
from training.export.adapter import Adapter
from training.export.base import Base
from training.export.merge import Merge
from training.export.model import write_model
folder, out = map(Path, sys.argv[1:])
base = Base.open(folder / "base", "bfloat16", "trained", load_in_4bit=False)
merge = Merge.plan(base, Adapter.read(folder / "adapter"))
write_model(merge, "", out, lambda done, total: None)
"""
WHOLE_SHARD = """
import json, sys, time
started = time.perf_counter()
from pathlib import Path
from safetensors import safe_open
from safetensors.torch import save_file
import torch
folder, out = map(Path, sys.argv[1:])
lora = safe_open(folder / "adapter/adapter_model.safetensors", "pt")
names = set(lora.keys())
for path in sorted((folder / "base").glob("*.safetensors")):
    merged = {}
    with safe_open(path, "pt") as shard:
        for name in shard.keys():
            key = "base_model.model." + name.removesuffix(".weight")
            weight = shard.get_tensor(name)
            if key + ".lora_A.weight" in names:
                a, b = (lora.get_tensor(f"{key}.lora_{part}.weight") for part in "AB")
                weight = (weight.float() + (b @ a) * 2).to(torch.bfloat16)
            merged[name] = weight
    save_file(merged, out / path.name, {"format": "pt"})
"""
NOTHING = """
import json, sys, time
started = time.perf_counter()
import torch
"""


def run(python: Path, program: str, *arguments: str) -> str:
    environ = {**os.environ, "PYTHONPATH": str(HERE), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([python, "-c", program, *arguments], env=environ, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--shape", choices=SHAPES, default="1g")
    parser.add_argument("--only-ours", action="store_true", help="leave out the way that holds whole files")
    parser.add_argument("--folder", type=Path, help="a folder on a disk with room for the model, twice")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        run(options.python, MAKE.replace("RANK", str(RANK)), json.dumps(SHAPES[options.shape]), folder)
        size = sum(path.stat().st_size for path in Path(folder, "base").glob("*.safetensors"))
        print(f"base: {size / 2**20:,.0f} MiB in {len(list(Path(folder, 'base').glob('*.safetensors')))} files")
        ways = {"torch alone": NOTHING, "ours": OURS, "whole shard": WHOLE_SHARD}
        if options.only_ours:
            del ways["whole shard"]
        for name, program in ways.items():
            with tempfile.TemporaryDirectory(dir=folder) as out:
                peak, seconds = json.loads(run(options.python, program + REPORT + "report()", folder, out))
            print(f"{name}: {peak:,.0f} MiB, {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
