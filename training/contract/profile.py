"""The profile: a TOML file with the tables of `tables.py` and of the files beside it. No secret belongs in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Annotated, Any, TypeVar

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from training.contract import chat_templates, hours
from training.contract.dataset_table import Dataset
from training.contract.launch_tables import Launch
from training.contract.run_tables import Keeper, Tracking
from training.contract.slurm import EARLY_SIGNAL_SECONDS, parse_time
from training.contract.tables import Hardware, Lora, Model, Table, field
from training.contract.training_tables import Checkpoints, Evaluation, Training

AnyTable = TypeVar("AnyTable", bound=Table)


class Profile(Table):
    """A whole profile. The list of profiles shows `title` and `description`."""

    extends: Annotated[str, Field(min_length=1)] | None = field(
        None, "Start from another profile, by name or file; fields left unset here take its values."
    )
    title: str = field("", "One line for the list of profiles.")
    description: str = field("", "What the profile is for.")
    hardware: Hardware = Hardware()
    model: Model
    lora: Lora = Lora()
    dataset: Dataset = Dataset()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    checkpoints: Checkpoints = Checkpoints()
    launch: Launch = Launch()
    keeper: Keeper = Keeper()
    tracking: Tracking = Tracking()

    @property
    def processes(self) -> int:
        """How many processes train together on each node, each on a device of its own."""
        devices = self.hardware.device
        return len(devices) if isinstance(devices, list) else self.launch.processes or 1

    @property
    def ranks(self) -> int:
        """How many processes train together on all nodes."""
        return self.processes * self.launch.nodes

    @property
    def is_sharded(self) -> bool:
        """Whether each process keeps only a share of the model, so that all of them must run each pass together."""
        return self.launch.strategy == "fsdp"

    @property
    def process_accumulation_steps(self) -> int:
        """The batches that each process adds up before an optimizer step."""
        steps = self.training.gradient_accumulation_steps
        return steps // self.ranks if self.launch.keep_batch else steps

    @property
    def step_rows(self) -> int:
        """The rows that each process learns from in an optimizer step."""
        return self.training.per_device_train_batch_size * self.process_accumulation_steps

    @property
    def pass_rows(self) -> int:
        """The rows of max_seq_length tokens that a pass of training may hold."""
        return self.step_rows if self.training.packing == "flatten" else self.training.per_device_train_batch_size

    def get_value(self, field: str) -> Any:
        """Return the value of `field`, such as "model.name"."""
        return reduce(getattr, field.split("."), self)

    def with_value(self, field: str, value: Any) -> Profile:
        """Return a copy with another value in `field`, such as "model.name". The value is not validated."""
        return _replace(self, field.split("."), value)

    def with_max_seq_length(self, length: int) -> Profile:
        return self.with_value("model.max_seq_length", length)

    @field_validator("title", "description")
    @classmethod
    def _one_text(cls, text: str) -> str:
        return text.strip()

    @model_validator(mode="after")
    def _possible(self) -> Profile:
        if conflicts := dict(find_conflicts(self)):
            message = "; ".join(f"{field}: {reason}" for field, reason in conflicts.items())
            raise PydanticCustomError("impossible", "{message}", {"message": message, "fields": conflicts})
        return self


def _replace(table: AnyTable, path: list[str], value: Any) -> AnyTable:
    name, *rest = path
    return table.model_copy(update={name: _replace(getattr(table, name), rest, value) if rest else value})


def find_conflicts(profile: Profile) -> Iterator[tuple[str, str]]:
    """Yield each field whose value contradicts another field, and the reason."""
    model, training, lora = profile.model, profile.training, profile.lora
    if "://" in model.name:
        yield "model.name", "a URL is no model; name it as on the Hub, owner/name, or give the path of its folder"
    if model.chat_template and (problem := chat_templates.find_problem(model.chat_template)):
        yield "model.chat_template", problem
    if profile.keeper.hours and (problem := hours.find_problem(profile.keeper.hours)):
        yield "keeper.hours", problem
    if model.load_in_4bit and model.dtype == "float32":
        yield "model.dtype", "float32 is not possible with load_in_4bit = true; use auto or bfloat16"
    if model.offload_layers and not training.gradient_checkpointing:
        yield (
            "training.gradient_checkpointing",
            'offload_layers needs it: without, every layer stays on the card; use "unsloth" or true',
        )
    yield from _find_engine_conflicts(profile.launch)
    yield from _find_process_conflicts(profile)
    columns = profile.dataset
    pairs = [columns.instruction_column, columns.response_column, columns.context_column]
    if len([kind for kind in (any(pairs), columns.messages_column, columns.text_column) if kind]) > 1:
        yield (
            "dataset.messages_column" if columns.messages_column else "dataset.text_column",
            "a row is read in one way: name instruction and response, or messages, or text",
        )
    if both := sorted({*lora.target_modules} & {*lora.modules_to_save}):
        yield "lora.modules_to_save", f"{both[0]} is one of target_modules as well; it can have only one of the two"
    if model.offload_embedding and "embed_tokens" in lora.modules_to_save:
        yield "model.offload_embedding", "an embedding that is trained (modules_to_save) has to stay on the card"


def _find_engine_conflicts(launch: Launch) -> Iterator[tuple[str, str]]:
    """Yield the fields that the engine needs, or that it can't obey."""
    if launch.engine == "ssh" and launch.ssh.remote is None:
        yield "launch.ssh.remote", 'engine = "ssh" needs the name of a machine; list them with: codex-tui remote list'
    slurm = launch.slurm
    if launch.engine == "slurm" and slurm.signal_seconds + EARLY_SIGNAL_SECONDS >= parse_time(slurm.time):
        yield (
            "launch.slurm.signal_seconds",
            f"a job of {slurm.time} would save {slurm.signal_seconds} seconds before its end, so before its first "
            "step; use less, or a longer launch.slurm.time",
        )
    if launch.nodes > 1 and launch.engine != "slurm":
        yield "launch.nodes", f'{launch.nodes} machines need engine = "slurm"; for several cards of one, use processes'


def _find_process_conflicts(profile: Profile) -> Iterator[tuple[str, str]]:
    """Yield the fields that contradict the number of processes."""
    device, asked, processes = profile.hardware.device, profile.launch.processes, profile.processes
    if isinstance(device, list) and len({*device}) < len(device):
        yield "hardware.device", "a GPU is listed twice; each process needs a card of its own"
    elif isinstance(device, list) and asked not in (None, len(device)):
        yield "launch.processes", f"hardware.device lists {len(device)} cards; leave processes unset, or list {asked}"
    if isinstance(device, int) and processes > 1:
        yield "hardware.device", f"launch.processes needs {processes} cards; list them, as {[*range(processes)]}"
    if (ranks := profile.ranks) == 1:
        if profile.is_sharded:
            yield "launch.strategy", "one process has nobody to share the model with; list several in hardware.device"
        return
    if profile.model.offload_layers or profile.model.offload_embedding:
        field = "offload_layers" if profile.model.offload_layers else "offload_embedding"
        yield f"model.{field}", f"each of the {ranks} processes keeps the whole model on its card; offload nothing"
    accumulated = profile.training.gradient_accumulation_steps
    if profile.launch.keep_batch and accumulated % ranks:
        multiple = ranks * -(-accumulated // ranks)
        yield (
            "training.gradient_accumulation_steps",
            f"{accumulated} can't be divided by the {ranks} processes; use {multiple}, or set launch.keep_batch = "
            "false",
        )
