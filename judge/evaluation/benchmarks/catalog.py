"""The benchmarks by name: how each is read, scored, and where its release lies."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judge.errors import Fault, InvalidInput
from judge.evaluation.benchmarks import (
    autoj,
    judgebench,
    llmbar,
    mt_bench,
    pairs,
    rewardbench,
    rewardbench2,
    rm_bench,
    systems,
)
from judge.evaluation.benchmarks.arithmetic import Mean
from judge.evaluation.benchmarks.files import Row, read_rows
from judge.evaluation.benchmarks.items import Answered, Item


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark.

    `score`: named means, the one to look at first. `files`: which files of a folder or of the `hub`'s data
    set are read. `ties`: the judge may answer with a tie even if no label is one. `details`: figures that
    are no means.
    """

    name: str
    title: str
    read: Callable[[Sequence[Row]], list[Item]]
    score: Callable[[Sequence[Answered], int], dict[str, Mean]]
    files: tuple[str, ...] = ("**/*",)
    hub: str | None = None
    ties: bool = False
    details: Callable[[Sequence[Answered], int], dict[str, Any]] | None = None

    def allows_tie(self, items: Iterable[Item]) -> bool:
        """Whether a judge of these items is offered a tie."""
        return self.ties or any(item.label == "tie" for item in items)


_ALL = (
    Benchmark("pairs", "Labeled pairs", pairs.read, pairs.score),
    Benchmark(
        "rewardbench",
        "RewardBench",
        rewardbench.read,
        rewardbench.score,
        rewardbench.FILES,
        "allenai/reward-bench",
    ),
    Benchmark(
        "rewardbench2",
        "RewardBench 2",
        rewardbench2.read,
        rewardbench2.score,
        rewardbench2.FILES,
        "allenai/reward-bench-2",
    ),
    Benchmark(
        "mt-bench",
        "MT-Bench, agreement with people",
        mt_bench.read,
        mt_bench.score,
        mt_bench.FILES,
        "lmsys/mt_bench_human_judgments",
        ties=True,
    ),
    Benchmark("autoj-pairs", "Auto-J, pairs", autoj.read_pairs, autoj.score_pairs, autoj.PAIRS, ties=True),
    Benchmark(
        "autoj-critiques",
        "Auto-J, critiques",
        autoj.read_critiques,
        autoj.score_critiques,
        autoj.CRITIQUES,
        ties=True,
    ),
    Benchmark(
        "autoj-selection", "Auto-J, best of N", autoj.read_selection, autoj.score_selection, autoj.SELECTION
    ),
    Benchmark("llmbar", "LLMBar", llmbar.read, llmbar.score, llmbar.FILES),
    Benchmark(
        "judgebench",
        "JudgeBench",
        judgebench.read,
        judgebench.score,
        judgebench.FILES,
        "ScalerLab/JudgeBench",
    ),
    Benchmark("rm-bench", "RM-Bench", rm_bench.read, rm_bench.score, rm_bench.FILES, "THU-KEG/RM-Bench"),
    Benchmark("systems", "Ranking of systems", systems.read, systems.score, details=systems.ranking),
)
BENCHMARKS: Mapping[str, Benchmark] = {benchmark.name: benchmark for benchmark in _ALL}


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        InvalidInput: there is none; all are named.
    """
    if name not in BENCHMARKS:
        raise InvalidInput(Fault("benchmark", f"must be one of {', '.join(BENCHMARKS)}"))
    return BENCHMARKS[name]


def load_items(name: str, source: str | None) -> list[Item]:
    """Read a benchmark from a file, a folder or a hub's data set; without a source, from its own on the hub.

    Raises:
        InvalidInput: naming the file and the line; or there is nothing to read.
    """
    known = benchmark(name)
    if source is None and known.hub is None:
        raise InvalidInput(Fault("data", f"{name} has no data set on the hub: give its file or folder"))
    items = known.read(read_rows(source or known.hub or "", known.files))
    if not items:
        raise InvalidInput(Fault("data", f"nothing in it is an item of {name}"))
    repeated = len(items) - len({item.id for item in items})
    if repeated:
        raise InvalidInput(Fault("data", f"{repeated} items have the id of another one"))
    return items
