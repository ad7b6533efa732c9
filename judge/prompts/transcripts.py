"""Texts in which a trainer has already put a chat template around the turns, taken apart again. Pure.

RLHF trainers hand their reward model one decoded text: the prompt under the policy's chat template, the
response after it, control tokens spelled out. The judge wants the turns. The usual templates are recognized
by their headers (ChatML, Llama 3, Gemma, Zephyr and Phi, Mistral and Llama 2, DeepSeek); a prompt under none
of them is an instruction as it stands.

Where the prompt is given beside the whole text, the instruction is the prompt's and the response is what
follows it, whatever it holds. What a tokenizer makes of a prompt on its way through token ids is borne with:
a beginning that was cut off, a token of its own at the beginning, spaces that were taken away or put in. A
text that goes on from no such prompt is refused: guessing where its response begins lets the policy choose.

Without a prompt the last assistant's turn is taken, and a response that spells out a template's headers can
pass a part of itself for the instruction; `single_turn` takes everything after the first assistant's header
instead.
"""

import re
from dataclasses import dataclass

from judge.comparison import Instruction, Message, Role, flaw
from judge.errors import Fault, InvalidInput

_ENDS = (
    "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<end_of_turn>", "<|end|>", "</s>",
    "<eos>", "<pad>", "<|pad|>", "<|finetune_right_pad_id|>", "<｜end▁of▁sentence｜>",
)  # fmt: skip
_BEGINS = ("<s>", "<bos>", "<|begin_of_text|>", "<|endoftext|>", "<｜begin▁of▁sentence｜>")
_END = re.compile(rf"(?:\s*(?:{'|'.join(map(re.escape, _ENDS))}))+\s*$")
_BEGIN = re.compile(rf"^\s*(?:(?:{'|'.join(map(re.escape, _BEGINS))})\s*)+")
_HEADERS = (
    re.compile(r"<\|im_start\|>(\w+)\n"),
    re.compile(r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n"),
    re.compile(r"<start_of_turn>(\w+)\n"),
    re.compile(r"<｜(User|Assistant)｜>"),
    re.compile(r"<\|(system|user|assistant)\|>\n?"),
    re.compile(r"(\[/?INST\])[ ]?"),
)
_ROLES: dict[str, Role] = {
    "system": "system", "developer": "system", "assistant": "assistant", "model": "assistant",
    "[/inst]": "assistant",
}  # fmt: skip


_WORD = re.compile(r"\S+")
# Of a prompt whose beginning was cut off: fewer characters (spaces not counted) may be met by chance.
_SURE = 24


@dataclass(frozen=True, slots=True)
class Exchange:
    """An instruction and the response to it."""

    instruction: Instruction
    response: str


def split(text: str, prompt: str | None, field: str, *, single_turn: bool = False) -> Exchange:
    """Take apart a whole text, with the prompt that it begins with where that is known.

    Raises:
        InvalidInput: names `field`: the text does not go on from its prompt, or, without one, is under no
            known chat template; or there is no user's turn.
    """
    if prompt is not None:
        turns, rest = _turns(prompt), _after(prompt, text, field)
        begun = turns.pop().content if turns[-1].role == "assistant" else ""
        return Exchange(_instruction(turns, field), clean(begun + rest))
    if not any(header.search(text) for header in _HEADERS):
        raise InvalidInput(Fault(field, "is under no chat template that is known, and has no prompt"))
    turns = _turns(text, single_turn=single_turn)
    if turns[-1].role != "assistant":
        raise InvalidInput(Fault(field, "ends without an assistant's turn"))
    return Exchange(_instruction(turns[:-1], field), clean(turns[-1].content))


def instruction_of(prompt: str, field: str) -> Instruction:
    """The instruction of a prompt, under a chat template or not.

    Raises:
        InvalidInput: names `field`: there is no user's turn.
    """
    turns = _turns(prompt)
    return _instruction(turns[:-1] if turns[-1].role == "assistant" else turns, field)


def clean(response: str) -> str:
    """A response as it can be judged: without the control tokens that end it, or what no text may hold.

    A NUL character and half a surrogate pair, which policies write now and then, become U+FFFD and `?`.
    """
    sound = response.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    return _END.sub("", sound).strip()


def _after(prompt: str, text: str, field: str) -> str:
    """What follows the prompt, or as much of its end as the text begins with; spaces make no difference."""
    if text.startswith(prompt):
        return text[len(prompt) :]
    begun = _BEGIN.match(text)
    start = begun.end() if begun else 0
    wanted, found = _squeezed(_BEGIN.sub("", prompt)), _squeezed(text[start:])
    shared = _overlap(wanted, found)
    if shared < min(len(wanted), _SURE):
        raise InvalidInput(Fault(field, "begins neither with its prompt nor with the end of it"))
    return text[_place(text, start, shared) :]


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _overlap(prompt: str, text: str) -> int:
    """The length of the longest end of the prompt that the text begins with; 0 if it is not sure."""
    if text.startswith(prompt):
        return len(prompt)
    head = text[:_SURE]
    cut = prompt.find(head) if len(head) == _SURE else -1
    while cut >= 0:
        if text.startswith(prompt[cut:]):
            return len(prompt) - cut
        cut = prompt.find(head, cut + 1)
    return 0


def _place(text: str, start: int, count: int) -> int:
    """The index behind so many characters from `start` on, spaces not counted."""
    for word in _WORD.finditer(text, start):
        length = word.end() - word.start()
        if count <= length:
            return word.start() + count
        count -= length
    return len(text)


def _turns(text: str, *, single_turn: bool = False) -> list[Message]:
    """At least one turn; a text under no template is the user's."""
    header = next((header for header in _HEADERS if header.search(text)), None)
    body = _BEGIN.sub("", text)
    if header is None:
        return [Message("user", body)]
    found = list(header.finditer(body))
    if single_turn:
        first = next((n for n, match in enumerate(found) if _role(match[1]) == "assistant"), len(found) - 1)
        found = found[: first + 1]
    turns = [Message("system", body[: found[0].start()])] if body[: found[0].start()].strip() else []
    for place, match in enumerate(found):
        end = found[place + 1].start() if place + 1 < len(found) else len(body)
        content, role = body[match.end() : end], _role(match[1])
        # The last turn is kept as it is: where it is the response's beginning, its spaces belong to it.
        turns.append(Message(role, content if place + 1 == len(found) else _END.sub("", content).strip()))
    return turns


def _role(name: str) -> Role:
    # A tool's answer comes to the assistant as the user's words do.
    return _ROLES.get(name.lower(), "user")


def _instruction(turns: list[Message], field: str) -> Instruction:
    kept = [Message(turn.role, _END.sub("", turn.content).strip()) for turn in turns]
    kept = [turn for turn in kept if turn.content]
    if not kept or kept[-1].role != "user":
        raise InvalidInput(Fault(field, "has no user's turn before the response"))
    for turn in kept:
        if reason := flaw(turn.content):
            raise InvalidInput(Fault(field, reason))
    return Instruction(tuple(kept))
