"""How much an iteration has to do, stage by stage, and how long that takes at a measured pace. Pure.

Counted are tokens: prompt tokens that the judge reads, tokens that it writes, tokens that are trained on. The
texts are not there yet when an iteration begins, so their lengths are the settings' limits and what the
packaged model makes of them (docs/measurements.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from judge.teaching.profiles import IterationSettings

# What is ours in a prompt: of a pointwise read, and of a comparison.
_OWN_POINTWISE, _OWN_PAIRWISE = 60, 130
# A token that is written costs as much as so many that are read.
WRITTEN = 10
# Of the longest response, what is written of it.
_FILLED = 0.8
# A judgment's closing field.
_CLOSING = 8
# Of what may be read in an evaluation: pairs without a counterpart of the other length drop out, there are
# fewer attacks and phrases than allowed, and a part of the tokens comes from the prefix cache.
_NEEDED = 0.45
# Candidate and champion; two prompts a pair.
_VERSIONS, _READS = 2, 2


@dataclass(frozen=True, slots=True)
class Effort:
    """Tokens to read, to write and to train on."""

    read: float = 0.0
    written: float = 0.0
    trained: float = 0.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Tokens a second, of each kind; `loading_s` is what starting an engine or a training takes."""

    read: float
    written: float
    trained: float
    loading_s: float

    def seconds(self, effort: Effort) -> float:
        """How long it takes."""
        return effort.read / self.read + effort.written / self.written + effort.trained / self.trained


def stages(settings: IterationSettings, instructions: int, instruction_tokens: float) -> dict[str, Effort]:
    """The effort of the four long stages of a first iteration.

    Args:
        settings: the iteration's.
        instructions: how many are in the pool.
        instruction_tokens: length of one, in the mean.
    """
    field = settings.field_tokens
    instruction = min(instruction_tokens, field)
    response = min(_FILLED * settings.response_tokens, field)
    pointwise = _OWN_POINTWISE + instruction + response
    pairwise = _OWN_PAIRWISE + instruction + 2 * response
    selected = min(settings.instructions, instructions)
    judgments = 2 * settings.judged_pairs * settings.samples
    reasoning = settings.reasoning_tokens + _CLOSING
    taught = min(settings.max_pointwise, selected * settings.pairs_per_instruction)
    reasoned = min(settings.max_reasoned, settings.judged_pairs) * settings.sft_epochs
    looks = _VERSIONS * settings.evaluated_pairs
    may_read = _READS * (looks * (pointwise + pairwise) + _VERSIONS * attacked(settings) * pointwise)
    argued = _VERSIONS * _READS * settings.evaluated_reasoning
    return {
        "pair": Effort(read=selected * instruction, written=selected * _FILLED * settings.response_tokens),
        "judge": Effort(read=judgments * pairwise / settings.samples, written=judgments * reasoning),
        "finetune": Effort(
            trained=2 * taught * settings.pointwise_epochs * pointwise + reasoned * (pairwise + reasoning)
        ),
        "evaluate": Effort(
            read=_NEEDED * may_read + argued * pairwise,
            written=argued * reasoning,
        ),
    }


def attacked(settings: IterationSettings) -> int:
    """Comparisons in which one version is attacked, at most: each attack and phrase, and the same without."""
    phrases = (2 * settings.evaluated_phrases + 1) * settings.phrase_pairs
    return 2 * settings.evaluated_attacks + phrases


def seconds(efforts: Mapping[str, Effort], pace: Pace) -> float:
    """How long an iteration takes: its stages, and loading what trains and the engine that measures."""
    return sum(map(pace.seconds, efforts.values())) + 2 * pace.loading_s
