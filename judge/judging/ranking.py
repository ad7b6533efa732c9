"""Rankings: comparisons or rewards into scores with intervals, and scores into ranks. Pure.

The fit is scikit-learn's, the components are scipy's. Intervals come from a bootstrap over clusters
(prompts, where there are several): what was decided about one prompt stands or falls together. In a draw,
every cluster gets an exponential weight (Rubin 1981, The Bayesian Bootstrap) instead of a count, so that no
draw takes the comparison graph apart. Not covered: covariates such as length, position or time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import rankdata

from judge.errors import Fault, InvalidInput

# The penalty on the squared strengths, in log-likelihoods of single comparisons.
RIDGE = 0.001
DRAWS = 300
_LEVEL = 0.95
_ALL_PAIRS_UP_TO = 8
_CHORDS = 4
_DECIMALS = 6
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Match:
    """One comparison of two players, by their indexes.

    `probability` is that the winner is the better one: 1 for a plain win; 0.5 is a tie, half a win each way.
    """

    winner: int
    loser: int
    cluster: str
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Reward:
    """One reward of a player, by its index."""

    player: int
    cluster: str
    value: float


@dataclass(frozen=True, slots=True)
class Score:
    """A reward or strength in log-odds, with its 95% interval where there are clusters to draw from."""

    value: float
    low: float | None = None
    high: float | None = None


def bradley_terry(
    matches: Sequence[Match], players: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> list[Score]:
    """Strengths of the players, in their order: P(i beats j) = expit(strength i - strength j), mean 0.

    Logistic regression without an intercept and with a tiny ridge (`RIDGE`), which keeps a player that wins
    all finite: how far it is ahead, and its interval, then say that it won all and no more. Intervals are
    percentiles of a bootstrap over clusters, None where there is but one. Takes `draws` times 1 to 4 ms.

    Raises:
        InvalidInput: the players fall into groups that were never compared with each other; all are named.
    """
    return scored(*drawn_strengths(matches, players, draws=draws, seed=seed))


def drawn_strengths(
    matches: Sequence[Match], players: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> tuple[Floats, Floats | None]:
    """The strengths of `bradley_terry` and those of each draw, (draws, players); None of a single cluster.

    Raises:
        InvalidInput: as `bradley_terry`.
    """
    require_connected([(match.winner, match.loser) for match in matches], players)
    if not matches:
        return np.zeros(len(players)), None
    # Imported here: a gateway that never fits begins a second sooner and 100 MB smaller.
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    design, wins, losses = _tables(matches, len(players))
    model = LogisticRegression(
        C=1 / RIDGE, fit_intercept=False, solver="newton-cholesky", tol=1e-10, warm_start=True
    )
    rows = np.vstack([design, design])
    outcomes = np.repeat([1, 0], len(design))

    def fit(weights: Floats) -> Floats:
        model.fit(rows, outcomes, sample_weight=np.concatenate([wins @ weights, losses @ weights]))
        strengths: Floats = model.coef_[0] - model.coef_[0].mean()
        return strengths

    # Many tiny fits: threads of BLAS would spend their time waiting for each other.
    with threadpool_limits(1):
        strengths = fit(np.ones(wins.shape[1]))
        if wins.shape[1] < 2:
            return strengths, None
        return strengths, np.array([fit(weights) for weights in _cluster_weights(wins.shape[1], draws, seed)])


def scored(values: Floats, drawn: Floats | None) -> list[Score]:
    """Scores of all players with the percentile intervals of their draws."""
    if drawn is None:
        return [_score(value) for value in values]
    return [_score(value, drawn[:, player]) for player, value in enumerate(values)]


def mean_rewards(
    rewards: Sequence[Reward], players: Sequence[str], *, draws: int = 4000, seed: int = 0
) -> list[Score]:
    """Mean reward of each player, in their order; intervals by a bootstrap over clusters.

    Means over different prompts compare the prompts too: give every player the same ones where you can.
    """
    found = []
    for player, (value, drawn) in enumerate(drawn_means(rewards, players, draws=draws, seed=seed)):
        several = len({reward.cluster for reward in rewards if reward.player == player}) > 1
        found.append(_score(value, drawn if several else None))
    return found


def drawn_means(
    rewards: Sequence[Reward], players: Sequence[str], *, draws: int, seed: int = 0
) -> list[tuple[float, Floats]]:
    """The mean reward of each player and those of each draw; every draw has one of every player."""
    weights = _cluster_weights(len({reward.cluster for reward in rewards}), draws, seed)
    numbers = _numbers([reward.cluster for reward in rewards])
    found = []
    for player in range(len(players)):
        own = [index for index, reward in enumerate(rewards) if reward.player == player]
        values = np.array([rewards[index].value for index in own])
        drawn = weights[:, numbers[own]]
        found.append((float(values.mean()), (drawn @ values) / drawn.sum(axis=1)))
    return found


def rank_order(scores: Sequence[float]) -> list[tuple[int, int]]:
    """(index, rank) from the best down. Equal scores keep their order and share a rank: 1, 2, 2, 4."""
    ranks = rankdata([-score for score in scores], method="min")
    return sorted(((index, int(rank)) for index, rank in enumerate(ranks)), key=lambda pair: pair[1])


def schedule(count: int, seed: int = 0) -> list[tuple[int, int]]:
    """Who meets whom among `count` players: all pairs up to 8 of them, else 4 * count meetings, 8 for each.

    The players stand in a seeded circle; each meets its neighbors, which connects all, and those at three
    more distances drawn at random.
    """
    if count <= _ALL_PAIRS_UP_TO:
        return list(combinations(range(count), 2))
    random = Random(seed)
    circle = random.sample(range(count), count)
    distances = [1, *random.sample(range(2, (count - 1) // 2 + 1), _CHORDS - 1)]
    met = ((circle[i], circle[(i + step) % count]) for i in range(count) for step in distances)
    return sorted((min(pair), max(pair)) for pair in met)


def require_connected(
    pairs: Sequence[tuple[int, int]], players: Sequence[str], *, field: str = "comparisons"
) -> None:
    """Raise `InvalidInput` about `field` unless a chain of pairs leads from each player to every other."""
    shape = (len(players), len(players))
    rows, columns = [one for one, _ in pairs], [two for _, two in pairs]
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=shape)
    count, labels = connected_components(graph, directed=False)
    if count == 1:
        return
    groups = [[name for name, label in zip(players, labels, strict=True) if label == n] for n in range(count)]
    named = "; ".join(f"({', '.join(group)})" for group in groups)
    raise InvalidInput(Fault(field, f"nothing compares these {count} groups with each other: {named}"))


def _tables(matches: Sequence[Match], count: int) -> tuple[Floats, Floats, Floats]:
    """The pairs that met (+1 and -1 in their columns), and the wins of each side by pair and cluster."""
    pairs = sorted({(min(m.winner, m.loser), max(m.winner, m.loser)) for m in matches})
    row = {pair: index for index, pair in enumerate(pairs)}
    numbers = _numbers([match.cluster for match in matches])
    design = np.zeros((len(pairs), count))
    for (one, two), index in row.items():
        design[index, [one, two]] = 1, -1
    wins = np.zeros((len(pairs), numbers.max() + 1))
    losses = np.zeros_like(wins)
    for match, cluster in zip(matches, numbers, strict=True):
        forward = match.winner < match.loser
        pair = (match.winner, match.loser) if forward else (match.loser, match.winner)
        for_first = match.probability if forward else 1 - match.probability
        wins[row[pair], cluster] += for_first
        losses[row[pair], cluster] += 1 - for_first
    return design, wins, losses


def _numbers(clusters: Sequence[str]) -> NDArray[np.intp]:
    """Clusters as numbers that depend on their names alone."""
    numbers: NDArray[np.intp] = np.unique(np.asarray(clusters), return_inverse=True)[1]
    return numbers


def _cluster_weights(clusters: int, draws: int, seed: int) -> Floats:
    """(draws, clusters) weights with mean 1 in each draw."""
    weights = np.random.default_rng(seed).exponential(size=(draws, clusters))
    return np.asarray(weights / weights.mean(axis=1, keepdims=True))


def _score(value: float, drawn: Floats | None = None) -> Score:
    """Rounded, so that what is equal up to the arithmetic is equal."""
    # Adding zero turns -0.0 into 0.0.
    rounded = round(float(value), _DECIMALS) + 0.0
    if drawn is None:
        return Score(rounded)
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Score(rounded, round(float(low), _DECIMALS), round(float(high), _DECIMALS))
