"""For TRL: a reward function of its online trainers, and the judges that it had before 1.1.

    trainer = GRPOTrainer(model, reward_funcs=reward_function(Client(url, key, pin="run-7")), …)

Nothing of TRL is imported: it takes any callable with these arguments.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from judgesmith_client.client import Client
from judgesmith_client.values import Item, Messages

Prompt = str | Messages
Completion = str | Messages


def reward_function(
    client: Client, *, reference: str | None = None, name: str = "judgesmith", **options: Any
) -> Callable[..., list[float | None]]:
    """A function that TRL calls with completions; None, where there is no reward, becomes NaN there.

    Args:
        reference: name of the dataset's column with a good answer, if it has one.
        name: under which TRL logs the reward.
        options: fields of `POST /reward`, such as `form` or `rubric`.
    """

    def reward(
        prompts: Sequence[Prompt],
        completions: Sequence[Completion],
        completion_ids: Sequence[Sequence[int]] | None = None,
        trainer_state: Any = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Sequence[Any],
    ) -> list[float | None]:
        references = columns[reference] if reference else [None] * len(prompts)
        items = [
            Item(prompt, _text(completion), reference=one)
            for prompt, completion, one in zip(prompts, completions, references, strict=True)
        ]
        found = client.reward(items, **options)
        if log_metric and items:
            for outcome in ("invalid", "empty"):
                share = sum(one.outcome == outcome for one in found.rewards) / len(items)
                log_metric(f"{name}/{outcome}", share)
        if log_extra:
            log_extra(f"{name}_version", [found.model_version] * len(items))
        return found.numbers

    reward.__name__ = name
    return reward


class PairwiseJudge:
    """`judge` as TRL's `BasePairwiseJudge` had it: the index of the better of two, -1 for none."""

    def __init__(self, client: Client, at_once: int = 8, **options: Any) -> None:
        """`options` are fields of `POST /judge/pairwise`."""
        self._client = client
        self._at_once = at_once
        self._options = {"allow_tie": False, **options}

    def judge(
        self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]], shuffle_order: bool = True
    ) -> list[int]:
        """The service judges both orders of each pair, so there is no order to shuffle."""

        def one(prompt: Prompt, pair: Sequence[str]) -> int:
            first, second = pair
            verdict = self._client.compare(prompt, first, second, **self._options).verdict
            return {"a": 0, "b": 1}.get(verdict, -1)

        with ThreadPoolExecutor(self._at_once) as threads:
            return list(threads.map(one, prompts, completions))


class RankJudge:
    """`judge` as TRL's `BaseRankJudge` had it: for each prompt the indexes from the best completion down."""

    def __init__(self, client: Client, at_once: int = 8, **options: Any) -> None:
        """`options` are fields of `POST /judge/rank`."""
        self._client = client
        self._at_once = at_once
        self._options = options

    def judge(
        self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]], shuffle_order: bool = True
    ) -> list[list[int]]:
        """A ranking depends on the texts alone, so there is no order to shuffle."""
        with ThreadPoolExecutor(self._at_once) as threads:
            return list(
                threads.map(
                    lambda prompt, texts: self._client.rank(prompt, texts, **self._options),
                    prompts,
                    completions,
                )
            )


def _text(completion: Completion) -> str:
    """A completion's text; of a conversation's, what its last message says."""
    if isinstance(completion, str):
        return completion
    return str(completion[-1].get("content") or "") if completion else ""
