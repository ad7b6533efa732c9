"""Whether what an iteration asks of its judge fits the model's context.

The longest prompt is that of a reasoned judgment: our own text, an instruction, two responses, and room for
what the judge will write.
"""

from judge.comparison import Comparison, Instruction
from judge.errors import Fault, InvalidInput, PromptTooLong
from judge.judging.judge import SIDES, Judge
from judge.prompts.assembler import Assembler
from judge.prompts.templates import pairwise_direct, pairwise_reasoning, pointwise
from judge.teaching.profiles import IterationSettings

_SMALLEST = Comparison(Instruction.of("."), ".", ".")
_UNLIMITED = 2**31


def room(judge: Judge) -> int:
    """Tokens that an instruction and two responses may take together where the judge reasons about them."""
    unlimited = Assembler(judge.assembler.encoder, _UNLIMITED)
    own = len(unlimited.comparison(pairwise_reasoning(), _SMALLEST, 0).token_ids)
    return judge.assembler.context_tokens - judge.reserve() - own


def check(judge: Judge, settings: IterationSettings) -> None:
    """Refuse settings under which the judge could not see responses as long as they may become.

    Longer texts than `field_tokens` are cut, so no more than that has to fit of any.

    Raises:
        InvalidInput: with what to change.
    """
    wanted, left = 3 * min(settings.field_tokens, settings.response_tokens), room(judge)
    if left < wanted:
        reason = (
            f"with judgments of {settings.reasoning_tokens} tokens, JUDGESMITH_MAX_MODEL_LEN="
            f"{judge.assembler.context_tokens} leaves {max(left, 0)} for an instruction and two responses, "
            f"which want {wanted}: raise that variable, or lower settings.reasoning_tokens, or "
            "settings.field_tokens, to which texts are cut"
        )
        raise InvalidInput(Fault("settings.reasoning_tokens", reason))


def fits(judge: Judge, comparison: Comparison, *, reasoned: bool) -> bool:
    """Whether every prompt about a comparison fits: those of label reads, and of a judgment if `reasoned`."""
    template, reserve = (pairwise_reasoning(), judge.reserve()) if reasoned else (pairwise_direct(), 1)
    try:
        judge.comparison_prompt(template, comparison, "a", reserve)
        for side in SIDES:
            judge.response_prompt(pointwise(), comparison.instruction, comparison.response(side), 1)
    except PromptTooLong:
        return False
    return True
