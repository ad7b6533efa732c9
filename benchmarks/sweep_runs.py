"""The runs of `benchmarks.sweep`: from which pairs, how many of them, and how each is trained.

`varied` to `asked` look for the mix of strategies, `logged` to `full-slower` learn from the earlier turns of
conversations, `full` as an iteration of that profile. `base` and what follows it change one setting at a
time.
"""

from typing import Any

from judge.teaching.profiles import iteration_settings

_FULL = iteration_settings("full", {})

MIXES: dict[str, dict[str, float]] = {
    "topic": {"neighbor": 0.7, "random": 0.3},
    "first": {
        "neighbor": 0.40, "modified": 0.10, "random": 0.15, "requirement": 0.10, "corrupted": 0.15,
        "shortened": 0.10,
    },
    "varied": {
        "neighbor": 0.20, "modified": 0.10, "random": 0.05, "hotter": 0.10, "requirement": 0.25,
        "shortened": 0.05, "corrupted": 0.05, "substituted": 0.05, "spliced": 0.05, "renumbered": 0.05,
        "repeating": 0.03, "broken_off": 0.02,
    },
    "damage": {
        "hotter": 0.15, "corrupted": 0.2, "substituted": 0.2, "spliced": 0.15, "renumbered": 0.2,
        "broken_off": 0.1,
    },
    "demands": {"requirement": 0.7, "neighbor": 0.3},
    "asked": {
        "requirement": 0.40, "neighbor": 0.20, "modified": 0.15, "random": 0.07, "incomplete": 0.09,
        "shortened": 0.09,
    },
    "logged": {"logged": 1.0},
    "later": {
        "logged": 2.0, "later": 2.0, "modified": 2.0, "neighbor": 0.30, "requirement": 0.15, "random": 0.08,
        "incomplete": 0.06, "shortened": 0.06,
    },
    "small": iteration_settings("small", {}).mix.model_dump(),
    "full": _FULL.mix.model_dump(),
    "own": {
        "requirement": 0.40, "neighbor": 0.24, "modified": 0.10, "random": 0.08, "incomplete": 0.09,
        "shortened": 0.09,
    },
}  # fmt: skip

# `strategy` is what is trained and measured. Texts are cut to `field_tokens` in training and to `read_tokens`
# where the model is measured. `validation` is the share of the pairs that chooses the checkpoint; `both_ways`
# is an iteration's setting. `judged` pairs are judged with reasoning `samples` times in each order, of which
# rejection sampling leaves those that a run by reasoning learns from. With 0 pairs the seed is measured.
DEFAULTS: dict[str, Any] = {
    "strategy": "pointwise",
    "mix": "varied",
    "pairs": 480,
    "per_instruction": 3,
    "field_tokens": 96,
    "read_tokens": 96,
    "validation": 0.1,
    "both_ways": False,
}
_BASE: dict[str, Any] = {
    "mix": "own",
    "pairs": 144,
    "per_instruction": 4,
    "method": "full",
    "pointwise_learning_rate": 1e-4,
    "sft_learning_rate": 1e-4,
    "validation": 0.0,
}
_REASONING = _BASE | {"strategy": "reasoning", "pairs": 32, "samples": 15, "sft_epochs": 2}
_LOGGED = _BASE | {
    "mix": "logged",
    "pairs": 560,
    "per_instruction": 1,
    "field_tokens": 192,
    "read_tokens": 192,
}
_LIKE_FULL = _LOGGED | {
    "mix": "full",
    "pairs": _FULL.max_pointwise,
    "per_instruction": _FULL.pairs_per_instruction,
}
RUNS: dict[str, dict[str, Any]] = {
    "varied": {},
    "topic": {"mix": "topic"},
    "first": {"mix": "first"},
    "damage": {"mix": "damage"},
    "demands": {"mix": "demands"},
    "asked": {
        "mix": "asked",
        "pairs": 800,
        "per_instruction": 4,
        "method": "full",
        "pointwise_learning_rate": 1e-4,
    },
    "logged": _LOGGED,
    "logged-mixed": _LOGGED | {"mix": "small", "pairs": 720, "per_instruction": 2},
    "later": _LOGGED | {"mix": "later", "pairs": 1050, "per_instruction": 3},
    "later-both-ways": _LOGGED | {"mix": "later", "pairs": 1220, "per_instruction": 3, "both_ways": True},
    "full": _LIKE_FULL | {"pointwise_learning_rate": _FULL.pointwise_learning_rate},
    "full-slower": _LIKE_FULL,
    "base": _BASE,
    "half-pairs": _BASE | {"pairs": 72},
    "double-pairs": _BASE | {"pairs": 288},
    "low-rate": _BASE | {"pointwise_learning_rate": 3e-5},
    "high-rate": _BASE | {"pointwise_learning_rate": 3e-4},
    "all-layers": _BASE | {"trained_layers": 1.0},
    "rank-16": _BASE | {"method": "lora", "pointwise_learning_rate": 5e-4},
    "rank-4": _BASE | {"method": "lora", "pointwise_learning_rate": 5e-4, "lora_rank": 4},
    "seed-pairwise": _BASE | {"strategy": "pairwise", "pairs": 0},
    "pairwise": _BASE | {"strategy": "pairwise", "sft_epochs": 1},
    "seed-reasoning": _REASONING | {"pairs": 0},
    "reasoning": _REASONING,
}
