"""The axes of a chart of curves."""

from __future__ import annotations

import pytest

from codex_tui.ui.kit.plot import Frame, YRange


@pytest.mark.parametrize("high", [5e-324, 1e-310, 1e-301, 1e-200, 1.0, 1e300])
@pytest.mark.parametrize("share", [0.0, 1e-9, 1.0])
@pytest.mark.parametrize("log", [True, False])
def test_an_axis_takes_every_value(high: float, share: float, log: bool) -> None:
    frame = Frame(YRange(high * share, high), 80, 20, log=log)
    assert 0 <= frame.y.to_dot(high) < frame.y.dots
