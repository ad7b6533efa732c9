"""Prometheus metrics of one gateway."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counters of what was answered. Each application has a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.decisions = Counter(
            "judgesmith_decisions_total",
            "Answers given.",
            ["kind", "mode", "outcome"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "judgesmith_decision_seconds",
            "Time from request to answer.",
            ["kind", "mode"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.tokens = Counter(
            "judgesmith_tokens_total", "Tokens read and written by the backend.", ["direction"],
            registry=self.registry,
        )  # fmt: skip
        self.in_progress = Gauge(
            "judgesmith_decisions_in_progress", "Decisions in progress.", registry=self.registry
        )
        self.retries = Counter(
            "judgesmith_retries_total",
            "Second attempts: a lost connection to a backend, a judgment without its final field.",
            registry=self.registry,
        )
        self.cache = Counter(
            "judgesmith_cache_total", "Judgments looked up: hit, miss, or shared with an equal request.",
            ["outcome"], registry=self.registry,
        )  # fmt: skip
        self.batch_lines = Counter(
            "judgesmith_batch_lines_total", "Lines of batches judged here.", ["outcome"],
            registry=self.registry,
        )  # fmt: skip
        self.repeated = Counter(
            "judgesmith_decisions_repeated_total",
            "Decisions begun again because the champion changed under them.",
            registry=self.registry,
        )
        self.shed = Counter(
            "judgesmith_requests_shed_total", "Requests refused for overload.", registry=self.registry
        )
        self.rewards = Counter(
            "judgesmith_rewards_total",
            "Rewards by outcome: rewarded, empty (the response held no answer), invalid.",
            ["version", "outcome"], registry=self.registry,
        )  # fmt: skip
        self.reward_share = Histogram(
            "judgesmith_reward_share",
            "Rewards between the worst (0) and the best (1); the outermost buckets are saturated.",
            ["version"], buckets=_SHARES, registry=self.registry,
        )  # fmt: skip
        self.reward_length = Gauge(
            "judgesmith_reward_length_correlation",
            "Correlation of reward and length in characters since this process began.",
            ["version"], registry=self.registry,
        )  # fmt: skip
        self.rewards_waiting = Gauge(
            "judgesmith_rewards_waiting", "Rewards that wait or are under way.", registry=self.registry
        )
        self.captured = Counter(
            "judgesmith_instructions_captured_total", "Instructions put on the stream.", ["outcome"],
            registry=self.registry,
        )  # fmt: skip
        self.tried = Counter(
            "judgesmith_trial_comparisons_total",
            "Comparisons of a trial: recorded, or dropped since too many were in progress.", ["outcome"],
            registry=self.registry,
        )  # fmt: skip
        self.review_items = Counter(
            "judgesmith_review_items_total",
            "Live comparisons for people: stored, left out (no consent, trained on, known), or dropped.",
            ["outcome"], registry=self.registry,
        )  # fmt: skip
        stream = ["version", "kind", "mode"]
        self.drift_figure = Gauge(
            "judgesmith_drift_figure",
            "Shares and means of a version's newest window of decisions.",
            [*stream, "figure"],
            registry=self.registry,
        )
        self.drift_alarm = Gauge(
            "judgesmith_drift_alarm",
            "1 where the newest window differs from the version's first one.",
            [*stream, "figure"],
            registry=self.registry,
        )
        self.champion = Gauge(
            "judgesmith_champion_info", "1 for the version in service.", ["version"], registry=self.registry
        )
