"""What the routes of one application work with; made by `service.main`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Request
from redis import Redis

from judge.evaluation.reward_health import Totals
from judge.judging.voting import Decision, Rating
from judge.settings import Settings
from judge.store.database import Sessions
from judge.versions.swap import Swapper
from service.door.limits import Admission
from service.metrics import Metrics
from service.serving.champion import Champion
from service.serving.pinned import PinnedVersions
from service.serving.trial import LiveTrial
from service.shared.cache import Cache, Memo
from service.shared.fair import FairQueue
from service.shared.flights import Flights
from service.shared.recorder import Recorder
from service.shared.reviewing import Reviewing

if TYPE_CHECKING:
    from judge.prompts.scenarios import ScenarioClassifier


@dataclass(frozen=True, slots=True)
class State:
    """The parts of a gateway."""

    settings: Settings
    sessions: Sessions
    redis: Redis
    champion: Champion
    trial: LiveTrial
    swapper: Swapper
    recorder: Recorder
    reviewing: Reviewing
    metrics: Metrics
    admission: Admission
    cache: Cache
    decisions: Memo[Decision]
    ratings: Memo[Rating]
    rewards: FairQueue
    pinned: PinnedVersions
    totals: Totals
    reward_flights: Flights[tuple[str, bool]]
    classifier: "Callable[[], ScenarioClassifier]"


async def state(request: Request) -> State:
    """The application's state, as a dependency; `async`, or FastAPI would fetch it in a thread."""
    found: State = request.app.state.judgesmith
    return found
