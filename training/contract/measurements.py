"""The events that measure a run: its losses, answers, memory and cards. `events.py` beside this has the others."""

from __future__ import annotations

from training.contract.event_base import Count, Event, Finite


class Metrics(Event, tag="metrics"):
    """One logging step. `tokens` counts the trained-on input tokens since step 0, over all attempts."""

    step: Count
    epoch: Finite | None = None
    loss: Finite | None = None
    learning_rate: Finite | None = None
    grad_norm: Finite | None = None
    tokens: Count = 0
    tokens_per_second: Finite | None = None
    not_finite: tuple[str, ...] = ()


class Eval(Event, tag="eval"):
    step: Count
    eval_loss: Finite | None = None
    epoch: Finite | None = None
    seconds: Finite | None = None


class Sample(Event, tag="sample"):
    """The model's greedy answer to one of the run's questions, at an evaluation. At step 0 it is the base model's.

    `cut_at` is the number of tokens at which the answer was cut. None: the model ended its answer itself. `seconds` is
    the time that all answers at this step took together.
    """

    step: int
    prompt: str
    text: str
    reference: str = ""
    cut_at: Count | None = None
    seconds: Finite | None = None


class PassRate(Event, tag="pass_rate"):
    """How many of the questions of the profile's book the adapter answered so that they pass, at an evaluation and at
    the end. `trained_questions` of the questions stand in the training rows; their answers may be learned by heart.
    `book` is the SHA-256 of the book."""

    step: Count
    passes: Count
    questions: Count
    trained_passes: Count = 0
    trained_questions: Count = 0
    seconds: Finite | None = None
    book: str = ""

    @property
    def rate(self) -> float:
        return self.passes / self.questions if self.questions else 0.0

    @property
    def unseen_passes(self) -> int:
        return max(0, self.passes - self.trained_passes)

    @property
    def unseen_questions(self) -> int:
        return max(0, self.questions - self.trained_questions)


class Memory(Event, tag="memory"):
    """torch.cuda's figures in MiB; on CPU `host_mib` (resident set) alone. `device_mib` is NVML's, all processes."""

    step: int
    allocated_mib: Finite | None = None
    reserved_mib: Finite | None = None
    peak_allocated_mib: Finite | None = None
    peak_reserved_mib: Finite | None = None
    device_mib: Finite | None = None
    total_mib: Finite | None = None
    host_mib: Finite | None = None


class Probe(Event, tag="probe"):
    """The longest row went forward and backward before step 1: `rows` of `tokens` tokens each at once. The largest pass
    of an evaluation has `eval_tokens`, 0 if there is none; earlier trainers did not write it.

    MiB; None on a CPU. `context_mib` is the memory of the process outside the allocator, `limit_mib` the limit for the
    process, `forecast_mib` the forecast for the device. `step_seconds` and `eval_seconds` are the times of a step and
    of an evaluation of mean length, from passes that the probe has timed; earlier trainers did not write these two.
    """

    tokens: Count
    rows: Count
    eval_tokens: Count = 0
    peak_allocated_mib: Finite | None = None
    peak_reserved_mib: Finite | None = None
    context_mib: Finite | None = None
    limit_mib: Finite | None = None
    forecast_mib: Finite | None = None
    step_seconds: Finite | None = None
    eval_seconds: Finite | None = None


class Gpu(Event, tag="gpu"):
    """NVML readings by the trainer, so that the history survives a detach: MiB, °C, %, W, MHz; None: unsupported.

    `card` is the place of the GPU among those that the run trains on, from 0.
    """

    card: Count = 0
    used_mib: Finite | None = None
    total_mib: Finite | None = None
    temperature: Finite | None = None
    utilisation: Finite | None = None
    power: Finite | None = None
    sm_clock: Finite | None = None
