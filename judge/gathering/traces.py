"""Instructions out of others' records: plain lines, OpenAI request logs, OpenTelemetry GenAI spans. Pure.

plain    `{"messages": […]}`, `{"instruction": "…"}` or `{"prompt": "…"}`; `source` and `language` if known
openai   the body of a request for chat completions (`messages`), responses (`input`, `instructions`) or
         completions (`prompt`), alone or as `request` or `body` of a log's entry, as an object or as JSON in
         a string
otel     OTLP in JSON (`resourceSpans`, `resourceLogs`), or one span or log record a line (`otel`)

A conversation is kept up to its last user turn, and beside it the response to that, if it is logged. What
tools said and were asked is left out, and so is a response that came of it; a conversation with images, audio
or files is refused, since its words alone are another question.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from judge.comparison import Instruction, flaw
from judge.errors import Fault, InvalidInput
from judge.gathering import logged
from judge.gathering.otel import conversations

Format = Literal["auto", "plain", "openai", "otel"]
FORMATS: tuple[str, ...] = get_args(Format)
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# Parts of a message that hold its text, in Chat Completions, Responses and OpenTelemetry.
_TEXT_PARTS = {"text": ("text", "content"), "input_text": ("text",), "output_text": ("text",)}
# What a model does between a question and its answer: no part of the conversation's words.
_SILENT_PARTS = {
    "tool_call",
    "tool_call_response",
    "tool_use",
    "tool_result",
    "reasoning",
    "thinking",
    "refusal",
}
Messages = list[dict[str, str]]
# An instruction, and the response that was logged with it.
Answered = tuple[Instruction, str | None]


@dataclass(frozen=True, slots=True)
class Traced:
    """An instruction, the response that was logged with it, and the line it came from."""

    line: int
    instruction: Instruction
    response: str | None = None
    source: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """A line that cannot be read, the field in it, if it has any, and why."""

    line: int
    field: str
    reason: str

    @property
    def place(self) -> str:
        """`line 3: messages.0.content`."""
        return f"line {self.line}: {self.field}" if self.field else f"line {self.line}"


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a file holds: instructions, what is wrong with other lines, how many lines hold none."""

    found: tuple[Traced, ...]
    faults: tuple[Unread, ...]
    skipped: int


def split(text: str) -> list[str]:
    """The lines of a file; of a single JSON document, however it is laid out, one line for each record."""
    if text.lstrip()[:1] == "[" or (text.lstrip()[:1] == "{" and "\n" in text.strip()):
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError):  # several documents, or one with a mistake
            return text.split("\n")
        return [json.dumps(record) for record in (whole if isinstance(whole, list) else [whole])]
    return text.split("\n")


def parse(lines: Iterable[str], form: Format = "auto") -> Parsed:
    """Read JSON lines; empty ones are nothing. `auto` looks at each line for its form."""
    found: list[Traced] = []
    faults: list[Unread] = []
    skipped = 0
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            records = list(_records(text, form))
        except InvalidInput as error:
            faults += [Unread(number, fault.field, fault.reason) for fault in error.faults]
        except (ValueError, RecursionError) as error:
            faults.append(Unread(number, "", f"not JSON: {error}"))
        else:
            skipped += not records
            found += [
                Traced(number, instruction, response, source, language)
                for (instruction, response), source, language in records
            ]
    return Parsed(tuple(found), tuple(faults), skipped)


def _records(text: str, form: Format) -> Iterator[tuple[Answered, str | None, str | None]]:
    row = json.loads(text)
    if not isinstance(row, dict):
        raise InvalidInput(Fault("line", "must be a JSON object"))
    read = _READERS[_form(row) if form == "auto" else form]
    for answered in read(row):
        known = (row.get(name) for name in ("source", "language"))
        source, language = (value if isinstance(value, str) and value else None for value in known)
        yield answered, source, language


def _form(row: Mapping[str, Any]) -> str:
    if any(
        name in row for name in ("resourceSpans", "resource_spans", "resourceLogs", "attributes", "spanId")
    ):
        return "otel"
    return "openai" if any(name in row for name in ("request", "body", "model", "input")) else "plain"


def plain(row: Mapping[str, Any]) -> list[Answered]:
    """The instruction of a line of Judgesmith's own form, whose messages are taken as they are."""
    response = _whole(logged.openai(row.get("response")))
    messages = row.get("messages")
    if isinstance(messages, list):
        return [(Instruction.from_json(messages), response)]
    for name in ("instruction", "prompt"):
        if name in row:
            try:
                return [(Instruction.from_json([{"role": "user", "content": row[name]}]), response)]
            except InvalidInput as error:
                raise InvalidInput(*(Fault(name, fault.reason) for fault in error.faults)) from error
    raise InvalidInput(Fault("messages", "give `messages` (a list), `instruction` or `prompt` (text)"))


