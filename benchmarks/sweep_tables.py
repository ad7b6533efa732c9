"""What `benchmarks.sweep` prints, as Markdown: the results, the pool, and what each run was trained on."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from judge.comparison import PreferencePair
from judge.evaluation.statistics import Outcome, compare, length_balanced
from judge.verdict import Verdict

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


def _cell(rows: list[list[Any]], seed: list[list[Any]]) -> str:
    """One figure of the table; the test is McNemar's exact one against the seed, one-sided."""
    if not rows:
        return ""
    own = _outcomes(rows)
    both = compare(_outcomes(seed), own, 0.95)
    star = "*" if both.p_better < 0.05 else ""
    return f"{both.candidate:.3f} ({length_balanced(own):.3f}){star}"


def _outcomes(rows: list[list[Any]]) -> list[Outcome]:
    """Rows of a pair's id, whether it is right, and whether the shorter one is the better; each read once."""
    found: list[Outcome] = []
    for item, right, shorter in rows:
        verdict: Verdict = "a" if right else "b"
        found.append(Outcome(item, item, right, (verdict, verdict), shorter))
    return found


def yields(judgments: Sequence[dict[str, Any]]) -> str:
    """For how many ordered prompts rejection sampling finds a right judgment, by samples and agreement."""
    prompts: dict[tuple[int, bool], dict[int, bool]] = defaultdict(dict)
    for row in judgments:
        prompts[row["pair"], row["chosen_first"]][row["sample"]] = row["right"]
    if not prompts:
        return "no judgments"
    most = min(map(len, prompts.values()))
    lines = [
        "| samples | of them right at least | prompts kept | the chosen one first | last |",
        "|---" * 5 + "|",
    ]
    for samples, share in [(n, 0.0) for n in (1, 2, 4, 8) if n < most] + [
        (most, share) for share in (0.0, 0.25, 0.5, 0.75)
    ]:
        kept = Counter(
            first
            for (_, first), rights in prompts.items()
            if sum(rights[n] for n in range(samples)) >= max(share * samples, 1)
        )
        least = f"{share:.0%}" if share else "one"
        lines.append(
            f"| {samples} | {least} | {kept.total()} of {len(prompts)} | {kept[True]} | {kept[False]} |"
        )
    return "\n".join(lines)


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
