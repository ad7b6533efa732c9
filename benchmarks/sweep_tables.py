"""What `benchmarks.sweep` prints, as Markdown: the results, the pool, and what each run was trained on."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from scipy import stats

from judge.comparison import PreferencePair

Row = dict[str, list[int]]
# A training row whose pair the pool does not give any more, since pairs are constructed otherwise now.
UNKNOWN = "not known"


def results(rows: Sequence[dict[str, Any]]) -> str:
    """Accuracy of each run on each set; in brackets where both lengths count alike; * is p < 0.05."""
    if not rows:
        return "no results"
    seed = rows[0]["outcomes"]
    lines = ["| set | n | " + " | ".join(row["run"] for row in rows) + " |", "|---" * (len(rows) + 2) + "|"]
    for name, base in seed.items():
        cells = [_cell(row["outcomes"].get(name, []), base) for row in rows]
        lines.append(f"| {name} | {len(base)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(outcomes: list[list[Any]], seed: list[list[Any]]) -> str:
    """One figure of the table; the test is McNemar's exact one against the seed, one-sided."""
    if not outcomes:
        return ""
    before = {item: right for item, right, _ in seed}
    gained = sum(right and not before.get(item, right) for item, right, _ in outcomes)
    lost = sum(not right and before.get(item, right) for item, right, _ in outcomes)
    p = stats.binomtest(gained, gained + lost, alternative="greater").pvalue if gained + lost else 1.0
    halves = [[right for _, right, shorter in outcomes if shorter is kind] for kind in (True, False)]
    balanced = [sum(half) / len(half) for half in halves if half]
    accuracy = sum(right for _, right, _ in outcomes) / len(outcomes)
    return f"{accuracy:.3f} ({sum(balanced) / len(balanced):.3f}){'*' if p < 0.05 else ''}"


def pool(rows: Sequence[dict[str, Any]]) -> str:
    """How many responses of each kind were written, and why some are of no use."""
    counts = Counter((row["kind"], row["flaw"]) for row in rows)
    flaws = sorted({row["flaw"] for row in rows if row["flaw"]})
    heads = ["responses", "written", "of use", *flaws]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for kind in sorted({row["kind"] for row in rows}):
        written = sum(count for (one, _), count in counts.items() if one == kind)
        cells = [written, counts[kind, None], *(counts[kind, flaw] for flaw in flaws)]
        lines.append(f"| {kind} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def lessons(run: str, rows: Sequence[Row], pairs: dict[tuple[int, ...], PreferencePair]) -> str:
    """Of each strategy, how many training pairs are its own, and in how many the longer response is chosen.

    Args:
        run: its name.
        rows: what was trained on, as token ids.
        pairs: every pair that may be among them, by `key`; one of those that two strategies made alike.
    """
    count, longer = Counter[str](), Counter[str]()
    for row in rows:
        pair = pairs.get(key(row))
        strategy = pair.strategy if pair else UNKNOWN
        count[strategy] += 1
        longer[strategy] += pair is not None and len(pair.chosen) > len(pair.rejected)
    tokens = sum(len(ids) for row in rows for ids in row.values())
    lines = [
        f"{run}: {len(rows)} pairs, {tokens} tokens\n",
        "| strategy | pairs | the longer one is chosen | share |",
        "|---|---|---|---|",
    ]
    for strategy, number in sorted(count.items(), key=lambda item: (item[0] == UNKNOWN, -item[1], item[0])):
        cells = ["", ""] if strategy == UNKNOWN else [str(longer[strategy]), share(longer[strategy], number)]
        lines.append(f"| {strategy} | {number} | {' | '.join(cells)} |")
    known, all_longer = len(rows) - count[UNKNOWN], longer.total()
    lines.append(f"| all that are known | {known} | {all_longer} | {share(all_longer, known)} |")
    return "\n".join(lines)


def key(row: Row) -> tuple[int, ...]:
    """The token ids of both prompts."""
    return (*row["chosen_ids"], -1, *row["rejected_ids"])


def share(part: int, whole: int) -> str:
    """`0.650`; nothing of nothing."""
    return f"{part / whole:.3f}" if whole else ""
