"""One decision: prompts for every order and vote, the backend's answers, one verdict.

A `Judge` is one model version on the backends. Every answer names the weights that made it; a decision
whose answers do not all come from this judge's version raises `VersionChanged`, and whoever asked takes
the new champion and asks again. So no decision mixes versions, without any lock between the processes.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from judge.comparison import Comparison, Instruction, Side, other
from judge.errors import VersionChanged
from judge.guide import PLAIN, TEN, Guide, Scale
from judge.llm import Backends, Sampling
from judge.openers import says_nothing
from judge.prompts import Assembler, Prompt, load_encoder
from judge.scoring import (
    Calibration,
    LabelRead,
    Strategy,
    pairwise_log_odds,
    pointwise_log_odds,
    share_of_yes,
)
from judge.templates import (
    Template,
    pairwise_direct,
    pairwise_reasoning,
    pointwise,
    single_reasoning,
    suggesting,
)
from judge.verdict import Verdict, parse_rating, parse_verdict
from judge.versions import Manifest, VersionStore
from judge.voting import (
    Decision,
    Mode,
    OrderResult,
    Rating,
    Stopping,
    Usage,
    Vote,
    enough,
    majority,
    share_for_a,
    tally,
)

# Tokens kept free for the final field that `Judge._judge` may append.
_CLOSING = 24
# Complete pairs of orders that are sampled at once while voting may still stop early.
_WAVE = 2
_UNSWAPPED: dict[Verdict, Verdict] = {"a": "b", "b": "a", "tie": "tie", "invalid": "invalid"}
_SIDES: tuple[Side, Side] = ("a", "b")


OnText = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How to judge. `votes` are judgments per order; one vote is greedy.

    `threshold`: confidence below which the cascade goes on to reasoning; default: the version's own.
    `cut`: leave out the middle of texts that do not fit the context, else refuse them.
    `salt`: keeps the backend's prefix cache of this caller apart from others'.
    """

    guide: Guide = PLAIN
    strategy: Strategy | None = None
    votes: int = 1
    stopping: Stopping = "fixed"
    seed: int | None = None
    allow_tie: bool = True
    threshold: float | None = None
    cut: bool = False
    salt: str | None = None


