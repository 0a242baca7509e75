"""The texts of the profile picker: three lines for each profile in the list, and all details beside the list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from textual.content import Content

from codex_tui.base.text import clean, format_gb, pluralize, shorten
from codex_tui.base.toml import MAX_BYTES
from codex_tui.ui.forecast.bar import (
    format_change,
    format_verdict,
    list_components,
    summarize,
)
from codex_tui.ui.kit.choices import DrawEntry
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line, spread
from training.contract import files

if TYPE_CHECKING:  # pydantic is imported after the first paint
    from codex_tui.machine.forecast import ResourceForecast
    from codex_tui.profiles.library import ProfileEntry
    from training.contract.profile import Profile

MAX_FILE_LINES = 1000  # lines of a profile's file that are shown
MAX_REMEDIES = 3  # the editor shows all of them
NAME_WIDTH = 11
PREPOSITIONS = {"fits": "", "tight": "on ", "no": "for "}  # between a verdict and the size of a card


def make_row(entry: ProfileEntry, forecast: ResourceForecast | None, recommended: bool) -> DrawEntry:
    """Make the entry of a profile in the list: its name, its title, and whether it fits."""
    owner = "shipped" if entry.shipped else "yours"
    count = len(entry.problems)

    def lines(width: int) -> list[Content]:
        name = shorten(clean(entry.name), max(8, width - len(owner) - 2))
        fit = line((f"✗ {pluralize(count, 'problem')}", "bold $error")) if count else _format_fit(forecast)
        return [
            spread(line((name, STRONG)), line((owner, MUTED)), width),
            line((shorten(clean(entry.title), width), MUTED)),
            spread(fit, line(("recommended", "bold $success")), width) if recommended else fit,
        ]

    return lines


def _format_fit(forecast: ResourceForecast | None) -> Content:
    if forecast is None:
        return Content("")
    if forecast.memory is None:
        return line(("no forecast", MUTED))
    need = format_gb(forecast.memory.device_mib, 1)
    if forecast.memory.verdict is None:
        return line((f"needs {need}", MUTED))
    card_mib = forecast.memory.card_mib
    where = " "
    if forecast.card is None and card_mib:
        where = f" {PREPOSITIONS[forecast.memory.verdict]}{card_mib / 1024:.3g} GB:"
    return line(format_verdict(forecast.memory), (f"{where} {need}", MUTED))


def describe_profile(entry: ProfileEntry, forecast: ResourceForecast | None) -> Iterator[Content]:
    """All details of a profile: its problems or its memory and settings, then its file."""
    yield line((clean(entry.title or entry.name), STRONG))
    if entry.problems:
        yield Content("")
        yield line((f"✗ {pluralize(len(entry.problems), 'problem')}. Press e to edit the profile.", "bold $error"))
        for problem in entry.problems:
            where = f"line {problem.line}" if problem.line else "the file"
            where = f"{clean(problem.path.name)}, {where}" if problem.path else where
            yield line((f"  {where}", ACCENT), f"  {clean(problem.field)}" if problem.field else "")
            yield line(f"    {clean(problem.message)}")
    elif entry.profile:
        if entry.description:
            yield line((clean(entry.description, newlines=True), ""))
        yield Content("")
        if place := entry.profile.launch.place:
            yield _format_pair("trains on", line(clean(place)))
        yield from _format_memory(forecast)
        yield from _format_settings(entry.profile)
        if forecast and forecast.memory:
            yield Content("")
            yield from _format_components(forecast)
    yield Content("")
    where = (
        "Shipped with the app. Press e to make your own." if entry.shipped else f"Yours: {_shorten_home(entry.path)}"
    )
    yield line((clean(where), MUTED))
    yield Content("")
    yield from _format_file(entry)


def _format_memory(forecast: ResourceForecast | None) -> Iterator[Content]:
    """The memory that the run needs, and the changes that would reduce it if it does not fit."""
    if forecast is None:
        yield _format_pair("memory", Content("…"))
    elif forecast.memory is None:
        yield _format_pair("memory", line((clean(forecast.reason), MUTED)))
    else:
        yield _format_pair("memory", summarize(forecast.memory, forecast.card, forecast.place))
        for remedy in forecast.remedies[:MAX_REMEDIES]:
            frees = f"{f'−{format_gb(remedy.frees_mib)}':>9} {'✓' if remedy.fits else ' '} "
            yield line((frees, MUTED), format_change(remedy))
        if forecast.remedies:
            enough = "✓ is enough by itself. " if forecast.remedies[0].fits else ""
            yield line((f"{enough}To apply one: e, then r.", MUTED))


def _format_components(forecast: ResourceForecast) -> Iterator[Content]:
    memory = forecast.memory
    assert memory
    for name, _, _, mib in list_components(memory):
        yield line((f"  {name:<14}", MUTED), f"{format_gb(mib):>9}")
    yield line((f"  {'total':<14}", MUTED), (f"{format_gb(memory.device_mib):>9}", STRONG))
    if memory.limit_mib and memory.card_mib:
        usable = memory.card_mib - memory.display_mib
        why = f"the card's {format_gb(memory.card_mib)} minus {format_gb(memory.display_mib)} for the display"
        why = why if abs(usable - memory.limit_mib) < 1 else "vram_limit_mib"
        yield line((f"  {'limit':<14}", MUTED), f"{format_gb(memory.limit_mib):>9}", (f"   {why}", MUTED))
    if forecast.card:
        yield line((f"  {'free now':<14}", MUTED), f"{format_gb(forecast.card.free_mib):>9}",
                   (f"   {clean(forecast.card.name)}", MUTED))  # fmt: skip


def _format_file(entry: ProfileEntry) -> Iterator[Content]:
    """The profile as it is written: its comments explain each field. Problems are marked in place."""
    try:
        lines = files.read(entry.path, MAX_BYTES).decode(errors="replace").splitlines()[:MAX_FILE_LINES]
    except OSError:
        return
    bad_lines = {problem.line for problem in entry.problems if problem.path is None}
    for number, text in enumerate(lines, 1):
        setting, sign, comment = clean(text).partition("#")
        if bad_lines:
            mark = ("✗", "bold $error") if number in bad_lines else " "
            yield line(mark, (f"{number:3} ", MUTED), setting, (sign + comment, MUTED))
        else:
            yield line(setting, (sign + comment, MUTED))


def _format_settings(profile: Profile) -> Iterator[Content]:
    training, model = profile.training, profile.model
    batch, accumulated = training.per_device_train_batch_size, profile.process_accumulation_steps
    cards = f" x {profile.ranks} processes" if profile.ranks > 1 else ""
    epochs = training.num_train_epochs
    epochs_text = f"{epochs:g} epoch{'s' if epochs != 1 else ''}"
    length = pluralize(training.max_steps, "step") if training.max_steps else epochs_text
    for name, value in (
        ("model", clean(model.name)),
        (
            "weights",
            "4-bit (QLoRA)" if model.load_in_4bit else f"16-bit, {model.dtype}" if model.dtype != "auto" else "16-bit",
        ),
        ("sequence", f"{model.max_seq_length:,} tokens"),
        ("LoRA", f"r {profile.lora.r}, alpha {profile.lora.lora_alpha}, dropout {profile.lora.lora_dropout:g}"),
        ("batch", f"{batch} x {accumulated} accumulated{cards} = {batch * accumulated * profile.ranks}"),
        ("rate", f"{training.learning_rate:g}, {training.lr_scheduler_type}, {training.warmup_steps} warm-up steps"),
        ("length", length),
        ("optimizer", training.optim),
        ("dataset", clean(profile.dataset.path or "chosen at launch")),
    ):
        yield _format_pair(name, Content(value))


def _format_pair(name: str, value: Content) -> Content:
    return line((f"{name:<{NAME_WIDTH}}", MUTED), value)


def _shorten_home(path: Path) -> Path:
    """Write the home folder in `path` as ~."""
    return Path("~") / path.relative_to(Path.home()) if path.is_relative_to(Path.home()) else path
