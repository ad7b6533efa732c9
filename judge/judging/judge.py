"""A model version that judges: its prompts, its label reads, its written judgments.

What is made of them is in `judge.judging.deciding` (comparisons) and `judge.judging.rating` (single
responses). Every answer of the backend names the weights that made it; one that does not come from this
judge's version raises `VersionChanged`, and whoever asked takes the new champion and asks again. So no
decision mixes versions, without any lock between the processes.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from judge.backend.answers import LabelRead, Usage
from judge.backend.vllm import VLLM, Backends, OnText, Sampling
from judge.comparison import Comparison, Instruction, Side, other
from judge.errors import VersionChanged
from judge.judging.scoring import Calibration, Strategy, pairwise_log_odds, pointwise_log_odds
from judge.judging.voting import Stopping, Vote
from judge.prompts.assembler import Assembler, Prompt, load_encoder
from judge.prompts.guide import PLAIN, Guide, Scale
from judge.prompts.templates import (
    Template,
    pairwise_direct,
    pairwise_reasoning,
    pointwise,
    single_direct,
)
from judge.verdict import Verdict, concluded, parse_verdict
from judge.versions.version import Manifest, StrategyCalibration, VersionStore

# Tokens kept free for the final field that `Judge.write` may append.
_CLOSING = 24
# Probability that is taken for all there is, so that what it leaves has a logarithm.
_ALL = 1 - 1e-9
_UNSWAPPED: dict[Verdict, Verdict] = {"a": "b", "b": "a", "tie": "tie", "invalid": "invalid"}
SIDES: tuple[Side, Side] = ("a", "b")


@dataclass(frozen=True, slots=True)
class Options:
    """How to judge. `votes` are judgments per order; one vote is greedy.

    `threshold`: confidence below which the cascade goes on to reasoning; default: the version's own.
    `cut`: leave out the middle of texts that do not fit the context, else refuse them. `whole`: refuse also
    texts that the version reads shortened, as it was trained (`Manifest.field_tokens`).
    `rationale_tokens`: the longest written judgment; default: the judge's own limit.
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
    whole: bool = False
    rationale_tokens: int | None = None
    salt: str | None = None


DEFAULT = Options()