DEFAULT = Options()


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

    async def decide(self, comparison: Comparison, mode: Mode, options: Options = DEFAULT) -> Decision:
        """Judge a comparison in a mode, after the check that needs no model."""
        checked = self.check(comparison, mode, options)
        if checked:
            return checked
        if mode == "direct":
            return await self.direct(comparison, options)
        if mode == "reasoning":
            return await self.reason(comparison, options)
        return await self.cascade(comparison, options)

    def check(self, comparison: Comparison, mode: Mode, options: Options = DEFAULT) -> Decision | None:
        """The decision about a response that says nothing (see `judge.openers`); None where both do."""
        empty = [says_nothing(comparison.response(side)) for side in _SIDES]
        if not any(empty):
            return None
        even: Verdict = "tie" if options.allow_tie else "invalid"
        verdict = even if all(empty) else "b" if empty[0] else "a"
        probability = {"a": 1.0, "b": 0.0}.get(verdict, 0.5)
        which = "both responses hold" if all(empty) else f"response {'a' if empty[0] else 'b'} holds"
        return Decision(
            verdict=verdict,
            probability_a=probability,
            orders=tuple(OrderResult(first, verdict, probability) for first in _SIDES),
            mode=mode,
            strategy=None,
            model_version=self.version,
            prompt_hash=self.prompt_hash(pairwise_direct(options.guide.form)),
            usage=Usage(),
            reason=f"{which} no answer",
            path="check",
        )

    async def direct(self, comparison: Comparison, options: Options = DEFAULT) -> Decision:
        """Decide from label probabilities, without generating; both orders, or two single reads."""
        strategy = options.strategy or self.manifest.strategy
        calibration, allow_tie = self.calibration(strategy), options.allow_tie
        odds = await self.log_odds(comparison, strategy, options)
        verdict = calibration.verdict(odds.overall, allow_tie=allow_tie)
        orders = tuple(
            OrderResult(first, calibration.verdict(one, allow_tie=allow_tie), calibration.probability(one))
            for first, one in zip(_SIDES, odds.per_order, strict=True)
        )
        template = pairwise_direct if strategy == "pairwise" else pointwise
        return Decision(
            verdict=verdict,
            probability_a=calibration.probability(odds.overall),
            orders=orders,
            mode="direct",
            strategy=strategy,
            model_version=self.version,
            prompt_hash=self.prompt_hash(template(options.guide.form)),
            usage=odds.usage,
            truncated=odds.truncated,
            reason="both responses are exactly equally likely" if verdict == "invalid" else None,
            votes={},
        )

    async def cascade(self, comparison: Comparison, options: Options = DEFAULT) -> Decision:
        """Decide directly; where that is not sure, by reasoned votes that stop early.

        Sure is a calibrated probability of the verdict at or above the threshold: the request's, else the
        version's (`Manifest.cascade_threshold`). Votes without a majority leave the direct verdict.
        """
        first = replace(await self.direct(comparison, options), mode="cascade")
        probability = first.probability_a if first.probability_a is not None else 0.5
        if max(probability, 1 - probability) >= self.threshold(options):
            return first
        reasoned = await self.reason(comparison, replace(options, stopping="confident"))
        usage = first.usage + reasoned.usage
        if reasoned.verdict not in _SIDES:
            return replace(first, usage=usage, votes=reasoned.votes, truncated=reasoned.truncated)
        return replace(
            reasoned,
            mode="cascade",
            strategy=first.strategy,
            usage=usage,
            direct_probability_a=first.probability_a,
        )

    def threshold(self, options: Options) -> float:
        """Confidence from which the cascade stops at the direct verdict; 0.5 means always."""
        if options.threshold is not None:
            return options.threshold
        fitted = self.calibration(options.strategy or self.manifest.strategy).fitted
        return self.manifest.cascade_threshold if fitted else 0.5

    async def log_odds(self, comparison: Comparison, strategy: Strategy, options: Options = DEFAULT) -> Odds:
        """Read the labels of one comparison by one strategy."""
        if strategy == "pointwise":
            responses = (comparison.response_a, comparison.response_b)
            found = await self.read_responses(comparison.instruction, responses, options)
            odds = pointwise_log_odds(*found.reads)
            return Odds(odds, (odds, odds), found.usage, found.truncated)
        template = pairwise_direct(options.guide.form)
        prompts = [self.comparison_prompt(template, comparison, first, 1, options) for first in _SIDES]
        found = await self._read_all(template, prompts, options)
        a_first, b_first = found.reads
        per_order = (a_first.margin, -b_first.margin)
        return Odds(pairwise_log_odds(a_first, b_first), per_order, found.usage, found.truncated)

    async def read_responses(
        self, instruction: Instruction, responses: Sequence[str], options: Options = DEFAULT
    ) -> Reads:
        """Pointwise label reads of several responses to one instruction, in their order."""
        template = pointwise(options.guide.form)
        prompts = [self.response_prompt(template, instruction, text, 1, options) for text in responses]
        return await self._read_all(template, prompts, options)

    async def reason(
        self, comparison: Comparison, options: Options = DEFAULT, on_text: OnText | None = None
    ) -> Decision:
        """Decide by judgments with a rationale, `votes` in each order, or fewer (see `voting.enough`).

        The judge is never offered a tie, as in its training; a tie is what an even split of votes is.
        `on_text` is given the first judgment (A shown first) as it is written.
        """
        planned, allow_tie = options.votes * len(_SIDES), options.allow_tie
        cast: list[Vote] = []
        usage = Usage()
        while not enough(cast, planned, options.stopping):
            begun = len(cast) // len(_SIDES)
            wave = options.votes if options.stopping == "fixed" else min(_WAVE, options.votes - begun)
            results = await asyncio.gather(
                *(
                    self.vote(
                        comparison,
                        first,
                        self.sampling(options, begun + index),
                        options,
                        on_text if (begun + index, first) == (0, "a") else None,
                    )
                    for index in range(wave)
                    for first in _SIDES
                )
            )
            usage = sum((took for _, took in results), usage)
            # A wave may hold more pairs than were needed: those beyond the stop are not counted.
            for index in range(0, len(results), len(_SIDES)):
                if cast and enough(cast, planned, options.stopping):
                    break
                cast += [vote for vote, _ in results[index : index + len(_SIDES)]]
        verdict, reason = majority(cast, allow_tie=allow_tie)
        orders = []
        for first in _SIDES:
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
            prompt_hash=self.prompt_hash(pairwise_reasoning(options.guide.form)),
            usage=usage,
            truncated=any(vote.truncated for vote in cast),
            reason=reason,
            rationale=rationale,
            votes=tally(cast),
            path="reasoning",
        )

    async def vote(
        self,
        comparison: Comparison,
        first: Side,
        sampling: Sampling,
        options: Options = DEFAULT,
        on_text: OnText | None = None,
    ) -> tuple[Vote, Usage]:
        """One judgment with the given response shown first, and what it took."""
        template = pairwise_reasoning(options.guide.form)
        reserve = self.reasoning_tokens + _CLOSING
        prompt = self.comparison_prompt(template, comparison, first, reserve, options)
        judgment = await self._judge(prompt, template, sampling, on_text)
        parsed = parse_verdict(judgment.text, allow_tie=False)
        verdict = parsed.verdict if first == "a" else _UNSWAPPED[parsed.verdict]
        vote = Vote(first, verdict, judgment.text, parsed.reason, prompt.truncated)
        return vote, judgment.usage

    async def rate_directly(
        self, instruction: Instruction, response: str, scale: Scale = TEN, options: Options = DEFAULT
    ) -> Rating:
        """Rate a response: the scale's point at P(Yes) of the pointwise label probabilities."""
        found = await self.read_responses(instruction, [response], options)
        share = share_of_yes(found.reads[0])
        return Rating(
            rating=round(scale.at(share), 3),
            mode="direct",
            model_version=self.version,
            prompt_hash=self.prompt_hash(pointwise(options.guide.form)),
            usage=found.usage,
            truncated=found.truncated,
        )

    async def rate(
        self, instruction: Instruction, response: str, scale: Scale = TEN, options: Options = DEFAULT
    ) -> Rating:
        """Rate a response by critiques that end in a rating: the mean of the valid ones."""
        template = single_reasoning(options.guide.form, scale)
        reserve = self.reasoning_tokens + _CLOSING
        prompt = self.response_prompt(template, instruction, response, reserve, options)
        judgments = await asyncio.gather(
            *(self._judge(prompt, template, self.sampling(options, index)) for index in range(options.votes))
        )
        rated = [parse_rating(judgment.text, low=scale.low, high=scale.high) for judgment in judgments]
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
            votes=options.votes,
        )

    async def suggest(
        self, instruction: Instruction, response: str, options: Options = DEFAULT
    ) -> tuple[tuple[str, ...], Usage]:
        """Up to three improvements that the judge names, and what they took."""
        template = suggesting(options.guide.form)
        prompt = self.response_prompt(template, instruction, response, self.reasoning_tokens, options)
        sampling = replace(self.sampling(replace(options, votes=1), 0), max_tokens=self.reasoning_tokens)
        completion = await self.backends.pick().sample(prompt.token_ids, sampling)
        self._same(completion.weights)
        lines = (line.strip().lstrip("-*•0123456789.) ") for line in completion.text.splitlines())
        return tuple(line for line in lines if line)[:3], completion.usage

    def comparison_prompt(
        self,
        template: Template,
        comparison: Comparison,
        first: Side,
        reserve: int,
        options: Options = DEFAULT,
    ) -> Prompt:
        """The prompt with the given response shown first (as response A); see `Assembler`."""
        shown = Comparison(
            comparison.instruction, comparison.response(first), comparison.response(other(first))
        )
        return self.assembler.comparison(
            template, shown, reserve, self.field_tokens, guide=options.guide, cut=options.cut
        )

    def response_prompt(
        self,
        template: Template,
        instruction: Instruction,
        response: str,
        reserve: int,
        options: Options = DEFAULT,
    ) -> Prompt:
        """The prompt about one response; see `Assembler`."""
        return self.assembler.response(
            template, instruction, response, reserve, self.field_tokens, guide=options.guide, cut=options.cut
        )

    def sampling(self, options: Options, index: int) -> Sampling:
        """Greedy for one vote, else the paper's temperature 0.7 and top_p 0.9; seeded votes differ."""
        greedy = options.votes == 1
        return Sampling(
            self.reasoning_tokens,
            0.0 if greedy else 0.7,
            1.0 if greedy else 0.9,
            None if options.seed is None else options.seed + index,
            salt=options.salt,
        )

    async def _judge(
        self, prompt: Prompt, template: Template, sampling: Sampling, on_text: OnText | None = None
    ) -> Judgment:
        """Sample a judgment; where it stops without its final field, have the model choose the label.

        The model's own text is kept and the template's ending appended, so the label is conditioned on
        the reasoning. This happens once; it counts as a retry.
        """
        backend = self.backends.pick()
        completion = await backend.sample(prompt.token_ids, sampling, on_text)
        self._same(completion.weights)
        text = completion.text.strip()
        if "[[" in text:
            return Judgment(text, completion.usage)
        encoder = self.assembler.encoder
        ids = prompt.token_ids + encoder.untrusted(text) + encoder.trusted(template.ending)
        closing = await backend.sample(ids, replace(sampling, max_tokens=8, choices=template.labels))
        self._same(closing.weights)
        end = f"{template.ending}{closing.text}]]"
        if on_text:
            on_text(end)
        return Judgment(f"{text}{end}", completion.usage + closing.usage + Usage(retries=1))

    async def _read_all(self, template: Template, prompts: Sequence[Prompt], options: Options) -> Reads:
        labels = [self.assembler.encoder.label(label) for label in template.labels]
        backend = self.backends.pick()
        answers = await asyncio.gather(
            *(backend.read_labels(p.token_ids, labels, salt=options.salt) for p in prompts)
        )
        for answer in answers:
            self._same(answer.weights)
        usage = sum((answer.usage for answer in answers), Usage())
        return Reads([answer.read for answer in answers], usage, any(p.truncated for p in prompts))

    def _same(self, weights: str) -> None:
        if weights != self.version:
            raise VersionChanged(f"the backend serves {weights}, not {self.version}")
