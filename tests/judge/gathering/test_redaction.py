"""Redaction: what has a form is replaced, what only looks like it stays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judge.comparison import Instruction
from judge.gathering.redaction import redact, redact_instruction

FOUND = [
    ("Write to jane.doe+x@example.co.uk, please.", "Write to <EMAIL>, please.", None),
    ("Call +44 20 7946 0958 or (415) 555-2671.", "Call <PHONE> or <PHONE>.", "en"),
    ("Позвони 8 (495) 123-45-67", "Позвони <PHONE>", "ru"),
    ("Tel. 030 901820", "Tel. <PHONE>", "de"),
    ("手机 139 1234 5678", "手机 <PHONE>", "zh"),
    ("Pay to DE89 3704 0044 0532 0130 00 now", "Pay to <IBAN> now", None),
    ("Card 4111 1111 1111 1111, thanks", "Card <CARD>, thanks", None),
    ("My SSN is 536-90-4399.", "My SSN is <NATIONAL_ID>.", None),
    ("CPF 390.533.447-05", "CPF <NATIONAL_ID>", "pt"),
    ("身份证 11010519491231002X", "身份证 <NATIONAL_ID>", "zh"),
    ("It comes from 8.8.8.8 and 2001:4860:4860::8888", "It comes from <IP> and <IP>", None),
    ("Use sk-proj-abcdefghijklmnop1234", "Use <SECRET>", None),
    ("AKIAIOSFODNN7EXAMPLE is the key", "<SECRET> is the key", None),
    ("password: hunter2-x", "password: <SECRET>", None),
    ("Authorization: Bearer abcdef123456", "Authorization: Bearer <SECRET>", None),
    ("postgres://bob:s3cret@db.example.com/x", "postgres://<SECRET>@db.example.com/x", None),
    ("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----", "<SECRET>", None),
]
STAY = [
    "Multiply 12345678 by 4155552671.",
    "In 2023-2024 pi was 3.14159265358979 and 1234567890123456 was not a card.",
    "192.168.1.1 and 127.0.0.1 are private; v1.2.3.4 is a version.",
    "std::vector<int> a::b x[1:2] 10:30:45",
    "@dataclass def name(token: str): the key is to ask",
    "DE00 3704 0044 0532 0130 00 has wrong check digits.",
    "4111 1111 1111 1112 fails the check.",
]


@pytest.mark.parametrize(("text", "expected", "language"), FOUND)
def test_what_has_a_form_is_replaced(text, expected, language):
    assert redact(text, language) == expected


@pytest.mark.parametrize("text", STAY)
def test_what_only_looks_like_it_stays(text):
    assert redact(text) == text


@settings(deadline=None)  # the first number loads what is known of a country
@given(st.lists(st.sampled_from([text for text, *_ in FOUND] + STAY) | st.text(max_size=20), max_size=4))
def test_redacting_again_changes_nothing(parts):
    once = redact(" ".join(parts), "en")

    assert redact(once, "en") == once


def test_every_turn_is_redacted():
    turns = [{"role": role, "content": "I am a@b.org"} for role in ("system", "user", "assistant", "user")]

    redacted = redact_instruction(Instruction.from_json(turns))

    assert {turn.content for turn in redacted.messages} == {"I am <EMAIL>"}
