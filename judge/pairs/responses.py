"""What disqualifies a generated response, and a pair of responses. Pure, given the texts.

Each check names its reason; whoever drops a text counts it by that reason (`judge.teaching.funnel`). They
are made to be wrong in one direction: a text that is dropped for nothing costs little, but only what is
surely useless is dropped, because a small generator has little to spare.
"""

import re
from collections.abc import Mapping

from judge import languages
from judge.comparison import Instruction, PreferencePair, fold
from judge.pairs.similarity import likeness
from judge.pairs.strategies import usable
from judge.prompts.openers import says_nothing

# Strategies of `judge.pairs.strategies` whose rejected response was written for itself. In the others it is
# the chosen one with a fault put in, so that the two are alike on purpose.
WRITTEN_APART = ("neighbor", "modified", "random", "hotter", "logged", "later", "shortened")
_NEAR = 0.9
# A response to a related request that reads much like the one to this request may serve it as well.
_NEAR_RELATED = 0.6
_RELATED, _SAME = 0.25, 0.8
_FEWEST, _LONGEST = 10, 600
_OPENING = 160
_SHORTEST, _GRAM, _DISTINCT = 120, 12, 0.5
_SURE, _ENOUGH = 0.95, 40
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_WHOLE = re.compile(r"[.!?…。！？।؟:;)\]}»”’\"'`*|>」』）】]\s*\Z")

_REFUSALS = (
    # English
    r"(?:i['’]?m|i am)?\s*(?:very |so |really |deeply )?sorry,? (?:but )?(?:i|as an)\b.{0,40}"
    r"(?:can['’]?t|cannot|can not|unable|not able|won['’]?t|don['’]?t have)",
    r"(?:unfortunately,? |i apologi[sz]e,? (?:but )?)?(?:i|we) (?:can['’]?t|cannot|can not|won['’]?t|"
    r"am unable to|am not able to|must decline to|have to decline to) (?:help|assist|do|provide|comply|"
    r"fulfill|support|answer|create|write|generate|engage|discuss|access|browse|open)",
    r"as an? (?:ai|artificial intelligence|language model|large language model)\b.{0,60}"
    r"(?:can['’]?t|cannot|don['’]?t|do not|unable|not able|not capable|am not)",
    r"i['’]?m (?:unable|not able) to\b",
    # German, French, Spanish, Portuguese
    r"(?:es )?tut mir leid,? (?:aber )?.{0,40}(?:kann|nicht)",
    r"(?:das |leider )?kann ich (?:dir |ihnen |euch )?(?:das |dabei |leider )*nicht "
    r"(?:helfen|beantworten|tun)",
    r"als (?:ki|künstliche intelligenz|sprachmodell)\b.{0,60}nicht",
    r"(?:je suis )?désolée?,? (?:mais )?.{0,40}(?:ne (?:peux|puis)|impossible|pas)",
    r"en tant qu['’](?:ia|intelligence artificielle|assistant).{0,60}(?:ne (?:peux|puis)|pas)",
    r"lo (?:siento|lamento),? (?:pero )?.{0,40}no (?:puedo|podemos|me es posible)",
    r"como (?:una? )?(?:modelo de lenguaje|ia|inteligencia artificial).{0,60}no (?:puedo|tengo)",
    r"(?:desculpe|sinto muito|lamento),? (?:mas )?.{0,40}não (?:posso|consigo|podemos)",
    r"como (?:um |uma )?(?:modelo de linguagem|ia|inteligência artificial).{0,60}não (?:posso|consigo|tenho)",
    # Russian
    r"(?:к сожалению|извините|простите|мне жаль),? (?:но )?.{0,40}не (?:могу|можем|имею|в состоянии)",
    r"как (?:языковая модель|ии|искусственный интеллект|нейросеть).{0,60}не ",
    # Chinese, Japanese
    r"(?:非常|很)?(?:抱歉|对不起|對不起|不好意思)[，,、。!！]?.{0,20}(?:不能|无法|無法|不可以|没有办法)",
    r"(?:作为|身为)(?:一个|一名)?(?:ai|人工智能|大?语言模型).{0,40}(?:不能|无法|没有)",
    r"(?:大変)?(?:申し訳|すみません|ごめんなさい).{0,60}(?:できません|できかねます|いたしかねます|お答えできない)",
)
_EMPHASIS = re.compile(r"[*_#>]+")
_REFUSAL = re.compile(rf"[\W_]*(?:{'|'.join(_REFUSALS)})", re.IGNORECASE | re.DOTALL)

