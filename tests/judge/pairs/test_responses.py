"""What disqualifies a generated response: tables of texts that must go and texts that must stay."""

import pytest

from judge.comparison import Instruction, PreferencePair
from judge.pairs.responses import (
    flaw,
    language,
    near_identical,
    refuses,
    repeats,
    rewrite_flaw,
    wrong_language,
)

LONG = (
    "The river rises in the hills above the town and runs past three mills before it reaches the lake. In "
    "spring it carries melt water, and the lower meadows are under water for a week or two. "
)
MUCH_ALIKE = LONG.replace(
    "runs past three mills before it reaches the lake", "is a mile wide, they say, by then"
)
LEAVES = "Листья падают осенью, потому что дереву зимой нужно беречь воду: корни почти не берут её из земли."


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I am very sorry, but I cannot assist with this request.",
        "Sorry, I am unable to open links.",
        "I cannot provide medical advice.",
        "I can’t help you with that request.",
        "Unfortunately, I cannot access the internet, so the weather is unknown to me.",
        "As an AI language model, I don't have personal opinions.",
        "**I'm sorry**, but as an AI I cannot do this.",
        "Es tut mir leid, aber dabei kann ich nicht helfen.",
        "Leider kann ich Ihnen dabei nicht helfen.",
        "Je suis désolé, mais je ne peux pas répondre à cette question.",
        "En tant qu'IA, je ne peux pas donner d'avis.",
        "Lo siento, pero no puedo ayudarte con eso.",
        "Desculpe, mas não posso ajudar com isso.",
        "Como um modelo de linguagem, não tenho opiniões.",
        "К сожалению, я не могу помочь с этим.",
        "Как языковая модель, я не имею личного мнения.",
        "很抱歉，我无法回答这个问题。",
        "作为一个人工智能语言模型，我没有个人观点。",
        "申し訳ありませんが、そのご質問にはお答えできません。",
    ],
)
def test_refusals(text):
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "You can't see the stars by day because the sky is brighter than they are.",
        "Sorry to hear that! Rest, drink enough, and see a doctor if the fever stays.",
        "I'm sorry for the late reply. The report is attached.",
        "We cannot know for sure, but most historians date the letter to 1790.",
        "An AI cannot feel; it computes what word is likely to come next.",
        "Lo siento por su pérdida es una frase de pésame.",
        "Es tut mir leid ist eine höfliche Entschuldigung.",
        "Извините за опоздание, отчёт во вложении.",
        "很抱歉听到这个消息，请保重身体。",
        "Dear Ms. Weaver, I am sorry that I missed our meeting. " + LONG + "I cannot help being late.",
    ],
)
def test_what_only_sounds_like_a_refusal(text):
    assert not refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "No, no, no. " * 20,
        "LA " * 60,
        LONG + "It is the best of the best of the best of the " * 12,
        "世界、世界、世界、世界、" * 20,
        "- item\n" * 60,
    ],
)
def test_repetition(text):
    assert repeats(text)


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        "No, no, no.",
        "\n".join(
            f"{i}. {word} is a kind of {word[::-1]} from {i * 7}" for i, word in enumerate(LONG.split())
        ),
        "def total(items):\n    result = 0\n    for item in items:\n        result += item.price\n"
        "    return result\n\n\ndef mean(items):\n    return total(items) / len(items)\n",
        "| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |\n| 4 | 5 | 6 |\n| 7 | 8 | 9 |\n| 10 | 11 | 12 |\n"
        "| 13 | 14 | 15 |\n| 16 | 17 | 18 |\n| 19 | 20 | 21 |\n",
    ],
)
def test_no_repetition(text):
    assert not repeats(text)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("如果我的学生的论文是你写的，我该怎么办？请给出三个建议。", LONG),
        (
            "Explain to a child why leaves fall in autumn, please.",
            LEAVES,
        ),
        ("Мені сумно сьогодні. Як я можу стати щасливішим завтра?", LONG),
        ("Welche drei Gründe sprechen dafür, im Winter Fahrrad zu fahren?", LONG),
    ],
)
def test_a_response_in_another_language(asked, answered):
    assert wrong_language(Instruction.of(asked), answered)
    assert flaw(Instruction.of(asked), answered, True) == "wrong_language"


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("Explain to a child why leaves fall in autumn, please.", LONG),
        ("Translate into Russian: The leaves fall in autumn.", LEAVES),
        ("Wie heißt das auf Englisch: Der Fluss entspringt in den Hügeln?", LONG),
        ("Переведи на английский: река берёт начало в холмах над городом", LONG),
        ("把下面这句话翻译成英文：这条河发源于镇子上方的山丘。", LONG),
        ("用 Python 写一个函数，返回列表中的最大值。", "```\ndef top(items):\n    return max(items)\n```"),
        ("2 + 2?", "四"),
        ("What does `ñandú` mean in a menu from Buenos Aires, and how is it cooked?", "Rhea."),
        ("Explain the word Schadenfreude.", "Schadenfreude is joy about the misfortune of somebody else."),
    ],
)  # fmt: skip
def test_a_response_whose_language_is_right_or_unknown(asked, answered):
    assert not wrong_language(Instruction.of(asked), answered)


