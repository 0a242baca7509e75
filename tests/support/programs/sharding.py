"""Parameters that are shared as FSDP shares them. A single process on the CPU has the only share."""

from __future__ import annotations

import os

import torch
from torch import distributed
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from training.finetune.sharding import convert_to_float32, find_local


def train_in_float32() -> dict[str, list[str]]:
    """Convert the shared parameters of a layer in bfloat16, and train them one step. Returns all types that occur in
    the parameters, their shares and the optimizer's state."""
    os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    layer = torch.nn.Linear(8, 8, dtype=torch.bfloat16)
    mesh = distributed.init_device_mesh("cpu", (1,))
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    fully_shard(layer, mesh=mesh, mp_policy=policy)
    for parameter in layer.parameters():
        convert_to_float32(parameter)
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    layer(torch.ones(2, 8, dtype=torch.bfloat16)).sum().backward()
    optimizer.step()
    states = [value for state in optimizer.state.values() for value in state.values()]
    return {
        "parameters": sorted({str(each.dtype) for each in layer.parameters()}),
        "shares": sorted({str(find_local(each).dtype) for each in layer.parameters()}),
        "states": sorted({str(find_local(each).dtype) for each in states}),
    }
