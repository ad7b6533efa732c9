"""Responses that say nothing: empty, punctuation alone, or an opening phrase that nothing follows.

Such texts win against real answers with many judges ("master keys", Zhao et al. 2025, arXiv 2507.08794),
so they are recognized without asking one. Only a whole response is ever matched.
"""

import unicodedata

from judge.comparison import fold

# Longer than any opener with its punctuation and white space; what is longer is not looked at.
_LONGEST = 200
NO_ANSWER = "the response holds no answer"
_OPENERS = (
    # English
    "answer", "final answer", "the answer is", "solution", "the solution is", "explanation", "thought",
    "thought process", "reasoning", "analysis", "response", "result", "step 1",
    "let's think step by step", "let's solve this step by step",
    "let's solve this problem step by step", "let us think step by step", "here is the answer",
    "here is my answer", "here's the answer", "here is the solution", "i will solve this step by step",
    # Chinese
    "解", "解答", "答案", "最终答案", "答", "分析", "思考过程", "推理过程", "解题思路",
    "让我们一步一步思考", "让我们一步一步地思考", "让我们一步一步地解决这个问题",
    "让我们一步步思考", "让我们一步一步解决这个问题",
    # Japanese
    "解答", "答え", "回答", "考察", "思考過程", "推論", "解説", "ステップバイステップで考えましょう",
    "段階的に考えましょう", "順を追って考えましょう",
    "順を追って解いていきましょう", "この問題を順を追って解いていきましょう",
    # Russian
    "ответ", "итоговый ответ", "решение", "анализ", "рассуждение", "ход мыслей", "ход рассуждений",
    "давайте подумаем шаг за шагом", "давай подумаем шаг за шагом", "давайте решим это шаг за шагом",
    "давайте решим эту задачу шаг за шагом",
    # Portuguese
    "resposta", "resposta final", "a resposta é", "solução", "análise", "raciocínio",
    "processo de pensamento", "vamos pensar passo a passo", "vamos resolver passo a passo",
    "vamos resolver isso passo a passo", "vamos resolver este problema passo a passo",
    # Spanish, German, French
    "respuesta", "solución", "pensemos paso a paso", "antwort", "lösung", "réponse", "solution",
)  # fmt: skip


def says_nothing(response: str) -> bool:
    """Whether a response holds no answer at all; emoji, digits and single letters are answers."""
    return len(response) <= _LONGEST and _bare(response) in _NOTHING


def _bare(text: str) -> str:
    """A text without punctuation and invisible characters, case and spacing folded."""
    kept = (char for char in text if char.isspace() or not unicodedata.category(char).startswith(("P", "C")))
    return fold("".join(kept))


_NOTHING = frozenset({"", *map(_bare, _OPENERS)})
