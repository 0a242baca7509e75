"""The forecast of the memory that the draft needs, in the bar of the editor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.screen import Screen

from codex_tui.ui.forecast.bar import ForecastBar
from codex_tui.ui.forecast.in_thread import forecast_profile
from codex_tui.ui.kit.worker import start_worker

if TYPE_CHECKING:
    from codex_tui.machine.forecast import ResourceForecast
    from codex_tui.profiles.draft import Draft
    from codex_tui.profiles.resolve import Resolved
    from training.contract.profile import Profile


class DraftForecast:
    """Forecasts the `draft` and shows the result in the forecast bar of `screen`. `show` is called after it."""

    def __init__(self, screen: Screen[str], draft: Draft, show: Callable[[], None]) -> None:
        self.forecast: ResourceForecast | None = None  # None before the first one, and while the draft has problems
        self._screen, self._draft, self._show = screen, draft, show

    @property
    def has_remedies(self) -> bool:
        return bool(self.forecast and self.forecast.remedies)

    def update(self, resolved: Resolved) -> None:
        """Forecast the draft as it is now."""
        if resolved.profile is None:
            self.forecast = None
            self._bar.show_reason("No forecast: the profile has problems. Fix them first.")
            self._show()
        else:
            start_worker(self._screen, partial(self._make, resolved.profile), group="forecast", exclusive=True)

    @property
    def _bar(self) -> ForecastBar:
        return self._screen.query_one(ForecastBar)

    async def _make(self, profile: Profile) -> None:
        forecast = await asyncio.to_thread(forecast_profile, profile, self._draft.path)
        if not self._screen.is_attached:
            return
        self.forecast = forecast
        if forecast.memory:
            self._bar.show(forecast.memory, forecast.card, forecast.place)
        else:
            self._bar.show_reason(forecast.reason)
        self._show()
