"""One decision: prompts for every order and vote, the backend's answers, one verdict.

A `Judge` is one model version on the backends. Every answer names the weights that made it; a decision
whose answers do not all come from this judge's version raises `VersionChanged`, and whoever asked takes
the new champion and asks again. So no decision mixes versions, without any lock between the processes.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from judge.comparison import Comparison, Instruction, Side, other
from judge.errors import VersionChanged
from judge.llm import Backends, Sampling
from judge.prompts import Assembler, Prompt, load_encoder
from judge.scoring import (
    Calibration,
    LabelRead,
    Strategy,
    expected_rating,
    pairwise_log_odds,
    pointwise_log_odds,
)
from judge.templates import (
    PAIRWISE_DIRECT,
    PAIRWISE_REASONING,
    POINTWISE,
    SINGLE_REASONING,
    Template,
)
from judge.verdict import Verdict, parse_rating, parse_verdict
from judge.versions import Manifest, VersionStore
from judge.voting import Decision, OrderResult, Rating, Usage, Vote, majority, share_for_a, tally

# Tokens kept free for the final field that `Judge._judge` may append.
_CLOSING = 24
_UNSWAPPED: dict[Verdict, Verdict] = {"a": "b", "b": "a", "tie": "tie", "invalid": "invalid"}


@dataclass(frozen=True, slots=True)
class Judgment:
    """One completion of the judge about a prompt, closed with its final field."""

    text: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Reads:
    """Label reads of several prompts, what they took, and whether any text was cut."""

    reads: list[LabelRead]
    usage: Usage
    truncated: bool


@dataclass(frozen=True, slots=True)
class Odds:
    """Uncalibrated log-odds that A is better: overall, and with A and with B shown first."""

    overall: float
    per_order: tuple[float, float]
    usage: Usage
    truncated: bool


class Judge:
    """One model version, ready to judge."""

    def __init__(
        self,
        version: str,
        manifest: Manifest,
        assembler: Assembler,
        backends: Backends,
        *,
        reasoning_tokens: int = 512,
        field_tokens: int | None = None,
    ) -> None:
        """`field_tokens`: cut longer texts in the middle (see `Assembler`); default: as the manifest says."""
        self.version = version
        self.manifest = manifest
        self.assembler = assembler
        self.backends = backends
        self.reasoning_tokens = reasoning_tokens
        self.field_tokens = field_tokens or manifest.field_tokens

    @classmethod
    def load(
        cls, store: VersionStore, version: str, backends: Backends, max_model_len: int, **options: int | None
    ) -> "Judge":
        """Read a version's manifest and tokenizer."""
        encoder = load_encoder(store.path(version))
        assembler = Assembler(encoder, max_model_len)
        return cls(version, store.manifest(version), assembler, backends, **options)  # type: ignore[arg-type]

    def prompt_hash(self, template: Template) -> str:
        """The hash of a template under this model's chat template."""
        return self.assembler.encoder.fingerprint(template)

    def calibration(self, strategy: Strategy) -> Calibration:
        """What the manifest says about a strategy."""
        stored = self.manifest.calibration.get(strategy)
        return Calibration(**stored.model_dump()) if stored else Calibration()

    async def direct(
        self, comparison: Comparison, *, strategy: Strategy | None = None, allow_tie: bool = True
    ) -> Decision:
        """Decide from label probabilities, without generating; both orders, or two single reads."""
        strategy = strategy or self.manifest.strategy
        calibration = self.calibration(strategy)
        odds = await self.log_odds(comparison, strategy)
        verdict = calibration.verdict(odds.overall, allow_tie=allow_tie)
        first_sides: tuple[Side, Side] = ("a", "b")
        orders = tuple(
            OrderResult(first, calibration.verdict(one, allow_tie=allow_tie), calibration.probability(one))
            for first, one in zip(first_sides, odds.per_order, strict=True)
        )
        return Decision(
            verdict=verdict,
            probability_a=calibration.probability(odds.overall),
            orders=orders,
            mode="direct",
            strategy=strategy,
            model_version=self.version,
            prompt_hash=self.prompt_hash(PAIRWISE_DIRECT if strategy == "pairwise" else POINTWISE),
            usage=odds.usage,
            truncated=odds.truncated,
            reason="both responses are exactly equally likely" if verdict == "invalid" else None,
            votes={},
        )

    async def log_odds(self, comparison: Comparison, strategy: Strategy) -> Odds:
        """Read the labels of one comparison by one strategy."""
        if strategy == "pointwise":
            responses = (comparison.response_a, comparison.response_b)
            found = await self.read_responses(comparison.instruction, responses)
            odds = pointwise_log_odds(*found.reads)
            return Odds(odds, (odds, odds), found.usage, found.truncated)
        prompts = [self.comparison_prompt(PAIRWISE_DIRECT, comparison, first, 1) for first in ("a", "b")]
        found = await self._read_all(PAIRWISE_DIRECT, prompts)
        a_first, b_first = found.reads
        per_order = (a_first.margin, -b_first.margin)
        return Odds(pairwise_log_odds(a_first, b_first), per_order, found.usage, found.truncated)

    async def read_responses(self, instruction: Instruction, responses: Sequence[str]) -> Reads:
        """Pointwise label reads of several responses to one instruction, in their order."""
        prompts = [
            self.assembler.response(POINTWISE, instruction, response, 1, self.field_tokens)
            for response in responses
        ]
        return await self._read_all(POINTWISE, prompts)

    async def reason(
        self,
        comparison: Comparison,
        *,
        votes: int = 1,
        allow_tie: bool = True,
        seed: int | None = None,
    ) -> Decision:
        """Decide by judgments with a rationale: `votes` in each order; one vote is greedy.

        The judge is never offered a tie, as in its training; a tie is what an even split of votes is.
        """
        sampling = self.sampling(votes, seed)
        jobs = [
            self.vote(comparison, first, _vary(sampling, index))
            for index in range(votes)
            for first in ("a", "b")
        ]
        results = await asyncio.gather(*jobs)
        cast = [vote for vote, _ in results]
        usage = sum((usage for _, usage in results), Usage())
        verdict, reason = majority(cast, allow_tie=allow_tie)
        orders = []
        for first in ("a", "b"):
            own = [vote for vote in cast if vote.first == first]
            orders.append(OrderResult(first, majority(own, allow_tie=allow_tie)[0], share_for_a(own)))
        rationale = next((vote.text for vote in cast if vote.verdict == verdict), None)
        return Decision(
            verdict=verdict,
            probability_a=share_for_a(cast),
            orders=tuple(orders),
            mode="reasoning",
            strategy=None,
            model_version=self.version,
            prompt_hash=self.prompt_hash(PAIRWISE_REASONING),
            usage=usage,
            truncated=any(vote.truncated for vote in cast),
            reason=reason,
            rationale=rationale,
            votes=tally(cast),
        )

    async def vote(self, comparison: Comparison, first: Side, sampling: Sampling) -> tuple[Vote, Usage]:
        """One judgment with the given response shown first, and what it took."""
        reserve = self.reasoning_tokens + _CLOSING
        prompt = self.comparison_prompt(PAIRWISE_REASONING, comparison, first, reserve)
        judgment = await self._judge(prompt, PAIRWISE_REASONING, sampling)
        parsed = parse_verdict(judgment.text, allow_tie=False)
        verdict = parsed.verdict if first == "a" else _UNSWAPPED[parsed.verdict]
        vote = Vote(first, verdict, judgment.text, parsed.reason, prompt.truncated)
        return vote, judgment.usage

    async def rate_directly(self, instruction: Instruction, response: str) -> Rating:
        """Rate a response from the pointwise label probabilities."""
        found = await self.read_responses(instruction, [response])
        return Rating(
            rating=round(expected_rating(found.reads[0]), 3),
            mode="direct",
            model_version=self.version,
            prompt_hash=self.prompt_hash(POINTWISE),
            usage=found.usage,
            truncated=found.truncated,
        )

    async def rate(
        self, instruction: Instruction, response: str, *, votes: int = 1, seed: int | None = None
    ) -> Rating:
        """Rate a response by critiques that end in a rating: the mean of the valid ones."""
        template = SINGLE_REASONING
        reserve = self.reasoning_tokens + _CLOSING
        prompt = self.assembler.response(template, instruction, response, reserve, self.field_tokens)
        sampling = self.sampling(votes, seed)
        judgments = await asyncio.gather(
            *(self._judge(prompt, template, _vary(sampling, index)) for index in range(votes))
        )
        rated = [parse_rating(judgment.text) for judgment in judgments]
        ratings = [item.rating for item in rated if item.rating is not None]
        critique = next(
            (j.text for j, item in zip(judgments, rated, strict=True) if item.rating is not None), None
        )
        return Rating(
            rating=round(sum(ratings) / len(ratings), 3) if ratings else None,
            mode="reasoning",
            model_version=self.version,
            prompt_hash=self.prompt_hash(template),
            usage=sum((judgment.usage for judgment in judgments), Usage()),
            truncated=prompt.truncated,
            reason=None if ratings else rated[0].reason,
            critique=critique,
            votes=votes,
        )

    def comparison_prompt(
        self, template: Template, comparison: Comparison, first: Side, reserve: int
    ) -> Prompt:
        """The prompt with the given response shown first (as response A); see `Assembler`."""
        shown = Comparison(
            comparison.instruction, comparison.response(first), comparison.response(other(first))
        )
        return self.assembler.comparison(template, shown, reserve, self.field_tokens)

    def sampling(self, votes: int, seed: int | None) -> Sampling:
        """Greedy for one vote, else the paper's temperature 0.7 and top_p 0.9."""
        temperature = 0.0 if votes == 1 else 0.7
        return Sampling(self.reasoning_tokens, temperature, 1.0 if votes == 1 else 0.9, seed)

    async def _judge(self, prompt: Prompt, template: Template, sampling: Sampling) -> Judgment:
        """Sample a judgment; where it stops without its final field, have the model choose the label.

        The model's own text is kept and the template's ending appended, so the label is conditioned on
        the reasoning. This happens once; it is the only retry.
        """
        backend = self.backends.pick()
        completion = await backend.sample(prompt.token_ids, sampling)
        self._same(completion.weights)
        text = completion.text.strip()
        if "[[" in text:
            return Judgment(text, completion.usage)
        encoder = self.assembler.encoder
        ids = prompt.token_ids + encoder.untrusted(text) + encoder.trusted(template.ending)
        closing = await backend.sample(ids, replace(sampling, max_tokens=8, choices=template.labels))
        self._same(closing.weights)
        return Judgment(f"{text}{template.ending}{closing.text}]]", completion.usage + closing.usage)

    async def _read_all(self, template: Template, prompts: Sequence[Prompt]) -> Reads:
        labels = [self.assembler.encoder.label(label) for label in template.labels]
        backend = self.backends.pick()
        answers = await asyncio.gather(*(backend.read_labels(p.token_ids, labels) for p in prompts))
        for answer in answers:
            self._same(answer.weights)
        usage = sum((answer.usage for answer in answers), Usage())
        return Reads([answer.read for answer in answers], usage, any(p.truncated for p in prompts))

    def _same(self, weights: str) -> None:
        if weights != self.version:
            raise VersionChanged(f"the backend serves {weights}, not {self.version}")


def _vary(sampling: Sampling, index: int) -> Sampling:
    """The same sampling with a seed of its own, so that seeded votes differ from each other."""
    if sampling.seed is None:
        return sampling
    return replace(sampling, seed=sampling.seed + index)
