"""Asks whether the answers of a judgement may leave this machine."""

from __future__ import annotations

import asyncio
from typing import Any

from textual.app import App

from codex_tui.base.text import pluralize
from codex_tui.judge.endpoint import Endpoint
from codex_tui.judge.judge_model import describe_sending, find_endpoint
from codex_tui.ui.kit.dialogs import Confirm
from training.contract.judgement import Judgement


async def ask_to_send(app: App[Any], judgement: Judgement) -> Endpoint | None:
    """Ask whether the judge model of the settings may see the answers. Returns None if not. Call it in a worker. Raises
    BadInput if the settings name no judge model."""
    endpoint = await asyncio.to_thread(find_endpoint)
    text = f"{describe_sending(endpoint)} That is {pluralize(len(judgement.answers), 'question')}, in both orders."
    agreed = await app.push_screen_wait(Confirm("Ask the judge model?", text, "send them"))
    return endpoint if agreed else None
