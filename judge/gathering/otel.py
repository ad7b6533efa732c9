"""Conversations out of OpenTelemetry records, by its semantic conventions for generative AI. Pure.

Since 1.37 they are attributes of the span, or of the event `gen_ai.client.inference.operation.details`:
`gen_ai.input.messages` and `gen_ai.system_instructions`, structured or as JSON in a string. Before, they were
events of the span or log records, one a message (`gen_ai.user.message`) or one for all of them
(`gen_ai.content.prompt`). Older instrumentations number them in attributes, `gen_ai.prompt.0.content`, and
OpenInference does, `llm.input_messages.0.message.content`. A span of anything else has none of these.

The response stands beside them and becomes the last message: `gen_ai.output.messages`, the event
`gen_ai.choice`, `gen_ai.completion.0.content`, `llm.output_messages.0.message.content`.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from judge.errors import Fault, InvalidInput
from judge.gathering import logged

INPUT, SYSTEM = "gen_ai.input.messages", "gen_ai.system_instructions"
_MESSAGE_EVENT = re.compile(r"gen_ai\.(system|user|assistant)\.message")
_NUMBERED = re.compile(r"(?:gen_ai\.prompt|llm\.input_messages)\.(\d+)\.(?:message\.)?(role|content)")
_PROMPT_EVENT = "gen_ai.content.prompt"
_OUTPUT, _CHOICE = "gen_ai.output.messages", "gen_ai.choice"
_COMPLETIONS = ("gen_ai.completion.0.content", "llm.output_messages.0.message.content")
Attributes = Mapping[str, Any]


def conversations(row: Mapping[str, Any]) -> Iterator[tuple[list[Any], str]]:
    """(messages, the field they were in) of each record of a line that holds a conversation.

    Raises:
        InvalidInput: an attribute that should hold messages does not.
    """
    for span, place in _nested(
        row, ("resourceSpans", "resource_spans"), ("scopeSpans", "scope_spans"), "spans"
    ):
        if messages := _of_span(span, place):
            yield messages, place + INPUT
    logs = _nested(row, ("resourceLogs", "resource_logs"), ("scopeLogs", "scope_logs"), "logRecords")
    yield from _of_logs([record for record, _ in logs])
    if not any(name in row for name in ("resourceSpans", "resource_spans", "resourceLogs", "resource_logs")):
        if messages := _of_span(row, ""):
            yield messages, INPUT
        elif _event_name(row):
            yield from _of_logs([row])


def _nested(
    row: Mapping[str, Any], outer: Sequence[str], inner: Sequence[str], last: str
) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The records two levels down in OTLP's JSON, and where they stand."""
    for i, resource in _each(row, outer, ""):
        for j, scope in _each(resource, inner, f"{outer[0]}.{i}."):
            for k, record in _each(scope, (last,), f"{outer[0]}.{i}.{inner[0]}.{j}."):
                yield record, f"{outer[0]}.{i}.{inner[0]}.{j}.{last}.{k}."


def _each(
    row: Mapping[str, Any], names: Sequence[str], place: str
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    items: Any = next((row[name] for name in names if row.get(name) is not None), [])
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise InvalidInput(Fault(f"{place}{names[0]}", "must be a list of objects"))
    return enumerate(items)


def _of_span(span: Mapping[str, Any], place: str) -> list[Any]:
    attributes = _attributes(span, place)
    if messages := _of_attributes(attributes, place):
        return messages
    spoken = []
    for index, event in _each(span, ("events",), place):
        within = f"{place}events.{index}."
        given = _attributes(event, within)
        if messages := _of_attributes(given, within):
            return messages
        if match := _MESSAGE_EVENT.fullmatch(str(event.get("name"))):
            spoken.append({"role": match[1], **given})
        elif event.get("name") == _CHOICE:
            spoken += logged.message(given)
        elif event.get("name") == _PROMPT_EVENT and "gen_ai.prompt" in given:
            return _prompt(given["gen_ai.prompt"], f"{within}gen_ai.prompt")
    return spoken


def _of_logs(records: Sequence[Mapping[str, Any]]) -> Iterator[tuple[list[Any], str]]:
    """One conversation of each record with all messages, and of all records of one span with one each."""
    by_span: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for index, record in enumerate(records):
        place = f"logRecords.{index}."
        given = _attributes(record, place)
        body = _value(record.get("body"))
        if messages := _of_attributes(given | (body if isinstance(body, dict) else {}), place):
            yield messages, place + INPUT
        elif isinstance(body, dict):
            span = (str(record.get("traceId")), str(record.get("spanId")))
            if match := _MESSAGE_EVENT.fullmatch(_event_name(record)):
                by_span[span].append({"role": match[1], **body})
            elif _event_name(record) == _CHOICE:
                by_span[span] += logged.message(body)
    for messages in by_span.values():
        yield messages, "body"


def _event_name(record: Mapping[str, Any]) -> str:
    name = record.get("eventName") or record.get("event_name") or _attributes(record, "").get("event.name")
    return str(name or "")


def _of_attributes(attributes: Attributes, place: str) -> list[Any]:
    """The messages that one set of attributes holds, the system's first."""
    if INPUT in attributes:
        system = _json(attributes.get(SYSTEM, []), place + SYSTEM)
        messages = _json(attributes[INPUT], place + INPUT)
        before = [{"role": "system", "parts": system}] if system else []
        return before + messages + logged.messages(attributes.get(_OUTPUT))
    numbered: dict[int, dict[str, Any]] = defaultdict(dict)
    for name, value in attributes.items():
        if match := _NUMBERED.fullmatch(name):
            numbered[int(match[1])][match[2]] = value
    if numbered:
        said = next((attributes[name] for name in _COMPLETIONS if name in attributes), None)
        return [numbered[index] for index in sorted(numbered)] + logged.turn(said)
    return (
        _prompt(attributes["gen_ai.prompt"], f"{place}gen_ai.prompt") if "gen_ai.prompt" in attributes else []
    )


def _prompt(value: object, field: str) -> list[Any]:
    """A prompt that is a list of messages in JSON, or the user's own words."""
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return [{"role": "user", "content": value}]
    return _json(value, field)


def _json(value: object, field: str) -> list[Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(Fault(field, f"not JSON: {error}")) from error
    if not isinstance(value, list):
        raise InvalidInput(Fault(field, "must be a list"))
    return value


def _attributes(record: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Attributes by name, from OTLP's list of keys and typed values or from a plain object."""
    given = record.get("attributes") or {}
    if isinstance(given, Mapping):
        return dict(given)
    if not isinstance(given, list) or not all(isinstance(pair, Mapping) and "key" in pair for pair in given):
        raise InvalidInput(Fault(f"{place}attributes", "must be an object, or a list of keys and values"))
    return {str(pair["key"]): _value(pair.get("value")) for pair in given}


def _value(value: object) -> Any:
    """A typed value of OTLP's JSON as a plain one."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return value
    kind, content = next(iter(value.items()))
    if kind == "arrayValue" and isinstance(content, Mapping):
        return [_value(item) for item in content.get("values") or []]
    if kind == "kvlistValue" and isinstance(content, Mapping):
        pairs = [pair for pair in content.get("values") or [] if isinstance(pair, Mapping)]
        return {str(pair.get("key")): _value(pair.get("value")) for pair in pairs}
    return content if kind in ("stringValue", "intValue", "doubleValue", "boolValue") else value