# A request that speaks of a language may rightly be answered in it.
_NAMES = re.compile(
    r"translat|\b(?:english|german|french|spanish|portuguese|italian|dutch|russian|ukrainian|polish|chinese|"
    r"mandarin|japanese|korean|arabic|hindi|turkish|latin|greek|swedish|language)\b|"
    r"übersetz|sprache|\b(?:englisch|deutsch|französisch|spanisch|russisch|chinesisch|japanisch)|"
    r"tradui|trad[uú]|langue|lengua|idioma|língua|\b(?:anglais|inglés|inglês|français|francés|francês|español|"
    r"espanhol|alemán|alemão|allemand|chino|chinês|chinois|japonés|japonês|japonais|ruso|russo|russe)\b|"
    r"перевед|перевод|язык|английск|немецк|французск|испанск|русск|китайск|японск|по-[а-я]+ски|"
    r"翻译|翻譯|翻訳|译成|语言|[英汉中日法德俄韩]文|[英汉中日法德俄韩]语|[英日独仏中韓]語|言語",
    re.IGNORECASE,
)


def flaw(instruction: Instruction, response: str, finished: bool) -> str | None:
    """Why a generated text cannot serve as a response, or None.

    `finished` is False where the generator was cut off; a text that then was cut back to its last whole
    sentence (`judge.pairs.strategies.whole_sentences`) is whole.
    """
    if says_nothing(response):
        return "empty"
    if not usable(response):
        return "too_short"
    if refuses(response):
        return "refusal"
    if repeats(response):
        return "repetition"
    if wrong_language(instruction, response):
        return "wrong_language"
    if not finished and not _WHOLE.search(response):
        return "cut_off"
    return None


def rewrite_flaw(original: str, rewritten: str, finished: bool) -> str | None:
    """Why what a generator wrote is no modification of an instruction, or None.

    A modified instruction is whole, about as long as its original at most, on the same subject (alike to a
    degree that unrelated requests seldom are) and another request.
    """
    if not finished:
        return "rewrite_cut_off"
    long = len(rewritten) > max(_LONGEST, 2 * len(original))
    if len(rewritten) < _FEWEST or long or ("\n\n" in rewritten and "\n\n" not in original):
        return "rewrite_no_request"
    if refuses(rewritten):
        return "rewrite_refused"
    degree = likeness(original, rewritten)
    if degree >= _SAME or fold(original) == fold(rewritten):
        return "rewrite_same"
    return "rewrite_off_topic" if degree < _RELATED else None


def near_identical(pair: PreferencePair) -> bool:
    """Whether two responses that were written apart are nearly the same text (`modified`, `later`: alike)."""
    if pair.strategy not in WRITTEN_APART:
        return False
    same = fold(pair.chosen) == fold(pair.rejected)
    near = _NEAR_RELATED if pair.strategy in ("modified", "later") else _NEAR
    return same or likeness(pair.chosen, pair.rejected) >= near


def refuses(response: str) -> bool:
    """Whether a response opens by declining; a refusal may be right, but then no pair's label is."""
    return _REFUSAL.match(_EMPHASIS.sub("", response[:_OPENING])) is not None


def repeats(response: str) -> bool:
    """Whether most of a longer text repeats itself: less than half of its 12-character spans differ."""
    text = fold(response)
    spans = len(text) - _GRAM + 1
    if len(text) < _SHORTEST:
        return False
    return len({text[start : start + _GRAM] for start in range(spans)}) < _DISTINCT * spans


def wrong_language(instruction: Instruction, response: str) -> bool:
    """Whether the response is surely in another language than the request, which names none.

    Code and addresses are left out; texts below 40 characters, or of which the detector is not sure, pass.
    """
    if any(_NAMES.search(turn.content) for turn in instruction.messages):
        return False
    asked, answered = language(instruction.text), language(response)
    return asked is not None and answered is not None and asked != answered


def language(text: str) -> str | None:
    """The ISO 639 code of a text's language, or None where it is short or mixed."""
    prose = " ".join(_CODE.sub(" ", text).split())
    # A character of Chinese or Japanese says as much as three letters.
    if len(prose.encode()) < _ENOUGH:
        return None
    code, probability = languages.guess(prose)
    return _VARIANTS.get(code, code) if probability >= _SURE else None


# Not told apart here: one answers the other's speakers.
_VARIANTS: Mapping[str, str] = {
    "wuu": "zh", "yue": "zh", "nb": "no", "nn": "no", "da": "no", "bs": "hr", "sr": "hr", "ms": "id",
    "pcm": "en", "gl": "pt",
}  # fmt: skip
