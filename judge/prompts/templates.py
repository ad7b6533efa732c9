"""The prompts of the judge: put together from the words of `data/prompts.toml`, in five languages.

What is in braces in a template is filled with text that is not ours. A template differs with what the
judge is given: a rubric in place of the general criteria, a reference answer. Each has a hash of its own.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from judge.prompts.guide import ENGLISH, TEN, Form, Scale
from judge.prompts.rubrics import Language


@dataclass(frozen=True, slots=True)
class Template:
    """One prompt.

    `user` is the user turn with `{fields}`. `labels` are the possible answers: the direct mode
    reads their probabilities; a reasoning mode appends `ending` and has the model choose one, when a
    completion stops without its final field.
    """

    name: str
    user: str
    labels: tuple[str, ...]
    ending: str = ""
    system: str = ""
    language: Language = "en"


@cache
def pairwise_direct(form: Form = ENGLISH) -> Template:
    """Two responses; the answer is the label A or B."""
    words = _words(form.language)
    ask = [words["pairwise"], _criteria(form)]
    user = "\n".join(ask) + f"\n\n{_two(form)}\n\n{words['pairwise_direct']}"
    return _template("pairwise-direct", user, ("A", "B"), form)


@cache
def pairwise_reasoning(form: Form = ENGLISH) -> Template:
    """Two responses; a rationale, then the verdict A or B."""
    words = _words(form.language)
    ask = [words["pairwise"], _criteria(form)]
    user = "\n".join(ask) + f"\n\n{_two(form)}\n\n{words['pairwise_reasoning']}"
    return _template("pairwise-reasoning", user, ("A", "B"), form, f"\n\n{words['verdict']}")


@cache
def pointwise(form: Form = ENGLISH) -> Template:
    """One response; the answer is the label Yes or No. Short: this is what a reward costs.

    Reads of several responses to one instruction have all in common up to the response, a rubric too.
    """
    words = _words(form.language)
    criteria = f"{_criteria(form)}\n\n" if form.rubric else ""
    return _template("pointwise", f"{criteria}{_one(form)}\n\n{words['pointwise']}", ("Yes", "No"), form)


@cache
def single_reasoning(form: Form = ENGLISH, scale: Scale = TEN) -> Template:
    """One response; a critique, then a rating on the scale."""
    words = _words(form.language)
    ask = words["single_reasoning"].replace("{low}", str(scale.low)).replace("{high}", str(scale.high))
    user = f"{words['single']}\n{_criteria(form)}\n\n{_one(form)}\n\n{ask}"
    return _template("single-reasoning", user, scale.labels, form, f"\n\n{words['rating']}")


@cache
def single_direct(form: Form = ENGLISH, scale: Scale = TEN) -> Template:
    """One response; the answer is a point of the scale, whose probabilities give an expected rating."""
    words = _words(form.language)
    ask = words["single_direct"].replace("{low}", str(scale.low)).replace("{high}", str(scale.high))
    user = f"{words['single']}\n{_criteria(form)}\n\n{_one(form)}\n\n{ask}"
    return _template("single-direct", user, scale.labels, form)


@cache
def suggesting(form: Form = ENGLISH) -> Template:
    """One response; up to three improvements, a line each."""
    words = _words(form.language)
    user = f"{_criteria(form)}\n\n{_one(form)}\n\n{words['suggest']}"
    return _template("suggesting", user, (), form)


def role(language: Language, name: str) -> str:
    """How a prompt in this language calls the speaker of a turn."""
    return str(_words(language)["roles"][name])


@cache
def headings() -> frozenset[str]:
    """Every section heading of every language, without brackets: what no text from outside may imitate."""
    names = ("conversation", "reference", "response", "response_a", "response_b", "end")
    return frozenset(str(words[name]) for words in _languages().values() for name in names)


def _template(name: str, user: str, labels: tuple[str, ...], form: Form, ending: str = "") -> Template:
    system = _words(form.language)["system"]
    return Template(name, user, labels, ending, system, form.language)


def _criteria(form: Form) -> str:
    words = _words(form.language)
    return f"{words['criteria_lead']}\n{{rubric}}" if form.rubric else str(words["criteria"])


def _one(form: Form) -> str:
    return _sections(form, ["response"])


def _two(form: Form) -> str:
    return _sections(form, ["response_a", "response_b"])


def _sections(form: Form, fields: list[str]) -> str:
    words = _words(form.language)
    shown = ["conversation", *(["reference"] if form.reference else []), *fields]
    return "".join(f"[{words[name]}]\n{{{name}}}\n\n" for name in shown) + f"[{words['end']}]"


def _words(language: Language) -> dict[str, Any]:
    return _languages()[language]


@cache
def _languages() -> dict[str, dict[str, Any]]:
    return tomllib.loads((files("judge.prompts") / "data" / "prompts.toml").read_text("utf-8"))
