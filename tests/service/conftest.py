"""A whole gateway on a real port: real Postgres and Valkey, and a scripted vLLM behind it."""

import time
from dataclasses import dataclass

import httpx
import pytest
from tokenizers import Tokenizer

from judge.settings import Settings
from judge.store.database import Sessions
from judge.versions.pointer import move_champion
from judge.versions.version import VersionStore
from service.main import create_app
from tests.scripted_vllm import Script, ScriptedVLLM, prefers
from tests.service.ranked import by_worth
from tests.serving import serve
from tests.versions import register


@dataclass
class World:
    """Everything that a test of the gateway may look at or change."""

    url: str
    http: httpx.Client
    sessions: Sessions
    store: VersionStore
    backend: ScriptedVLLM
    versions: list[str]
    settings: Settings

    @property
    def script(self) -> Script:
        return self.backend.script


@pytest.fixture
def make_world(sessions, clean_redis, postgres_url, tmp_path):
    """A function that starts a gateway with three versions, of which the first serves."""
    open_blocks = []

    def make(field_tokens: int | None = None, **overrides: object) -> World:
        store = VersionStore(tmp_path / "models")
        versions = [register(sessions, store, tmp_path, seed, field_tokens) for seed in (0, 1, 2)]
        with sessions.begin() as session:
            move_champion(session, versions[0], 0, actor="test", act="seed", details={})
        folder = store.path(versions[0])
        script = Script(Tokenizer.from_file(str(folder / "tokenizer.json")), folder, label=versions[0])
        backend_block = ScriptedVLLM(script).serve()
        backend = backend_block.__enter__()
        open_blocks.append(backend_block)
        values = {
            "home": tmp_path,
            "database_url": postgres_url,
            "redis_url": clean_redis,
            "backend_urls": [backend.url],
            "auth": "off",
            "log_level": "ERROR",
        }
        settings = Settings(**{**values, **overrides})
        gateway_block = serve(create_app(settings))
        url = gateway_block.__enter__()
        open_blocks.append(gateway_block)
        http = httpx.Client(base_url=url, timeout=60)
        wait_until_ready(http)
        return World(url, http, sessions, store, backend, versions, settings)

    yield make
    for block in reversed(open_blocks):
        block.__exit__(None, None, None)


@pytest.fixture
def world(make_world) -> World:
    """A gateway with the usual settings."""
    return make_world()


def wait_until_ready(http: httpx.Client) -> None:
    for _ in range(400):
        if http.get("/readyz").status_code == 200:
            return
        time.sleep(0.02)
    raise AssertionError(http.get("/readyz").text)


@pytest.fixture
def judged(world):
    """A world whose judge likes Blue by 2 nats and dislikes the rest by as much."""
    world.script.margin = prefers("Blue")
    return world


@pytest.fixture
def scripted_world(world):
    world.script.margin = by_worth
    return world