@dataclass(frozen=True, slots=True)
class Judgment:
    """One completion of the judge about a prompt, closed with its final field.

    `finished` is False where what the model wrote by itself was cut off at the longest it may be.
    """

    text: str
    usage: Usage
    finished: bool = True


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

    @classmethod
    def of_folder(
        cls,
        folder: Path,
        name: str,
        backends: Backends,
        max_model_len: int,
        *,
        calibration: dict[str, StrategyCalibration] | None = None,
        **options: int | None,
    ) -> "Judge":
        """A model folder that is no version, or not yet: under a name of its own."""
        assembler = Assembler(load_encoder(folder), max_model_len)
        manifest = Manifest(origin=name, calibration=calibration or {}, files={}, tensors="")
        return cls(name, manifest, assembler, backends, **options)  # type: ignore[arg-type]

    def longest(self, options: Options = DEFAULT) -> int:
        """Tokens that the model may write by itself."""
        return options.rationale_tokens or self.reasoning_tokens

    def reserve(self, options: Options = DEFAULT) -> int:
        """Tokens that a written judgment may take, its final field included."""
        return self.longest(options) + _CLOSING

    def prompt_hash(self, template: Template) -> str:
        """The hash of a template under this model's chat template."""
        return self.assembler.encoder.fingerprint(template)

    def calibration(self, strategy: Strategy) -> Calibration:
        """What the manifest says about a strategy."""
        stored = self.manifest.calibration.get(strategy)
        return Calibration(**stored.model_dump()) if stored else Calibration()

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
        prompts = [self.comparison_prompt(template, comparison, first, 1, options) for first in SIDES]
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

    async def read_scale(
        self, instruction: Instruction, response: str, scale: Scale, options: Options = DEFAULT
    ) -> Reads:
        """A read of the points of a scale for one response.

        A point of several tokens (10, in most models) has the product of their probabilities, and one that
        others begin with (1) what they leave of its own.
        """
        template = single_direct(options.guide.form, scale)
        points = [self.assembler.encoder.trusted(label) for label in template.labels]
        prompt = self.response_prompt(template, instruction, response, max(map(len, points)), options)
        logprobs, usage = await self._read_points(self.backends.pick(), prompt.token_ids, points, options)
        return Reads([LabelRead(tuple(logprobs))], usage, prompt.truncated)

    async def _read_points(
        self, backend: VLLM, token_ids: list[int], points: list[list[int]], options: Options
    ) -> tuple[list[float], Usage]:
        """Log-probabilities (nats) of different continuations, each as the whole of what is written."""
        starts = list(dict.fromkeys(point[0] for point in points))
        answer = await backend.read_labels(token_ids, starts, salt=options.salt)
        self.same(answer.weights)
        read = dict(zip(starts, answer.read.logprobs, strict=True))
        found, usage = [read[point[0]] for point in points], answer.usage
        for start in starts:
            longer = [index for index, point in enumerate(points) if point[0] == start and len(point) > 1]
            if not longer:
                continue
            rests = [points[index][1:] for index in longer]
            logprobs, took = await self._read_points(backend, [*token_ids, start], rests, options)
            usage += took
            for index, logprob in zip(longer, logprobs, strict=True):
                found[index] += logprob
            if [start] in points:
                taken = sum(math.exp(logprob) for logprob in logprobs)
                found[points.index([start])] += math.log1p(-min(taken, _ALL))
        return found, usage

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
        prompt = self.comparison_prompt(template, comparison, first, self.reserve(options), options)
        judgment = await self.write(prompt, template, sampling, on_text)
        parsed = parse_verdict(judgment.text, allow_tie=False)
        verdict = parsed.verdict if first == "a" else _UNSWAPPED[parsed.verdict]
        vote = Vote(first, verdict, judgment.text, parsed.reason, prompt.truncated)
        return vote, judgment.usage

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
            template,
            shown,
            reserve,
            self.field_tokens,
            guide=options.guide,
            cut=options.cut,
            whole=options.whole,
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
            template,
            instruction,
            response,
            reserve,
            self.field_tokens,
            guide=options.guide,
            cut=options.cut,
            whole=options.whole,
        )

    def sampling(self, options: Options, index: int) -> Sampling:
        """Greedy for one vote, else the paper's temperature 0.7 and top_p 0.9; seeded votes differ."""
        greedy = options.votes == 1
        return Sampling(
            self.longest(options),
            0.0 if greedy else 0.7,
            1.0 if greedy else 0.9,
            None if options.seed is None else options.seed + index,
            salt=options.salt,
        )

    async def write(
        self, prompt: Prompt, template: Template, sampling: Sampling, on_text: OnText | None = None
    ) -> Judgment:
        """Sample a judgment; where it stops without its final field, have the model choose the label.

        The model's own text is kept and the template's ending appended, so the label is conditioned on
        the reasoning. This happens once; it counts as a retry.
        """
        backend = self.backends.pick()
        completion = await backend.sample(prompt.token_ids, sampling, on_text)
        self.same(completion.weights)
        text = completion.text.strip()
        if concluded(text, template.ending, template.labels):
            return Judgment(text, completion.usage)
        encoder = self.assembler.encoder
        ids = prompt.token_ids + encoder.untrusted(text) + encoder.trusted(template.ending)
        closing = await backend.sample(ids, replace(sampling, max_tokens=8, choices=template.labels))
        self.same(closing.weights)
        end = f"{template.ending}{closing.text}]]"
        if on_text:
            on_text(end)
        usage = completion.usage + closing.usage + Usage(retries=1)
        return Judgment(f"{text}{end}", usage, completion.finished)

    async def _read_all(self, template: Template, prompts: Sequence[Prompt], options: Options) -> Reads:
        labels = [self.assembler.encoder.label(label) for label in template.labels]
        backend = self.backends.pick()
        answers = await asyncio.gather(
            *(backend.read_labels(p.token_ids, labels, salt=options.salt) for p in prompts)
        )
        for answer in answers:
            self.same(answer.weights)
        usage = sum((answer.usage for answer in answers), Usage())
        return Reads([answer.read for answer in answers], usage, any(p.truncated for p in prompts))

    def same(self, weights: str) -> None:
        """Raise `VersionChanged` unless these weights are this judge's."""
        if weights != self.version:
            raise VersionChanged(f"the backend serves {weights}, not {self.version}")
