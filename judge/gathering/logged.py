"""The response that a trace has logged, as the last turn of its conversation. Pure.

It is of use only where it is a whole text and nothing else: one that was cut off, filtered or calls a tool
answers nothing by itself. Whatever cannot be read is no response and no mistake; the instruction counts.
"""

import json
from collections.abc import Mapping
from typing import Any

Turns = list[dict[str, Any]]
_WHOLE = (None, "", "stop", "completed", "end_turn")
_TEXTS = {"text": ("text", "content"), "output_text": ("text",)}
_SILENT = ("reasoning", "thinking")


def turn(content: object, finish_reason: object = None) -> Turns:
    """A response of this content, a text or a list of parts; nothing if it is not whole or not text alone."""
    text = content if isinstance(content, str) else _joined(content)
    if finish_reason not in _WHOLE or not text.strip():
        return []
    return [{"role": "assistant", "content": text}]


def openai(response: object) -> Turns:
    """The first choice of a logged response, which is an object, JSON in a string, or the text itself.

    Of chat completions, completions and the responses API; of a batch the response has it as its `body`.
    """
    given = _object(response)
    if given is None or not given.keys() & {"body", "choices", "output"}:
        return turn(response) if isinstance(response, str) else []
    if isinstance(given.get("body"), Mapping):
        return openai(given["body"])
    choice = _first(given.get("choices"))
    if choice:
        return (
            message(choice) if "message" in choice else turn(choice.get("text"), choice.get("finish_reason"))
        )
    items = given.get("output")
    spoken = [item for item in items if _kind(item) not in _SILENT] if isinstance(items, list) else []
    return message(spoken[0], given.get("status")) if len(spoken) == 1 else []


def message(given: object, finish_reason: object = None) -> Turns:
    """A message by its content or parts, alone or in a choice, perhaps JSON in a string."""
    read = _object(given)
    if read is None or read.get("tool_calls") or read.get("function_call"):
        return []
    reason = read.get("finish_reason", finish_reason)
    if "message" in read:
        return message(read["message"], reason)
    return turn(read.get("content", read.get("parts")), reason)


def messages(given: object) -> Turns:
    """The first of several messages, perhaps JSON in a string."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return []
    return message(_first(given))


def _joined(parts: object) -> str:
    """The texts of parts; empty where one of them is anything else."""
    if not isinstance(parts, list):
        return ""
    texts = []
    for part in parts:
        names = _TEXTS.get(_kind(part), ())
        text = next((part[name] for name in names if name in part), None)
        if isinstance(text, str):
            texts.append(text)
        elif _kind(part) not in _SILENT:
            return ""
    return "\n".join(texts)


def _kind(part: object) -> str:
    return str(part.get("type")) if isinstance(part, Mapping) else ""


def _first(items: object) -> Mapping[str, Any] | None:
    first = items[0] if isinstance(items, list) and items else None
    return first if isinstance(first, Mapping) else None


def _object(value: object) -> Mapping[str, Any] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, Mapping) else None
