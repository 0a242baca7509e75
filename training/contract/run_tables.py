"""The tables of a profile that say how a run is kept and recorded. They change nothing that is learned."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from training.contract.launch_tables import Name, name_field
from training.contract.tables import MAX_MIB, Table, field
from training.contract.trackers import Tracker


class Keeper(Table):
    """What the keeper does while nobody looks: when it parks the run, and what it does when an attempt fails.

    A parked run has saved everything and left the card; it continues by itself.
    """

    resume_after_minutes: Annotated[float, Field(ge=0, le=10_000)] = field(
        5.0,
        "A parked run continues once no rule has held, and the card has had the memory of the forecast free, for this "
        "long. A short time wastes fewer minutes; a long one does not disturb a game that only loads.",
        unit="minutes",
    )
    resume_lent: bool = field(
        False,
        "Bring back by itself also a run that you parked (L): once another program has taken the memory that the run "
        "needs, and has left it free for resume_after_minutes. Off: what you parked waits for you.",
    )
    park_above_others_mib: Annotated[int, Field(ge=1, le=MAX_MIB)] | None = field(
        None,
        "Park the run while other programs hold more than this much of the card, such as a game. Set it above what "
        "the desktop takes. Each parking costs the loading of the model, about a minute. Unset: the run shares the "
        "card.",
        unit="MiB",
    )
    park_on_battery: bool = field(
        False, "Park the run while the laptop is on battery: a training empties it within an hour or so."
    )
    park_above_celsius: Annotated[int, Field(ge=40, le=110)] | None = field(
        None,
        "Park the run when the card reaches this temperature, until it is 8 °C cooler. hardware.pause_above_celsius "
        "only pauses it, and keeps the card's memory. Unset: the run is not parked for heat.",
        unit="°C",
    )
    hours: Annotated[str, Field(min_length=1)] | None = field(
        None,
        'Train only between these times of the day, as "23:00-07:00"; the run is parked outside of them. Unset: at all '
        "times.",
    )
    on_gpu_memory: Literal["heal", "fail"] = field(
        "heal",
        'What to do when the card runs out of memory: "heal" continues from the last checkpoint with the smallest '
        "change that helps and leaves what is learned the same, such as an offloaded layer, which makes steps slower; "
        '"fail" ends the run.',
    )
    max_heals: Annotated[int, Field(ge=0, le=100)] = field(
        3, "Continue by itself at most this often after failures; then the run ends as failed.", unit="times"
    )
    on_hang: Literal["resume", "ignore"] = field(
        "resume",
        "What to do when no step ends for ten times as long as usual and the card is idle, as CUDA does under WSL2 at "
        'times: "resume" ends the attempt and continues from the last checkpoint; "ignore" waits.',
    )
    inhibit_sleep: bool = field(
        True, "Keep the computer from falling asleep while the run trains. Its screen may still turn off."
    )


class Tracking(Table):
    """Programs that record the curves of many runs, through transformers' own callbacks."""

    to: list[Tracker] = field(
        [],
        "Trackers that get the curves too. Install them first: codex-tui setup --with tensorboard,trackio. Everything "
        "stays on this machine, unless you have set one of them up to send it elsewhere. Costs next to nothing.",
    )
    project: Name | None = name_field(
        "The project under which trackers list the run. Unset: the name of the profile's runs."
    )
