"""What the routes of one application work with; made by `service.main`."""

from dataclasses import dataclass

from fastapi import Request
from redis import Redis

from judge.database import Sessions
from judge.settings import Settings
from judge.swap import Swapper
from service.champion import Champion
from service.limits import Admission
from service.metrics import Metrics
from service.recorder import Recorder


@dataclass(frozen=True, slots=True)
class State:
    """The parts of a gateway."""

    settings: Settings
    sessions: Sessions
    redis: Redis
    champion: Champion
    swapper: Swapper
    recorder: Recorder
    admission: Admission
    metrics: Metrics


def state(request: Request) -> State:
    """The application's state, as a dependency."""
    found: State = request.app.state.judgesmith
    return found
