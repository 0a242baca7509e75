"""The texts of the profile picker: three lines for each profile in the list, and all details beside the list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from textual.content import Content

from codex_tui.base.text import clean, pluralize, shorten
from codex_tui.ui.forecast.bar import change, components, summary, verdict
from codex_tui.ui.kit.choices import DrawEntry
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line, spread
from training.contract import files

if TYPE_CHECKING:  # pydantic is read after the first paint
    from codex_tui.machine.forecast import ResourceForecast
    from codex_tui.profiles.library import ProfileEntry
    from training.contract.profile import Profile

MOST_LINES = 1000  # of a profile's file that are shown
MOST_REMEDIES = 3  # the editor has them all
NAME_WIDTH = 11


def row(entry: ProfileEntry, forecast: ResourceForecast | None) -> DrawEntry:
    """Name, title, and whether it fits."""
    whose = "shipped" if entry.shipped else "yours"
    count = len(entry.problems)

    def lines(width: int) -> list[Content]:
        name = shorten(clean(entry.name), max(8, width - len(whose) - 2))
        fit = line((f"✗ {pluralize(count, 'problem')}", "bold $error")) if count else _fit(forecast)
        return [
            spread(line((name, STRONG)), line((whose, MUTED)), width),
            line((shorten(clean(entry.title), width), MUTED)),
            fit,
        ]

    return lines


def _fit(forecast: ResourceForecast | None) -> Content:
    if forecast is None:
        return Content("")
    if forecast.memory is None:
        return line(("no forecast", MUTED))
    taken = f"{forecast.memory.device_mib:,.0f} MiB"
    if forecast.memory.verdict is None:
        return line((f"takes {taken}", MUTED))
    return line(verdict(forecast.memory), (f"  {taken}", MUTED))


def about(entry: ProfileEntry, forecast: ResourceForecast | None) -> Iterator[Content]:
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
        yield from _memory(forecast)
        yield from _numbers(entry.profile)
        if forecast and forecast.memory:
            yield Content("")
            yield from _components(forecast)
    yield Content("")
    where = "Shipped with the app. Press e to make your own." if entry.shipped else f"Yours: {_tilde(entry.path)}"
    yield line((clean(where), MUTED))
    yield Content("")
    yield from _file(entry)


def _memory(forecast: ResourceForecast | None) -> Iterator[Content]:
    """Whether it fits, and if not, what would help."""
    if forecast is None:
        yield _number("memory", Content("…"))
    elif forecast.memory is None:
        yield _number("memory", line((clean(forecast.reason), MUTED)))
    else:
        yield _number("memory", summary(forecast.memory, forecast.card))
        for remedy in forecast.remedies[:MOST_REMEDIES]:
            gives = f"{f'−{remedy.frees_mib:,.0f}':>6} MiB {'✓' if remedy.fits else ' '} "
            yield line((gives, MUTED), change(remedy))
        if forecast.remedies:
            enough = "✓ is enough by itself; " if forecast.remedies[0].fits else ""
            yield line((f"{enough}e, then r, applies one", MUTED))


def _components(forecast: ResourceForecast) -> Iterator[Content]:
    memory = forecast.memory
    assert memory
    for name, _, _, mib in components(memory):
        yield line((f"  {name:<14}", MUTED), f"{mib:>7,.0f} MiB")
    yield line((f"  {'together':<14}", MUTED), (f"{memory.device_mib:>7,.0f} MiB", STRONG))
    if memory.limit_mib and memory.card_mib:
        left = memory.card_mib - memory.display_mib
        why = f"the card's {memory.card_mib:,.0f}, less {memory.display_mib:,.0f} for the display"
        why = why if abs(left - memory.limit_mib) < 1 else "vram_limit_mib"
        yield line((f"  {'limit':<14}", MUTED), f"{memory.limit_mib:>7,.0f} MiB", (f"   {why}", MUTED))
    if forecast.card:
        yield line((f"  {'free now':<14}", MUTED), f"{forecast.card.free_mib:>7,.0f} MiB",
                   (f"   {clean(forecast.card.name)}", MUTED))  # fmt: skip


def _file(entry: ProfileEntry) -> Iterator[Content]:
    """The profile as it is written: its comments explain each field. Problems are marked in place."""
    try:
        lines = files.read(entry.path).decode(errors="replace").splitlines()[:MOST_LINES]
    except OSError:
        return
    wrong = {problem.line for problem in entry.problems if problem.path is None}
    for number, text in enumerate(lines, 1):
        setting, sign, comment = clean(text).partition("#")
        if wrong:
            mark = ("✗", "bold $error") if number in wrong else " "
            yield line(mark, (f"{number:3} ", MUTED), setting, (sign + comment, MUTED))
        else:
            yield line(setting, (sign + comment, MUTED))


def _numbers(profile: Profile) -> Iterator[Content]:
    training, model = profile.training, profile.model
    batch, accumulated = training.per_device_train_batch_size, training.gradient_accumulation_steps
    epochs = training.num_train_epochs
    in_epochs = f"{epochs:g} epoch{'s' if epochs != 1 else ''}"
    length = pluralize(training.max_steps, "step") if training.max_steps else in_epochs
    for name, value in (
        ("model", clean(model.name)),
        (
            "weights",
            "4-bit (QLoRA)" if model.load_in_4bit else f"16-bit, {model.dtype}" if model.dtype != "auto" else "16-bit",
        ),
        ("sequence", f"{model.max_seq_length:,} tokens"),
        ("LoRA", f"r {profile.lora.r}, alpha {profile.lora.lora_alpha}, dropout {profile.lora.lora_dropout:g}"),
        ("batch", f"{batch} x {accumulated} accumulated = {batch * accumulated}"),
        ("rate", f"{training.learning_rate:g}, {training.lr_scheduler_type}, {training.warmup_steps} warm-up steps"),
        ("length", length),
        ("optimiser", training.optim),
        ("dataset", clean(profile.dataset.path or "chosen at launch")),
    ):
        yield _number(name, Content(value))


def _number(name: str, value: Content) -> Content:
    return line((f"{name:<{NAME_WIDTH}}", MUTED), value)


def _tilde(path: Path) -> Path:
    return Path("~") / path.relative_to(Path.home()) if path.is_relative_to(Path.home()) else path
