"""How the nodes of a job find each other, with stand-ins for Slurm's programs."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec
import psutil
import pytest
from support.standin_slurm import make_job

from training.contract.failures import TrainingFailure
from training.finetune.nodes import (
    Node,
    Rendezvous,
    find_interface,
    find_nodes,
    find_own_address,
    make_rendezvous,
)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in make_job(tmp_path / "job", nodes=3).items():
        monkeypatch.setenv(name, value)
    return tmp_path / "job"


def test_this_node_is_the_first_one(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURMD_NODENAME", "n2")
    assert find_nodes(3) == [Node("n2", "127.0.0.1"), Node("n1", "127.0.0.1"), Node("n3", "127.0.0.1")]


def test_a_job_has_as_many_nodes_as_the_profile(job: Path) -> None:
    with pytest.raises(TrainingFailure) as failed:
        find_nodes(2)
    assert failed.value.message == "launch.nodes asks for 2 nodes, and this job has 3."


def test_without_a_job_there_are_no_other_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_NODELIST", raising=False)
    with pytest.raises(TrainingFailure) as failed:
        find_nodes(2)
    assert failed.value.kind == "bad_config"
    assert failed.value.message == "launch.nodes asks for 2 nodes, and this process runs in no Slurm job."
    assert "launch.engine" in failed.value.hint


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n",
            "Unable to contact",
        ),
        ("#!/bin/sh\necho Node n1 not found\n", "Node n1 not found"),
    ],
)
def test_what_slurm_says_instead_is_told(job: Path, script: str, reason: str) -> None:
    (job / "scontrol").write_text(script)
    with pytest.raises(TrainingFailure, match=reason):
        find_nodes(3)


def test_a_machine_without_scontrol_says_so(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(job.parent))
    with pytest.raises(TrainingFailure, match=r"Slurm does not tell the nodes of this job: .*scontrol"):
        find_nodes(3)


def test_nodes_meet_at_a_free_port_of_the_first_one() -> None:
    rendezvous = make_rendezvous([Node("n1", "127.0.0.1"), Node("n2", "localhost")])
    assert (rendezvous.address, rendezvous.nodes, rendezvous.number, rendezvous.name) == ("127.0.0.1", 2, 0, "n1")
    with socket.create_server(("127.0.0.1", rendezvous.port)):
        pass
    second = msgspec.structs.replace(rendezvous, number=1)
    first, other = rendezvous.make_options(), second.make_options()
    assert f"--rdzv-endpoint=127.0.0.1:{rendezvous.port}" in first and f"--rdzv-id={rendezvous.id}" in first
    assert {*first} - {*other} == {"--node-rank=0", "--signals-to-handle=SIGTERM"}
    assert {*other} - {*first} == {"--node-rank=1", "--signals-to-handle=SIGUSR2"}


def test_an_address_leads_to_its_interface() -> None:
    for name, addresses in psutil.net_if_addrs().items():
        for each in addresses:
            if each.family == socket.AF_INET:
                assert find_own_address(each.address) == each.address
                assert find_interface(each.address) == name
    assert find_interface("192.0.2.7") == ""
    assert Rendezvous().make_environ() == {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}


def test_a_node_without_an_address_is_told() -> None:
    with pytest.raises(TrainingFailure, match=r"This node has no way to the node at nowhere\.invalid: "):
        find_own_address("nowhere.invalid")
