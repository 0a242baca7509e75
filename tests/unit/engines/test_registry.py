"""The table launch of a profile and the engines say the same about where a run is trained."""

from __future__ import annotations

from typing import get_args

import pytest

from codex_tui.engines.registry import get_engine
from training.contract.engine import EngineName
from training.contract.launch_tables import Launch


@pytest.mark.parametrize("name", get_args(EngineName))
def test_a_profile_and_its_engine_agree_on_whether_the_run_uses_the_folders_of_this_machine(name: EngineName) -> None:
    assert Launch(engine=name).shares_folder == get_engine(name).shares_folder


def test_only_the_local_engine_trains_on_this_machine() -> None:
    assert [name for name in get_args(EngineName) if Launch(engine=name).is_local] == ["local"]
