"""The tables of a profile that say how and where a run is started. They change nothing that is learned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from training.contract.engine import EngineName
from training.contract.tables import Table, field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$")]
NAME_FORM = "letters, digits, dots, dashes and underscores, the first a letter or digit, at most 48"


def name_field(text: str) -> Any:
    """A name that may be left unset. Nothing in it can be taken for an option or a command."""
    return field(None, text, form=NAME_FORM)


class Slurm(Table):
    """What Slurm is asked for. Commands that a job needs first are in settings.toml: [slurm] setup = [...]."""

    partition: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._,-]{0,127}$")] | None = field(
        None,
        "The partition, or several with commas, of which Slurm takes the first with free nodes: sinfo lists them. "
        "Unset: the cluster's default, which may have no GPU.",
        form="a name, or several with commas",
    )
    time: Annotated[str, Field(pattern=r"^([0-9]{1,3}-)?[0-9]{1,5}(:[0-9]{2}){0,2}$")] = field(
        "04:00:00",
        "How long a job may take, as hours:minutes:seconds or days-hours. A short one starts earlier. At its end the "
        "run saves, and with requeue it goes on in the next job.",
        form='a time as "04:00:00" or "2-00" (days-hours)',
    )
    gres: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._,:/-]{0,127}$")] | None = field(
        None,
        'The GPUs of each node, as "gpu:1" or "gpu:a100:2": sinfo -o %G lists what there is. Unset: one GPU for each '
        'process, or none if hardware.device is "cpu".',
        form='a text as "gpu:a100:2"',
    )
    cpus: Annotated[int, Field(ge=1, le=1024)] | None = field(
        None,
        "The CPU cores of each node. Too few make the rows come too slowly; four for each GPU are plenty. Unset: as "
        "the cluster is set up, often one.",
        unit="cores",
    )
    memory: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}[KMGT]?$")] | None = field(
        None,
        'The memory of each node, as "32G". Slurm kills a job that takes more. Unset: as the cluster is set up.',
        form='a number with K, M, G or T, as "32G"',
    )
    account: Name | None = name_field("The account that pays for the job. Unset: your default account.")
    qos: Name | None = name_field("The quality of service, where the cluster has several. Unset: the default.")
    requeue: bool = field(
        True,
        "Queue the run again when its time is over or its node failed, so that it goes on by itself from the last "
        "checkpoint. false ends the run instead; resume it by hand.",
    )
    signal_seconds: Annotated[int, Field(ge=1, le=3600)] = field(
        300,
        "How long before the end of its time the run saves a checkpoint and ends. It must be longer than a step and "
        "the saving. Slurm may say it a minute earlier.",
        unit="seconds",
    )


class Ssh(Table):
    """The machine that trains, if launch.engine is "ssh"."""

    remote: Name | None = name_field(
        "The name of the machine, as in: codex-tui remote add NAME user@host. Its files come back here, its adapter at "
        "the end."
    )


class Launch(Table):
    """How a run is started, where, and what happens before its first step."""

    name: Name | None = name_field("The name of the runs, followed by a number. Unset: the profile's name.")
    engine: EngineName = field(
        "local",
        'Where the run is trained: "local" on this machine; "slurm" in a job of a cluster, whose settings are in '
        '[launch.slurm]; "ssh" on another machine, which [launch.ssh] names.',
    )
    probe: bool = field(
        True,
        "Tries the longest row, forward and backward, before step 1: an out-of-memory error comes at once instead "
        "of after an hour, and the forecast learns what this card really uses. Costs seconds.",
    )
    on_no_fit: Literal["warn", "refuse"] = field(
        "warn", 'What to do when the forecast says that the run does not fit: "warn" tries it, "refuse" does not start.'
    )
    processes: Annotated[int, Field(ge=1, le=64)] | None = field(
        None,
        "How many processes train together on each node, each on a card of its own (torchrun starts them). Two are "
        "nearly twice as fast as one, and each card needs the memory of the whole run. Unset: one for each card "
        "that hardware.device lists.",
        unit="processes",
    )
    nodes: Annotated[int, Field(ge=1, le=64)] = field(
        1,
        'How many machines train together, each with so many processes; more than one needs engine = "slurm". They '
        "average their gradients over the network, so a slow network makes it slower than one machine.",
        unit="machines",
    )
    strategy: Literal["ddp", "fsdp"] = field(
        "ddp",
        'How several processes share a step: each learns other rows of it, then they average their gradients. "ddp": '
        'each card keeps the whole model. "fsdp": each card keeps a share of a model that takes more than 40 % of a '
        "card. That leaves room for longer rows and costs time. Loading still needs room for the whole model, and the "
        "model answers nothing while it trains.",
    )
    keep_batch: bool = field(
        True,
        "Divide gradient_accumulation_steps by the number of all processes, so that a step has the same rows and the "
        "run learns the same. It must be a multiple of them. false multiplies the rows of a step instead: fewer, "
        "larger steps, which may need another learning rate.",
    )
    slurm: Slurm = Slurm()
    ssh: Ssh = Ssh()

    @property
    def is_local(self) -> bool:
        """Whether this machine trains. Otherwise nothing is known about the card, the power and the queue."""
        return self.engine == "local"

    @property
    def shares_folder(self) -> bool:
        """Whether the run is trained from the folders of this machine: its environment, its models and its runs. A
        cluster shares them, and a machine that is reached by ssh has its own."""
        return self.engine != "ssh"

    @property
    def place(self) -> str:
        """Where a run is sent, as "box" or "Slurm, partition gpu, 2 nodes"; "" if it is trained on this machine."""
        if self.is_local:
            return ""
        if not self.shares_folder:
            return self.ssh.remote or "another machine"
        partition = f", partition {self.slurm.partition}" if self.slurm.partition else ""
        return f"Slurm{partition}{f', {self.nodes} nodes' if self.nodes > 1 else ''}"