def test_an_earlier_turn_may_have_asked_for_the_language():
    turns = [
        {"role": "system", "content": "Always answer in German."},
        {"role": "user", "content": "Explain to a child why leaves fall in autumn, please."},
    ]
    answer = "Im Herbst wirft der Baum seine Blätter ab, weil er im Winter Wasser sparen muss."

    assert not wrong_language(Instruction.from_json(turns), answer)
    assert wrong_language(Instruction.from_json(turns[1:]), answer)


def test_variants_of_a_language_are_one():
    assert language("呢度嘅人全部都係講廣東話嘅，你聽唔聽得明佢哋講乜嘢呀？") in ("zh", None)
    assert language("Der Fluss entspringt in den Hügeln oberhalb der Stadt.") == "de"


@pytest.mark.parametrize(
    ("response", "finished", "reason"),
    [
        ("", True, "empty"),
        ("...", True, "empty"),
        ("Answer:", True, "empty"),
        ("Blue.", True, "too_short"),
        ("I'm sorry, but I can't help with that.", True, "refusal"),
        ("so it goes on and on " * 12, True, "repetition"),
        ("The river rises in the hills and then", False, "cut_off"),
        ("The river rises in the hills and then", True, None),
        ("The river rises in the hills.", False, None),
        ("```python\nprint(1)\n```", False, None),
        ("这条河发源于镇子上方的山丘。", False, None),
        (LONG, True, None),
    ],
)
def test_the_reason_is_named(response, finished, reason):
    assert flaw(Instruction.of("这条河" if "河" in response else "Tell me."), response, finished) == reason


def pair(strategy, chosen, rejected):
    return PreferencePair(Instruction.of("x"), chosen, rejected, strategy)


@pytest.mark.parametrize(
    ("strategy", "chosen", "rejected", "near"),
    [
        ("neighbor", LONG, LONG.upper(), True),
        ("modified", LONG, LONG.replace("three", "four"), True),
        ("modified", LONG, MUCH_ALIKE, True),
        ("neighbor", LONG, MUCH_ALIKE, False),
        ("random", "这条河发源于镇子上方的山丘。", "这条河发源于镇子上方的山丘！", True),
        (
            "random",
            LONG,
            "Bread is made of flour, water, salt and yeast; the dough has to rise twice.",
            False,
        ),
        ("shortened", LONG[:97], LONG, False),
        # Alike on purpose: the fault is in the difference.
        ("requirement", LONG.upper(), LONG, False),
        ("corrupted", LONG, LONG.replace("three mills", "mills three"), False),
    ],
)
def test_pairs_of_nearly_the_same_response(strategy, chosen, rejected, near):
    assert near_identical(pair(strategy, chosen, rejected)) == near


@pytest.mark.parametrize(
    ("original", "rewritten", "finished", "reason"),
    [
        ("Explain how bread dough rises.", "Explain how to bake bread from sour dough.", True, None),
        ("解释为什么天空是蓝色的。", "解释为什么日落时天空是红色的。", True, None),
        ("Explain how bread dough rises.", "Please explain how bread dough rises.", True, "rewrite_same"),
        ("Explain how bread dough rises.", "Explain how bread dough rises", True, "rewrite_same"),
        ("Explain how bread dough rises.", "Explain  HOW bread dough rises.", True, "rewrite_same"),
        ("Explain how bread dough rises.", "Name the capitals of Asia.", True, "rewrite_off_topic"),
        ("解释为什么天空是蓝色的。", "I'm ready to help. What can I do today?", True, "rewrite_off_topic"),
        ("Explain how bread dough rises.", "Explain how to bake", False, "rewrite_cut_off"),
        ("Explain how bread dough rises.", "Bake.", True, "rewrite_no_request"),
        (
            "Explain how bread dough rises.",
            "Sure!\n\nExplain how bread is baked.",
            True,
            "rewrite_no_request",
        ),
        ("Explain how bread dough rises.", "Explain bread. " * 60, True, "rewrite_no_request"),
        (
            "Explain how bread dough rises.",
            "I'm sorry, I can't help with bread dough.",
            True,
            "rewrite_refused",
        ),
    ],
)
def test_what_is_a_modified_instruction(original, rewritten, finished, reason):
    assert rewrite_flaw(original, rewritten, finished) == reason
