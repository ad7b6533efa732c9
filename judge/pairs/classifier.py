"""Having a model classify instructions: what it is asked, and what it has said before.

It reads an instruction once and writes all three classes in one line of some ten tokens, whose form the
backend enforces (vLLM's structured outputs): one request, and no answer that cannot be read. Label
log-probabilities would be a prompt for each class, which costs a small model on a CPU more.
"""

import hashlib
from collections.abc import Collection, Mapping

from sqlalchemy import BigInteger, any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session

from judge.backend.vllm import Sampling
from judge.comparison import Instruction
from judge.pairs.classification import (
    CATEGORIES,
    EASIEST,
    HARDEST,
    LENGTHS,
    PATTERN,
    Classification,
    parse,
)
from judge.pairs.generator import Generator
from judge.prompts.assembler import defuse
from judge.prompts.scenarios import shorten
from judge.store.tables import ClassificationRow

# What is the same for all instructions comes first, where the backend's prefix cache finds it.
_ASK = f"""Below is a request that a user made of an assistant. Do not answer it. Say of what kind it is.

Category, one of: {"; ".join(CATEGORIES)}.
Complexity: a whole number from {EASIEST} (anybody could answer at once) to {HARDEST} (an expert needs hours).
Length of a good answer, one of: {"; ".join(LENGTHS)}.
Write one line, in the form: CATEGORY, complexity NUMBER, answer of LENGTH

[Conversation]
{{}}

[End of texts]

The line:"""
# Part of the key under which results are kept: other words or another form are another question.
PROMPT_HASH = hashlib.sha256(f"{_ASK}\n{PATTERN}".encode()).hexdigest()[:12]
# The pattern ends the line: this is only more than any tokenizer needs for the longest one.
_SAMPLING = Sampling(max_tokens=96, temperature=0.0, top_p=1.0, pattern=PATTERN)


async def classify(generator: Generator, instruction: Instruction) -> Classification | None:
    """Ask once; None where the answer has not the form. Of a long conversation the middle is left out."""
    turns = instruction.messages
    lines = [f"{turn.role}: {turn.content}" for turn in turns] if len(turns) > 1 else [instruction.text]
    question = Instruction.of(_ASK.format(defuse(shorten("\n\n".join(lines)))))
    return parse((await generator.answer(question, _SAMPLING)).text)


def remember(session: Session, model: str, found: Mapping[int, Classification]) -> None:
    """Keep results by instruction id, for every iteration to come."""
    rows = [
        {
            "instruction_id": key,
            "model_version": model,
            "prompt_hash": PROMPT_HASH,
            "category": one.category,
            "complexity": one.complexity,
            "length": one.length,
        }
        for key, one in sorted(found.items())
    ]
    if rows:
        session.execute(insert(ClassificationRow).values(rows).on_conflict_do_nothing())


def remembered(session: Session, model: str, keys: Collection[int]) -> dict[int, Classification]:
    """What this model has said, to these words, about the instructions with these ids."""
    rows = session.scalars(
        select(ClassificationRow).where(
            # An array is one parameter; a list would be as many, of which there may be 65,535.
            ClassificationRow.instruction_id == any_(literal(list(keys), ARRAY(BigInteger))),
            ClassificationRow.model_version == model,
            ClassificationRow.prompt_hash == PROMPT_HASH,
        )
    )
    return {row.instruction_id: Classification(row.category, row.complexity, row.length) for row in rows}
