"""What a good response is: criteria by kind of instruction (scenario) or by purpose (preset).

The texts lie in `data/criteria.toml`, the trees in `data/scenarios.toml` and `data/presets.toml`. That there
are scenarios, and their names, is from Auto-J (arXiv 2310.05470); the criteria are Judgesmith's own.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypeVar, get_args

from judge.errors import Fault, InvalidInput

Language = Literal["en", "zh", "ru", "pt", "ja"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
Value = TypeVar("Value")
DEFAULT = "default"
FEWEST_CRITERIA = 5

# The most frequent short words of either language that the other does not have.
_PORTUGUESE = re.compile(
    r"\b(?:não|uma|um|com|para|por|você|que|é|os|da|do|dos|das|em|na|nas|nos|se|mais|como|são|está|isso|isto|meu|"
    r"minha|qual|quais|sobre|ao|à|seu|sua|foi|ou|e|eu|ele|ela|quando|também|já|só|muito|porque)\b"
)
_ENGLISH = re.compile(
    r"\b(?:the|of|and|to|in|is|are|an|that|it|for|on|with|this|be|by|or|from|at|what|how|you|your|i|my|does|can|"
    r"which|who|why|not|have|has|was|were|will|would|should|please|about)\b"
)


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing to look for: a short name and a sentence. A weight of 1 is ordinary."""

    name: str
    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Rubric:
    """Criteria, the most specific first. `source`: `scenario:…`, `preset:…` or `custom`."""

    criteria: tuple[Criterion, ...]
    source: str

    def lines(self) -> list[str]:
        """One line a criterion, as a judge reads it; weights are shown where they differ."""
        weighted = len({criterion.weight for criterion in self.criteria}) > 1
        return [
            f"- {item.name}{f' (×{item.weight:g})' if weighted else ''}: {item.text}"
            for item in self.criteria
        ]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of instruction. `default` belongs to no group."""

    name: str
    group: str | None
    description: str
    criteria: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preset:
    """A purpose, with the weight of each criterion."""

    name: str
    description: str
    weights: Mapping[str, float]


def scenario(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        InvalidInput: there is none.
    """
    return _known("scenario", name, scenarios())


def scenario_rubric(name: str, language: Language) -> Rubric:
    """The criteria of a scenario, all of the same weight.

    Raises:
        InvalidInput: there is no scenario of that name.
    """
    chosen = tuple(_criterion(key, language) for key in scenario(name).criteria)
    return Rubric(chosen, f"scenario:{name}")


def preset_rubric(name: str, language: Language) -> Rubric:
    """The weighted criteria of a preset.

    Raises:
        InvalidInput: there is no preset of that name.
    """
    preset = _known("preset", name, presets())
    chosen = tuple(_criterion(key, language, weight) for key, weight in preset.weights.items())
    return Rubric(chosen, f"preset:{name}")


@cache
def scenarios() -> Mapping[str, Scenario]:
    """All scenarios by name, `default` among them.

    Raises:
        ValueError: the data files disagree: an unknown name, a cycle, a scenario with too few criteria.
    """
    data = _read("scenarios.toml")
    found = {}
    for name, entry in data["scenarios"].items():
        criteria = resolve(entry, data["sets"])
        group = data["groups"][entry["group"]] if "group" in entry else None
        if len(criteria) < FEWEST_CRITERIA or not set(criteria) <= _catalog().keys():
            raise ValueError(f"scenario {name}: too few criteria, or unknown ones, in {criteria}")
        found[name] = Scenario(name, group, entry["description"], criteria)
    return found


@cache
def presets() -> Mapping[str, Preset]:
    """All presets by name.

    Raises:
        ValueError: a preset lists a criterion that the catalog does not have.
    """
    found = {}
    for name, entry in _read("presets.toml").items():
        if unknown := entry["criteria"].keys() - _catalog().keys():
            raise ValueError(f"preset {name}: unknown criteria {sorted(unknown)}")
        weights = {key: float(weight) for key, weight in entry["criteria"].items()}
        found[name] = Preset(name, entry["description"], weights)
    return found


def resolve(
    entry: Mapping[str, Any], sets: Mapping[str, Any], above: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """The criterion ids of a set or scenario: its own, then the inherited ones that it keeps.

    Raises:
        ValueError: it extends an unknown set, itself by way of others, or drops what it does not inherit.
    """
    parent, dropped = entry.get("extends"), entry.get("drop", [])
    if parent in above or (parent is not None and parent not in sets):
        raise ValueError(f"{parent} cannot be extended here (after {above})")
    inherited = resolve(sets[parent], sets, (*above, parent)) if parent else ()
    if strange := set(dropped) - set(inherited):
        raise ValueError(f"{sorted(strange)} cannot be dropped: {parent} does not have them")
    return tuple(dict.fromkeys([*entry.get("add", []), *(key for key in inherited if key not in dropped)]))


def detect_language(text: str) -> Language:
    """The language of a rubric for this text, by its scripts and, for Latin script, its most frequent words.

    Japanese is told from Chinese by its kana, Portuguese from English by short words. Other languages fall on
    the one with their script: Ukrainian on `ru`, Japanese without kana on `zh`, Spanish mostly on `pt`, the
    rest on `en`. Of a mixed text the larger part decides, whatever the request in it is written in; one
    Chinese or Japanese character counts as three letters.
    """
    kana = len(re.findall(r"[\u3041-\u30ff]", text))
    han = len(re.findall(r"[\u3400-\u9fff\uf900-\ufaff]", text))
    cyrillic = len(re.findall(r"[\u0400-\u04ff]", text))
    latin = len(re.findall(r"[A-Za-z\u00c0-\u024f]", text))
    if 3 * (kana + han) > max(cyrillic, latin):
        return "ja" if kana * 10 >= kana + han else "zh"
    if cyrillic > latin:
        return "ru"
    lower = text.casefold()
    return "pt" if len(_PORTUGUESE.findall(lower)) > len(_ENGLISH.findall(lower)) else "en"


def _criterion(key: str, language: Language, weight: float = 1.0) -> Criterion:
    name, text = _catalog()[key][language]
    return Criterion(name, text, weight)


@cache
def _catalog() -> Mapping[str, Mapping[Language, tuple[str, str]]]:
    catalog = _read("criteria.toml")
    for key, texts in catalog.items():
        if texts.keys() != set(LANGUAGES):
            raise ValueError(f"criterion {key}: needs the languages {', '.join(LANGUAGES)}")
    return catalog


def _known(field: str, name: str, known: Mapping[str, Value]) -> Value:
    if name not in known:
        raise InvalidInput(Fault(field, f"unknown {field} {name!r}{_nearest(name, known)}"))
    return known[name]


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((files("judge.prompts") / "data" / name).read_text(encoding="utf-8"))
