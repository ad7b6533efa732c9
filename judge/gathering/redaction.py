"""Personal data and secrets in texts, replaced by placeholders such as `<EMAIL>`. Pure.

What has a form is found by its form and, where it has one, by its check digits: addresses, numbers, keys.
Names and places have none, and stay (docs/decisions/0010-redaction.md).
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from phonenumbers import Leniency, PhoneNumberMatcher
from stdnum import iban, luhn
from stdnum.br import cnpj, cpf
from stdnum.cn import ric
from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.in_ import aadhaar
from stdnum.it import codicefiscale
from stdnum.pl import pesel
from stdnum.ru import inn
from stdnum.us import ssn

from judge.comparison import Instruction

Span = tuple[int, int, str]
# Whoever writes a number without its country means their own; the text's language says which that may be.
_REGIONS = {
    "en": ("US", "GB"), "de": ("DE",), "fr": ("FR",), "es": ("ES", "MX"), "pt": ("BR", "PT"), "it": ("IT",),
    "ru": ("RU",), "uk": ("UA",), "pl": ("PL",), "nl": ("NL",), "zh": ("CN",), "ja": ("JP",), "ko": ("KR",),
    "tr": ("TR",), "hi": ("IN",),
}  # fmt: skip
# Without one of these there is nothing to look for: most instructions are done here.
_MAY_HOLD = re.compile(r"[@\d]|key|secret|token|passw|bearer|begin", re.IGNORECASE)

_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # a JSON web token
    r"|\b(?:sk|pk|rk)[-_](?:[a-z]+[-_])*[A-Za-z0-9_-]{16,}"
    r"|\bjsk_[0-9a-f]{12}_[\w-]{20,}"
    r"|\b(?:gh[pousr]_|github_pat_|glpat-|hf_|npm_|pypi-|xox[abeoprs]-)[A-Za-z0-9_-]{16,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bAIza[\w-]{35}",
    re.DOTALL,
)
# What follows a name that says so: `password: …`, `api_key=…`, `Authorization: Bearer …`.
_NAMED_SECRET = re.compile(
    r"(?:\b(?:pass(?:word|wd|phrase)|secret|api[ _-]?key|access[ _-]?token|auth[ _-]?token)\b[\"']?\s*[:=]\s*"
    r"|\bbearer\s+)[\"']?(?=[^\s\"',;]*[\d_-])([^\s\"',;<>]{6,})",
    re.IGNORECASE,
)
_CREDENTIALS = re.compile(r"(?<=://)[^\s/:@<>]+:[^\s/@<>]+(?=@)")
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]*\w@\w(?:[\w-]*\w)?(?:\.\w(?:[\w-]*\w)?)+")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", re.IGNORECASE)
_CARD = re.compile(r"(?<![\d.])[3-6]\d{3}(?:[ -]?\d){9,15}(?![\d.]\d|\d)")
_IP4 = re.compile(r"(?<![\d.vV])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]\d|\d)")
_IP6 = re.compile(r"(?<![\w:])(?=[\w:]{9})(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}(?![\w:])", re.IGNORECASE)
# Numbers of persons. Only in the written form of their country, or where their check digits leave no doubt.
_NUMBERS: tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...] = (
    (re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])"), ssn.is_valid),
    (re.compile(r"(?<!\d)\d{3}\.\d{3}\.\d{3}-\d{2}(?!\d)"), cpf.is_valid),
    (re.compile(r"(?<!\d)\d{2}\.\d{3}\.\d{3}/\d{4}-\d{2}(?!\d)"), cnpj.is_valid),
    (re.compile(r"(?<!\d)\d{17}[\dXx](?!\w)"), ric.is_valid),
    (re.compile(r"(?<!\w)\d{8}-?[A-Z](?!\w)"), dni.is_valid),
    (re.compile(r"(?<!\w)[XYZ]-?\d{7}-?[A-Z](?!\w)"), nie.is_valid),
    (re.compile(r"(?<!\w)[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}(?!\w)"), nir.is_valid),
    (re.compile(r"(?<!\d)[2-9]\d{3} \d{4} \d{4}(?!\d)"), aadhaar.is_valid),
    (re.compile(r"(?<!\w)[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z](?!\w)"), codicefiscale.is_valid),
    (re.compile(r"(?i:pesel\W{0,3})(\d{11})(?!\d)"), pesel.is_valid),
    (re.compile(r"(?i:инн\W{0,3})(\d{12})(?!\d)"), inn.is_valid),
)


def redact_instruction(instruction: Instruction, language: str | None = None) -> Instruction:
    """An instruction with every turn redacted."""
    turns = tuple(replace(turn, content=redact(turn.content, language)) for turn in instruction.messages)
    return Instruction(turns)


def redact(text: str, language: str | None = None) -> str:
    """The text with placeholders; redacting the result again changes nothing.

    `language` (ISO 639-1) says in which countries' form numbers without a country code may be written.
    """
    if not _MAY_HOLD.search(text):
        return text
    parts, end = [], 0
    for start, stop, kind in _spans(text, language):
        parts += [text[end:start], f"<{kind}>"]
        end = stop
    return "".join(parts) + text[end:]


def _spans(text: str, language: str | None) -> list[Span]:
    """What was found, in order and apart: of two that overlap, the one of the earlier kind counts."""
    kept: list[Span] = []
    for span in _found(text, language):
        if all(span[1] <= other[0] or span[0] >= other[1] for other in kept):
            kept.append(span)
    return sorted(kept)


def _found(text: str, language: str | None) -> Iterator[Span]:
    yield from _matches(_SECRET, text, "SECRET")
    yield from _matches(_CREDENTIALS, text, "SECRET")
    if "@" in text:
        yield from _matches(_EMAIL, text, "EMAIL")
    yield from _matches(_NAMED_SECRET, text, "SECRET")
    if not any(character.isdigit() for character in text):
        return
    yield from _matches(_IBAN, text, "IBAN", iban.is_valid)
    yield from _matches(_CARD, text, "CARD", _is_card)
    for pattern, is_valid in _NUMBERS:
        yield from _matches(pattern, text, "NATIONAL_ID", is_valid)
    yield from _matches(_IP4, text, "IP", _is_public)
    yield from _matches(_IP6, text, "IP", _is_public)
    yield from _phones(text, language)


def _matches(
    pattern: re.Pattern[str], text: str, kind: str, is_valid: Callable[[str], bool] | None = None
) -> Iterator[Span]:
    """The matches' last group, which is the whole match where there is none."""
    for match in pattern.finditer(text):
        group = pattern.groups
        if is_valid is None or is_valid(match[group]):
            yield match.start(group), match.end(group), kind


def _phones(text: str, language: str | None) -> Iterator[Span]:
    if "+" in text:
        for match in PhoneNumberMatcher(text, None, leniency=Leniency.VALID):
            yield match.start, match.end, "PHONE"
    for region in _REGIONS.get(language or "en", ()):
        # Strict: a number must be grouped as its country groups it. A plain row of digits may be anything.
        for match in PhoneNumberMatcher(text, region, leniency=Leniency.STRICT_GROUPING):
            if not match.raw_string.isdigit():
                yield match.start, match.end, "PHONE"


def _is_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and luhn.is_valid(digits)


def _is_public(text: str) -> bool:
    """Addresses that name nobody (loopback, private networks, documentation) stay."""
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False
