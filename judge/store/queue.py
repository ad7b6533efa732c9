"""The queue: what says "go". Postgres holds what is to be done; a lost job is only a lost hint."""

from redis import Redis
from rq import Queue

STAGES = "stages"
GATHER = "gather"
CHAMPION_CHANNEL = "judgesmith:champion"
RUN_STAGE = "workers.stage.run_stage"
RUN_GATHER = "workers.gather.run_gather"
HELP_STAGE = "workers.stage.help_stage"
RUN_EVALUATION = "workers.benchmark.run_evaluation"
# What a worker may run. Write access to the queue must not be the right to run any importable name.
ALLOWED_JOBS = frozenset({RUN_STAGE, RUN_GATHER, HELP_STAGE, RUN_EVALUATION})
_STAGE_TIMEOUT_S = 24 * 3600


def connect(url: str) -> Redis:
    """A client that gives up within seconds and checks idle connections."""
    return Redis.from_url(url, socket_connect_timeout=5, health_check_interval=30)


def enqueue_stage(redis: Redis, iteration: int, stage: str) -> None:
    """Ask a worker to run a stage; the worker takes its lease in Postgres or finds nothing to do."""
    Queue(STAGES, connection=redis, serializer="json").enqueue(
        RUN_STAGE, iteration, stage, job_timeout=_STAGE_TIMEOUT_S, result_ttl=60, failure_ttl=86_400
    )


def enqueue_help(redis: Redis, iteration: int, stage: str, epoch: int, number: int) -> None:
    """Ask another worker to take part in a running stage; nothing depends on whether one does."""
    Queue(STAGES, connection=redis, serializer="json").enqueue(
        HELP_STAGE,
        iteration,
        stage,
        epoch,
        number,
        job_timeout=_STAGE_TIMEOUT_S,
        result_ttl=60,
        failure_ttl=3600,
    )


def enqueue_evaluation(redis: Redis, run: int) -> None:
    """Ask a worker to run an evaluation; the worker takes its lease in Postgres or finds nothing to do."""
    Queue(STAGES, connection=redis, serializer="json").enqueue(
        RUN_EVALUATION, run, job_timeout=_STAGE_TIMEOUT_S, result_ttl=60, failure_ttl=86_400
    )


def enqueue_gather(redis: Redis, *, every_s: int = 5) -> None:
    """Ask a worker to empty the stream, at most once in `every_s` seconds."""
    if redis.set("judgesmith:gather-asked", 1, nx=True, ex=every_s):
        Queue(GATHER, connection=redis, serializer="json").enqueue(
            RUN_GATHER, job_timeout=600, result_ttl=60, failure_ttl=86_400
        )
