"""The nodes of a Slurm job that train one run together, and how their processes find each other."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import uuid
from typing import NamedTuple

import msgspec
import psutil

from training.contract.failures import TrainingFailure

SCONTROL_SECONDS = 60.0
SILENT_SECONDS = 60.0
"""The first node and another one that hear nothing of each other for so long have lost each other."""
RENDEZVOUS_SECONDS = 600  # in which all nodes must have started


class Node(NamedTuple):
    name: str
    address: str  # where Slurm reaches it: a name or a number


class Rendezvous(msgspec.Struct):
    """Where the nodes of a run meet. `number` is that of this node, and `name` is its name; with one node, both say
    nothing.

    torchrun's static rendezvous is used, because node 0 must have rank 0. Its other one sorts the nodes by address.
    """

    number: int = 0
    nodes: int = 1
    name: str = ""
    address: str = ""  # of the first node
    port: int = 0
    id: str = ""

    def make_options(self) -> list[str]:
        """Make the options for torchrun."""
        if self.nodes == 1:
            return ["--standalone", "--local-addr=127.0.0.1", "--signals-to-handle=SIGTERM"]
        return [
            f"--nnodes={self.nodes}",
            f"--node-rank={self.number}",
            "--rdzv-backend=static",
            f"--rdzv-endpoint={self.address}:{self.port}",
            f"--rdzv-id={self.id}",
            f"--rdzv-conf=timeout={RENDEZVOUS_SECONDS}",
            # Slurm signals the ranks of the other nodes itself. A second SIGTERM would end them before they have saved.
            f"--signals-to-handle={'SIGUSR2' if self.number else 'SIGTERM'}",
        ]

    def make_environ(self) -> dict[str, str]:
        """Make the variables that name the network interface on which the ranks talk. The host's name may lead to
        another one, or nowhere."""
        interface = find_interface(find_own_address(self.address)) if self.address else "lo"
        return {"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface} if interface else {}

    def explain(self, error: str) -> TrainingFailure:
        """Return the failure for an error of the network at the start."""
        place = f"{self.address}:{self.port}" if self.address else "127.0.0.1"
        return TrainingFailure(
            "unknown",
            f"The processes of the run did not meet at {place}: {error}",
            "Check that the nodes reach each other, and resume the run.",
        )


def make_rendezvous(nodes: list[Node]) -> Rendezvous:
    """Choose where `nodes` meet. The first one is this machine."""
    address = find_own_address(nodes[1].address)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    return Rendezvous(nodes=len(nodes), name=nodes[0].name, address=address, port=port, id=uuid.uuid4().hex)


def find_nodes(count: int) -> list[Node]:
    """Ask Slurm for the nodes of this job, this one first. Raises TrainingFailure if they are not `count`."""
    names = os.environ.get("SLURM_JOB_NODELIST")
    if not names:
        raise TrainingFailure(
            "bad_config",
            f"launch.nodes asks for {count} nodes, and this process runs in no Slurm job.",
            'Set launch.engine = "slurm", or launch.nodes = 1.',
        )
    try:
        command = ["scontrol", "show", "node", names, "--oneliner"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=SCONTROL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TrainingFailure("unknown", f"Slurm does not tell the nodes of this job: {error}") from error
    found = [Node(*match) for match in re.findall(r"^NodeName=(\S+).*?\bNodeAddr=(\S+)", shown.stdout, re.MULTILINE)]
    if not found:
        raise TrainingFailure(
            "unknown", f"Slurm does not tell the nodes of this job: {shown.stderr.strip() or shown.stdout.strip()}"
        )
    own = os.environ.get("SLURMD_NODENAME", found[0].name)
    found.sort(key=lambda node: node.name != own)  # the others stay in Slurm's order
    if len(found) != count:
        raise TrainingFailure(
            "bad_config",
            f"launch.nodes asks for {count} nodes, and this job has {len(found)}.",
            "Start the run again, so that its job asks Slurm for as many nodes as the profile.",
        )
    return found


def find_own_address(other: str) -> str:
    """Find the address of this machine that faces the machine `other`. Raises TrainingFailure."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((other, 9))  # sends nothing
            return str(asking.getsockname()[0])
    except OSError as error:
        raise TrainingFailure(
            "unknown",
            f"This node has no way to the node at {other}: {error.strerror or error}.",
            "Check the network of the nodes, and NodeAddr in slurm.conf.",
        ) from error


def find_interface(address: str) -> str:
    """Find the network interface of this machine with `address`; "" if none has it."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address == address for each in addresses):
            return name
    return ""
