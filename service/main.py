"""The gateway: `python -m service`. Its composition root is here."""

import gc
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache as cached
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.routing import APIRoute

from judge.backend.vllm import Backends
from judge.evaluation.reward_health import Totals
from judge.judging.voting import Decision, Rating
from judge.settings import Settings
from judge.store import database, queue
from judge.versions.swap import Swapper
from judge.versions.version import VersionStore
from service.dialects import chat, openrlhf, slime, verl, vllm
from service.door import problems
from service.door.auth import Authenticator, KeyInPath
from service.door.limits import Admission, BodyLimit
from service.metrics import Metrics
from service.requests.batches import Batches
from service.routes import (
    anchors,
    batches,
    datasets,
    drift,
    evaluations,
    instructions,
    iterations,
    judging,
    models,
    operations,
    pins,
    protected,
    quarantine,
    ranking,
    review,
    reviews,
    rewards,
    schedule,
    tenants,
    trials,
)
from service.serving.champion import Champion
from service.serving.drift import DriftGauges
from service.serving.pinned import PinnedVersions
from service.serving.trial import LiveTrial
from service.shared.cache import Cache, Memo
from service.shared.capture import Capture
from service.shared.fair import FairQueue
from service.shared.flights import Flights
from service.shared.recorder import Recorder
from service.shared.reviewing import Reviewing
from service.state import State

if TYPE_CHECKING:
    from judge.prompts.scenarios import ScenarioClassifier


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; connections are opened when it starts."""
    settings = settings or Settings()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request otherwise

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = database.connect(settings.database_url, pool_size=10)
        sessions = database.sessions(engine)
        redis = queue.connect(settings.redis_url)
        backends = Backends.connect(settings.backend_urls, settings.backend_timeout_s)
        store = VersionStore(settings.models_dir)
        pinned = Backends.connect(settings.pinned_urls, settings.backend_timeout_s)
        swapper = Swapper(sessions, store, backends, redis, pinned.servers)
        metrics = Metrics()
        champion = Champion(
            sessions, store, backends, swapper, settings.redis_url, settings.max_model_len, metrics
        )
        candidates = Backends.connect(settings.candidate_urls, settings.backend_timeout_s)
        trial = LiveTrial(champion, sessions, store, candidates, swapper, settings.max_model_len, metrics)
        capture = Capture(settings, sessions)
        recorder = Recorder(sessions, redis, capture, settings.capture_max, metrics)
        reviewing = Reviewing(settings, sessions, capture, metrics)
        gauges = DriftGauges(sessions, metrics)
        cache = Cache(settings.redis_url, settings.cache_s, metrics)
        holder = PinnedVersions(champion, sessions, store, pinned, swapper, settings.max_model_len)
        admission = Admission(settings.max_concurrent_decisions, metrics)
        app.state.authenticator = Authenticator(sessions, on=settings.auth == "keys")
        parts = State(
            settings,
            sessions,
            redis,
            champion,
            trial,
            swapper,
            recorder,
            reviewing,
            metrics,
            admission,
            cache,
            Memo(cache, Decision),
            Memo(cache, Rating),
            FairQueue(settings.reward_concurrency, settings.reward_queue, metrics),
            holder,
            Totals(),
            Flights(),
            cached(lambda: _classifier(settings.scenario_classifier)),
        )
        app.state.judgesmith = parts
        background = Batches(parts)
        await champion.start()
        await trial.start()
        await holder.start()
        await recorder.start()
        await reviewing.start()
        await gauges.start()
        await background.start()
        # What is loaded now stays: the collector need not walk it again and again under load.
        gc.collect()
        gc.freeze()
        try:
            yield
        finally:
            await background.stop()
            await gauges.stop()
            await reviewing.stop()
            await recorder.stop()
            await holder.stop()
            await trial.stop()
            await champion.stop()
            await cache.aclose()
            await backends.aclose()
            await candidates.aclose()
            await pinned.aclose()
            redis.close()
            engine.dispose()

    app = FastAPI(
        title="Judgesmith",
        description="An LLM judge that teaches itself from the instructions it sees.",
        version="0.1.0",
        lifespan=lifespan,
    )
    # Set when the process is asked to stop: streams that would go on for hours end then.
    app.state.stopping = threading.Event()
    problems.install(app)
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.max_body_bytes,
        by_path={
            batches.PATH: settings.max_batch_bytes,
            evaluations.PATH: evaluations.MAX_BYTES,
            **dict.fromkeys(_paths_of_many_items(), settings.max_reward_bytes),
        },
    )
    app.add_middleware(KeyInPath)
    for module in (
        judging,
        ranking,
        rewards,
        pins,
        openrlhf,
        slime,
        verl,
        vllm,
        chat,
        batches,
        instructions,
        iterations,
        trials,
        datasets,
        evaluations,
        schedule,
        models,
        anchors,
        quarantine,
        review,
        reviews,
        drift,
        protected,
        tenants,
        operations,
    ):
        app.include_router(module.router)
    return app


def _paths_of_many_items() -> list[str]:
    """Where thousands of items come in one call."""
    routers = (openrlhf.router, verl.router, vllm.router)
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    return ["/reward", *(route.path for route in routes)]


def _classifier(folder: Path | None) -> "ScenarioClassifier":
    # Imported when first needed: scikit-learn costs a gateway 100 MB and a second of its start.
    from judge.prompts import scenarios

    return scenarios.ScenarioClassifier.load(folder) if folder else scenarios.builtin()
