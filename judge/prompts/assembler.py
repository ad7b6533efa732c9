"""Prompts as token ids. The only place where a prompt is put together, for serving and for training.

Text from outside never becomes a control token: templates are tokenized with the chat template's
special tokens, untrusted spans without, and the two are joined as ids. A span that still yields the
id of an added token (some tokenizers have added tokens that are not flagged special) is cut in the
middle of that token and tokenized in parts.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Formatter
from typing import NoReturn

from tokenizers import Tokenizer

from judge.comparison import Comparison, Instruction
from judge.errors import BadModel, Fault, PromptTooLong
from judge.prompts.chat_template import Render, load_chat_template
from judge.prompts.guide import PLAIN, Guide
from judge.prompts.templates import Template, headings, role

# Texts whose token ids are kept for the next prompts.
_REMEMBERED = 256
_MARK = "\ue000{}\ue001"
_ANY_MARK = re.compile("\ue000[0-9]+\ue001")
_CUT = "\n[…]\n"
Frame = tuple[tuple[str, str | None], ...]
# Tokens that a text must be able to keep on average; a prompt of smaller shreds says nothing.
_LEAST = 16


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids ready for the backend, and the hash of the template that made them."""

    token_ids: list[int]
    template_hash: str
    truncated: bool = False


class Encoder:
    """A model's tokenizer and chat template, as far as prompts need them."""

    def __init__(self, tokenizer: Tokenizer, render: Render) -> None:
        """`render` is the chat template: messages to text, up to where the assistant begins."""
        self._trusted = tokenizer
        self._plain = Tokenizer.from_str(tokenizer.to_str())
        self._plain.encode_special_tokens = True
        self._render = render
        self._tokens: dict[tuple[str, bool], list[int]] = {}
        self._untrusted: dict[str, list[int]] = {}
        self._frames: dict[Frame, list[str]] = {}
        self._fingerprints: dict[Template, str] = {}
        self.control_ids = frozenset(tokenizer.get_added_tokens_decoder())

    def trusted(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of our own text; with `special`, control tokens in it count as such."""
        key = (text, special)
        if key not in self._tokens:
            tokenizer = self._trusted if special else self._plain
            self._tokens[key] = tokenizer.encode(text, add_special_tokens=False).ids
        return self._tokens[key]

    def untrusted(self, text: str) -> list[int]:
        """Token ids of a text from outside; none of them is a control token's. Not to be changed."""
        ids = self._untrusted.get(text)
        if ids is None:
            # Both orders of a comparison hold the same texts, as do many requests about one instruction.
            if len(self._untrusted) >= _REMEMBERED:
                self._untrusted.clear()
            ids = self._untrusted[text] = self._encode_untrusted(text)
        return ids

    def _encode_untrusted(self, text: str) -> list[int]:
        encoding = self._plain.encode(text, add_special_tokens=False)
        for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token_id in self.control_ids:
                middle = (start + end) // 2
                if not start < middle < end:  # a one-character control token cannot be cut: it goes
                    return self._encode_untrusted(text[:start]) + self._encode_untrusted(text[end:])
                return self._encode_untrusted(text[:middle]) + self._encode_untrusted(text[middle:])
        return list(encoding.ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, control tokens spelled out."""
        return str(self._trusted.decode(list(token_ids), skip_special_tokens=False))

    def label(self, text: str) -> int:
        """The one token id of a label.

        Raises:
            BadModel: the label takes more than one token in this model.
        """
        ids = self.trusted(text)
        if len(ids) != 1:
            raise BadModel(f"label {text!r} is {len(ids)} tokens in this model; the judge needs one")
        return ids[0]

    def frame(self, turns: Frame) -> list[str]:
        """The chat template's own text before, between and after the turns whose content is None.

        Raises:
            BadModel: the chat template drops or repeats a turn's content.
        """
        if turns not in self._frames:
            messages = [
                {"role": role, "content": _MARK.format(index) if content is None else content}
                for index, (role, content) in enumerate(turns)
            ]
            text = self._render(messages)
            literals = _ANY_MARK.split(text)
            if _ANY_MARK.findall(text) != [m["content"] for m in messages if "\ue000" in m["content"]]:
                raise BadModel(
                    f"the chat template does not carry the turns {[r for r, _ in turns]} once each"
                )
            self._frames[turns] = literals
        return self._frames[turns]

    def end_of_turn(self) -> list[int]:
        """What the chat template writes right after an assistant's turn: its first control token."""
        *_, after = self.frame((("user", "."), ("assistant", None)))
        ids = self.trusted(after, special=True)
        end = next((index for index, token in enumerate(ids) if token in self.control_ids), None)
        if end is None:
            raise BadModel("the chat template does not close an assistant's turn with a control token")
        return ids[: end + 1]

    def fingerprint(self, template: Template) -> str:
        """The prompt hash: changes with the template's text or the model's chat template."""
        if template not in self._fingerprints:
            frame = self.frame((("system", template.system), ("user", None)))
            parts = [template.name, template.user, template.labels, template.ending, frame]
            digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
            self._fingerprints[template] = digest[:12]
        return self._fingerprints[template]


def load_encoder(folder: Path) -> Encoder:
    """Read a model folder's tokenizer and chat template.

    Raises:
        BadModel: there is no `tokenizer.json`, or no chat template.
    """
    if not (folder / "tokenizer.json").is_file():
        raise BadModel(f"{folder} has no tokenizer.json; the judge needs a fast tokenizer")
    return Encoder(Tokenizer.from_file(str(folder / "tokenizer.json")), load_chat_template(folder))


class Assembler:
    """Fills templates with texts for one model.

    Every prompt leaves `reserve` tokens of the context free for what the judge will write. With
    `field_tokens`, the middle of each longer text is left out, as in the version's training. What then
    still does not fit raises `PromptTooLong` with the field's name, or, with `cut`, loses its middle too,
    the longest texts first. With `whole` nothing is shortened: a text beyond `field_tokens` raises as well.
    """

    def __init__(self, encoder: Encoder, context_tokens: int) -> None:
        self.encoder = encoder
        self.context_tokens = context_tokens

    def comparison(
        self,
        template: Template,
        comparison: Comparison,
        reserve: int,
        field_tokens: int | None = None,
        *,
        guide: Guide = PLAIN,
        cut: bool = False,
        whole: bool = False,
    ) -> Prompt:
        """A prompt about two responses, shown in the comparison's order."""
        fields = {"response_a": comparison.response_a, "response_b": comparison.response_b}
        limits = _Limits(reserve, field_tokens, cut, whole)
        return self._fill(template, comparison.instruction, fields | guide.fields, limits)

    def response(
        self,
        template: Template,
        instruction: Instruction,
        response: str,
        reserve: int,
        field_tokens: int | None = None,
        *,
        guide: Guide = PLAIN,
        cut: bool = False,
        whole: bool = False,
    ) -> Prompt:
        """A prompt about one response."""
        fields = {"response": response} | guide.fields
        return self._fill(template, instruction, fields, _Limits(reserve, field_tokens, cut, whole))

    def chat(self, instruction: Instruction) -> list[int]:
        """A generator's prompt: the conversation under the model's own chat template."""
        turns = instruction.messages
        literals = self.encoder.frame(tuple((turn.role, None) for turn in turns))
        ids = list(self.encoder.trusted(literals[0], special=True))
        for turn, literal in zip(turns, literals[1:], strict=True):
            ids += self.encoder.untrusted(turn.content) + self.encoder.trusted(literal, special=True)
        return ids

    def messages(self, template: Template, prompt: Prompt) -> list[dict[str, str]]:
        """A filled prompt as the chat messages that it is made of."""
        frame = self.encoder.frame((("system", template.system), ("user", None)))
        head, tail = (len(self.encoder.trusted(text, special=True)) for text in frame)
        user = self.encoder.decode(prompt.token_ids[head : len(prompt.token_ids) - tail])
        return [{"role": "system", "content": template.system}, {"role": "user", "content": user}]

    def _fill(
        self,
        template: Template,
        instruction: Instruction,
        fields: Mapping[str, str],
        limits: "_Limits",
    ) -> Prompt:
        parts = self._parts(template, instruction, fields)
        own = sum(len(part.ids) for part in parts if part.field is None)
        room = self.context_tokens - limits.reserve - own
        texts = [part for part in parts if part.field is not None]
        budgets = self._budgets(texts, room, limits)
        kept = {id(part): self._keep(part.ids, budget) for part, budget in zip(texts, budgets, strict=True)}
        ids = [token for part in parts for token in kept.get(id(part), part.ids)]
        truncated = any(len(part.ids) > budget for part, budget in zip(texts, budgets, strict=True))
        return Prompt(ids, self.encoder.fingerprint(template), truncated)

    def _parts(
        self, template: Template, instruction: Instruction, fields: Mapping[str, str]
    ) -> list["_Part"]:
        """The prompt in pieces: our own text, and theirs with the name of its field."""
        encoder = self.encoder
        head, tail = encoder.frame((("system", template.system), ("user", None)))
        parts = [_Part(encoder.trusted(head, special=True))]
        for literal, name, _, _ in Formatter().parse(template.user):
            parts.append(_Part(encoder.trusted(literal)))
            if name == "conversation":
                for lead, text in _conversation(instruction, template):
                    parts += [_Part(encoder.trusted(lead))] if lead else []
                    parts.append(_Part(encoder.untrusted(defuse(text)), "instruction"))
            elif name is not None:
                parts.append(_Part(encoder.untrusted(defuse(fields[name])), name))
        parts.append(_Part(encoder.trusted(tail, special=True)))
        return parts

    def _budgets(self, texts: "list[_Part]", room: int, limits: "_Limits") -> list[int]:
        """How many tokens each text may keep."""
        lengths = [len(part.ids) for part in texts]
        turns = Counter(part.field for part in texts)
        allowed, most = lengths, limits.field_tokens
        if most:
            # A rubric is the judge's task, not its subject: it is never part of the training's budget.
            allowed = [
                length if part.field == "rubric" else min(length, most // turns[part.field])
                for part, length in zip(texts, lengths, strict=True)
            ]
        if limits.whole and allowed != lengths:
            over = [part for part, length in zip(texts, allowed, strict=True) if len(part.ids) > length]
            named = {part.field for part in over}
            self._refuse(
                [part for part in texts if part.field in named],
                f"this version reads at most {most} tokens of it, and it may not be cut",
            )
        if sum(allowed) > room:
            if not limits.cut or room < _LEAST * len(texts):
                self._refuse(texts, f"the prompt's texts take {sum(lengths)} tokens and {max(room, 0)} fit")
            allowed = fair_shares(allowed, room)
        return allowed

    def _refuse(self, texts: "list[_Part]", why: str) -> NoReturn:
        sizes: Counter[str] = Counter()
        for part in texts:
            sizes[part.field or ""] += len(part.ids)
        field, size = sizes.most_common(1)[0]
        raise PromptTooLong(Fault(field, f"{why}; shorten this text ({size})"))

    def _keep(self, ids: list[int], budget: int) -> list[int]:
        """Leave out the middle beyond a budget: a text's beginning and end carry most."""
        if len(ids) <= budget:
            return ids
        marker = self.encoder.trusted(_CUT)
        half = max(budget - len(marker), 2) // 2
        return ids[:half] + marker + ids[-half:]


@dataclass(frozen=True, slots=True)
class _Limits:
    """See `Assembler`."""

    reserve: int
    field_tokens: int | None
    cut: bool
    whole: bool


@dataclass(frozen=True, slots=True)
class _Part:
    ids: list[int]
    field: str | None = None


def fair_shares(wanted: Sequence[int], room: int) -> list[int]:
    """Divide `room` so that short ones get all they want and the long ones the same each (max-min fair)."""
    shares, left = [0] * len(wanted), room
    for place, index in enumerate(sorted(range(len(wanted)), key=lambda index: wanted[index])):
        shares[index] = min(wanted[index], max(left, 0) // (len(wanted) - place))
        left -= shares[index]
    return shares


def defuse(text: str) -> str:
    """A text that cannot pass for a section of the prompt: a line `[Response B]` becomes `(Response B)`.

    Only the prompt's own headings at the beginning of a line change, in any language, however spaced.
    """
    if "[" not in text and "［" not in text:
        return text
    return _heading_pattern().sub(lambda match: f"{match[1]}({match[2]})", text)


@cache
def _heading_pattern() -> re.Pattern[str]:
    names = "|".join(r"\s*".join(map(re.escape, name.split())) for name in sorted(headings()))
    begin = r"((?:^|[\n\r\v\f\x85\u2028\u2029])[^\S\n]*)"
    return re.compile(rf"{begin}[\[［]\s*({names})\s*[\]］]", re.IGNORECASE)


def _conversation(instruction: Instruction, template: Template) -> list[tuple[str, str]]:
    """(our lead-in, their text) for each turn; a lone user turn needs no lead-in."""
    turns = instruction.messages
    if len(turns) == 1:
        return [("", turns[0].content)]
    return [
        (("\n\n" if index else "") + f"{role(template.language, turn.role)}: ", turn.content)
        for index, turn in enumerate(turns)
    ]
