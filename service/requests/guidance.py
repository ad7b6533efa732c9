"""From a request's words about how to judge to what the judge takes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from judge.judging.judge import Options
from judge.prompts.guide import Guide
from judge.prompts.rubrics import Criterion, Language, Rubric, detect_language, preset_rubric, scenario_rubric
from service.schemas.base import Guided, JudgedBy
from service.schemas.judging import JudgeOptions, PairwiseRequest

if TYPE_CHECKING:
    from judge.prompts.scenarios import ScenarioClassifier

# Votes per order that a cascade may cast where the request does not say.
_CASCADE_VOTES = 16


@dataclass(frozen=True, slots=True)
class Guidance:
    """What a request comes to. `source` and `criteria` are empty for the general criteria."""

    guide: Guide
    source: str | None = None
    criteria: tuple[Criterion, ...] = ()

    def named(self) -> dict[str, Any]:
        """How an answer names it."""
        return {"language": self.guide.language, "rubric": self.source}

    def alone(self, criterion: Criterion) -> Guide:
        """A prompt about one criterion."""
        lines = Rubric((criterion,), "custom").lines()
        return Guide(self.guide.language, "\n".join(lines), self.guide.reference)


async def guidance(request: Guided, classifier: "Callable[[], ScenarioClassifier]") -> Guidance:
    """What the request asks for; `auto` is decided by the instruction's last user turn.

    Raises:
        InvalidInput: a scenario or preset that there is not.
    """
    found = await criteria(request, request.to_instruction().text, classifier)
    return replace(found, guide=replace(found.guide, reference=request.reference))


async def criteria(request: JudgedBy, text: str, classifier: "Callable[[], ScenarioClassifier]") -> Guidance:
    """The same without a reference; `text` is what `auto` is decided by."""
    language = detect_language(text) if request.language == "auto" else request.language
    if isinstance(request.rubric, str):
        return Guidance(Guide(language, request.rubric), "custom")
    scenario = request.scenario
    if scenario == "auto":
        # In a thread: the first time, the classifier is fitted.
        scenario, _ = await asyncio.to_thread(lambda: classifier().predict(text))
    rubric = _rubric(request, scenario, language)
    if rubric is None:
        return Guidance(Guide(language))
    lines = "\n".join(rubric.lines())
    return Guidance(Guide(language, lines), rubric.source, rubric.criteria)


def _rubric(request: JudgedBy, scenario: str | None, language: Language) -> Rubric | None:
    if isinstance(request.rubric, list):
        items = (Criterion(item.name, item.description, item.weight) for item in request.rubric)
        return Rubric(tuple(items), "custom")
    if scenario:
        return scenario_rubric(scenario, language)
    return preset_rubric(request.preset, language) if request.preset else None


def options(request: JudgedBy, guide: Guide, salt: str) -> Options:
    """How the judge shall judge."""
    cut = request.long_texts == "cut"
    chosen = Options(guide, cut=cut, whole=not cut, salt=salt)
    if isinstance(request, JudgeOptions):
        chosen = replace(
            chosen, votes=request.votes or 1, seed=request.seed, rationale_tokens=request.rationale_tokens
        )
    if isinstance(request, PairwiseRequest):
        chosen = replace(
            chosen,
            strategy=request.strategy,
            votes=request.votes or (_CASCADE_VOTES if request.mode == "cascade" else 1),
            stopping=request.stopping,
            allow_tie=request.allow_tie,
            threshold=request.threshold,
        )
    return chosen
