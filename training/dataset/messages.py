"""Reads the messages of a conversation, in OpenAI's or ShareGPT's form, into the form that chat templates expect.

{"role": "assistant", "content": "…", "reasoning_content": "…", "weight": 0}
{"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "…", "arguments": "{…}"}}]}
{"role": "tool", "content": "…", "tool_call_id": "…"}
{"from": "gpt", "value": "…", "train": false}       also from human, system, function_call, observation
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from training.dataset.records import BadRow, describe_type

Message = dict[str, Any]
"""What a chat template reads of a message: role and content, and if it has them, tool_calls and reasoning_content."""

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool",
         "function": "tool"}  # fmt: skip
SHAREGPT = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant",
            "assistant": "assistant", "model": "assistant", "bot": "assistant", "function_call": "assistant",
            "tool_call": "assistant", "tool": "tool", "function": "tool", "observation": "tool",
            "tool_response": "tool"}  # fmt: skip
CALLS = ("function_call", "tool_call")  # ShareGPT's roles whose value is a call as JSON
REASONING = ("reasoning_content", "thinking", "reasoning")
PASSED_ON = ("name", "tool_call_id")  # keys that templates read as they are
OTHER_PARTS = {"image": "an image", "image_url": "an image", "input_image": "an image", "video": "a video",
               "audio": "sound", "input_audio": "sound"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Turn:
    """A message, and whether the model may learn it: only answers, and only those that the row does not exclude."""

    message: Message
    learnable: bool = False


def parse_messages(value: Any, name: str = "messages") -> list[Turn]:
    """Read the list of messages in the column `name`. Raises BadRow."""
    if not isinstance(value, list):
        raise BadRow(f'"{name}" must be a list, found {describe_type(value)}')
    return [_parse_message(item, f"message {position}") for position, item in enumerate(value, 1)]


def _parse_message(item: Any, where: str) -> Turn:
    if not isinstance(item, dict):
        raise BadRow(f"{where} must be an object with role and content, found {describe_type(item)}")
    role_key, text_key, roles = ("from", "value", SHAREGPT) if "from" in item else ("role", "content", ROLES)
    given = item.get(role_key)
    if not isinstance(given, str) or given not in roles:
        known = "system, user, assistant or tool" if role_key == "role" else "system, human, gpt or observation"
        raise BadRow(f'{where}: "{role_key}" must be {known}')
    message: Message = {"role": roles[given]}
    calls = _parse_calls(item, where)
    if role_key == "from" and given in CALLS:
        calls = [_parse_call(call, where) for call in _load_calls(item.get(text_key), where)]
        message["content"] = ""
    elif calls and item.get(text_key) is None:
        message["content"] = ""
    elif roles[given] == "tool" and isinstance(item.get(text_key), dict):
        message["content"] = json.dumps(item[text_key], ensure_ascii=False)
    else:
        message["content"] = _parse_content(item.get(text_key), f'{where}: "{text_key}"')
    if calls:
        message["tool_calls"] = calls
    if reasoning := next((item[key] for key in REASONING if isinstance(item.get(key), str) and item[key].strip()), ""):
        message |= {"reasoning_content": reasoning, "thinking": reasoning}  # each template knows one of the two names
    message |= {key: item[key] for key in PASSED_ON if isinstance(item.get(key), str)}
    return Turn(message, roles[given] == "assistant" and _is_learnable(item, where))


def _is_learnable(item: dict[str, Any], where: str) -> bool:
    """Read OpenAI's `weight`, and ShareGPT's and Axolotl's `train` and `training`."""
    weight = item.get("weight")
    if isinstance(weight, bool) or weight not in (None, 0, 1):
        raise BadRow(f'{where}: "weight" must be 0 or 1')
    for key in ("train", "training"):
        if item.get(key) not in (None, True, False):
            raise BadRow(f'{where}: "{key}" must be true or false')
    return weight != 0 and item.get("train") is not False and item.get("training") is not False


def is_empty(message: Message) -> bool:
    """Whether an answer says nothing, calls nothing and has no reasoning."""
    return not (message["content"].strip() or message.get("tool_calls") or message.get("reasoning_content"))


def format_answer(message: Message) -> str:
    """Format an answer for a person: its text, or its tool calls as JSON."""
    calls = [json.dumps(call["function"], ensure_ascii=False) for call in message.get("tool_calls", ())]
    return "\n".join(filter(None, (message["content"], *calls)))


def _parse_content(value: Any, where: str) -> str:
    """Read a message's content: text, or a list of parts that are all text."""
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        for part in value:
            if part.get("type") != "text":
                kind = OTHER_PARTS.get(str(part.get("type")), "parts other than text")
                raise BadRow(f"{where} has {kind}, and only text can be trained")
        return "".join(_parse_part(part, where) for part in value)
    return check_text(value, where)


def _parse_part(part: dict[str, Any], where: str) -> str:
    """Read a part of type "text": OpenAI calls its key `text`, LLaMA-Factory `value`."""
    if "text" not in part and "value" not in part:
        raise BadRow(f'{where} has a part without "text"')
    return check_text(part.get("text", part.get("value")), where)


def check_text(value: Any, where: str) -> str:
    """Raise BadRow unless `value` is text."""
    if not isinstance(value, str):
        raise BadRow(f"{where} must be text, found {describe_type(value)}")
    return value


def _parse_calls(item: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """Read OpenAI's `tool_calls`, or its older `function_call`."""
    calls = item.get("tool_calls") or ([item["function_call"]] if item.get("function_call") else [])
    if not isinstance(calls, list):
        raise BadRow(f'{where}: "tool_calls" must be a list, found {describe_type(calls)}')
    return [_parse_call(call, where) for call in calls]


def _load_calls(value: Any, where: str) -> Iterable[Any]:
    """Read the value of a ShareGPT call: one call or a list of calls, as JSON."""
    calls = _load_json(value) if isinstance(value, str) else value
    if not isinstance(calls, list | dict):
        raise BadRow(f'{where}: a call must be JSON such as {{"name": "…", "arguments": {{…}}}}')
    return calls if isinstance(calls, list) else [calls]


def _parse_call(call: Any, where: str) -> dict[str, Any]:
    """Read one call. Templates expect its arguments as an object; OpenAI writes them as JSON text."""
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRow(f"{where}: a call has no name")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        arguments = _load_json(arguments) if arguments.strip() else {}
    if not isinstance(arguments, dict):
        raise BadRow(f"{where}: the arguments of {function['name']} must be a JSON object")
    number = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
    return {"type": "function", **number, "function": {"name": function["name"], "arguments": arguments}}


def parse_tools(value: Any) -> list[dict[str, Any]]:
    """Read the tools that a row offers to the model: a list, also as JSON text. [] if `value` is something else."""
    tools = _load_json(value) if isinstance(value, str) else value
    if not isinstance(tools, list):
        return []
    parsed = [_load_json(tool) if isinstance(tool, str) else tool for tool in tools]
    if not all(isinstance(tool, dict) and isinstance(tool.get("function", tool).get("name"), str) for tool in parsed):
        raise BadRow('"tools" must be a list of functions, each with a name')
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in parsed]


def _load_json(text: str) -> Any:
    """Parse `text`; None if it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