def openai(row: Mapping[str, Any]) -> list[Answered]:
    """The instruction of a logged request; none of one that asks for something else, such as embeddings."""
    for name in ("request", "body"):
        if name in row:
            return _within(name, {"response": row.get("response"), **_object(row[name], name)})
    response = logged.openai(row.get("response"))
    if "messages" in row:
        return conversation([*_list(row["messages"], "messages"), *response], "messages")
    if "input" in row and not _is_embedding(row):
        return _responses(row, response)
    if "prompt" in row:
        return conversation([{"role": "user", "content": row["prompt"]}, *response], "prompt")
    if "model" in row or not row.keys() - {"response"}:
        return []
    raise InvalidInput(Fault("messages", "give `messages`, `input`, `prompt`, or a request that has one"))


def _within(name: str, row: Mapping[str, Any]) -> list[Answered]:
    try:
        return openai(row)
    except InvalidInput as error:
        raise InvalidInput(
            *(Fault(f"{name}.{fault.field}", fault.reason) for fault in error.faults)
        ) from error


def _is_embedding(row: Mapping[str, Any]) -> bool:
    return "embed" in str(row.get("model")) or "moderation" in str(row.get("model"))


def _responses(row: Mapping[str, Any], response: logged.Turns) -> list[Answered]:
    given = row["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else _list(given, "input")
    spoken = [
        item for item in items if not isinstance(item, dict) or item.get("type", "message") == "message"
    ]
    lead = row.get("instructions")
    before = [{"role": "system", "content": lead}] if isinstance(lead, str) and lead.strip() else []
    return conversation([*before, *spoken, *response], "input")


def otel(row: Mapping[str, Any]) -> list[Answered]:
    """The instructions of spans or log records."""
    return [one for messages, field in conversations(row) for one in conversation(messages, field)]


def conversation(messages: list[Any], field: str) -> list[Answered]:
    """The messages up to the last user turn, as an instruction; none where the user says nothing.

    With it the last message after that turn, if it is a whole text that did not come of what a tool said.

    Raises:
        InvalidInput: a message that cannot be read, or parts of one that are not text.
    """
    turns: Messages = []
    tooled = False
    for index, message in enumerate(messages):
        place = f"{field}.{index}"
        if not isinstance(message, Mapping):
            raise InvalidInput(Fault(place, "must be an object with role and content"))
        role = _ROLES.get(str(message.get("role")))
        content = message.get("content", message.get("parts"))
        if role is None or content is None:  # a tool's turn, or one that only calls tools
            tooled = True
            continue
        tooled = tooled and role != "user"
        text = _text(content, f"{place}.{'content' if 'content' in message else 'parts'}")
        if text.strip():
            turns.append({"role": role, "content": text})
    said = [] if tooled or not turns or turns[-1]["role"] != "assistant" else logged.message(messages[-1])
    while turns and turns[-1]["role"] != "user":
        turns.pop()
    return [(Instruction.from_json(turns), _whole(said))] if turns else []


def _whole(said: logged.Turns) -> str | None:
    """The text of a logged response, if it can be stored."""
    return next((turn["content"] for turn in said if not flaw(turn["content"])), None)


def _text(content: object, field: str) -> str:
    """The text of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidInput(Fault(field, "must be a text or a list of parts"))
    texts = []
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if isinstance(part, str):
            texts.append(part)
        elif kind in _TEXT_PARTS:
            texts.append(str(next((part[name] for name in _TEXT_PARTS[kind] if name in part), "")))
        elif kind not in _SILENT_PARTS:
            raise InvalidInput(Fault(f"{field}.{index}", f"is {kind or 'no part'}; only texts can be judged"))
    return "\n".join(texts)


def _object(value: object, field: str) -> Mapping[str, Any]:
    """An object, or the object that a string holds as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(Fault(field, f"not JSON: {error}")) from error
    if not isinstance(value, Mapping):
        raise InvalidInput(Fault(field, "must be an object"))
    return value


def _list(value: object, field: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidInput(Fault(field, "must be a list"))
    return value


_READERS: dict[str, Callable[[Mapping[str, Any]], list[Answered]]] = {
    "plain": plain,
    "openai": openai,
    "otel": otel,
}
