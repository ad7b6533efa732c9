"""A whole gateway on a real port: real Postgres and Valkey, and a scripted vLLM behind it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from tokenizers import Tokenizer

from judge import database, queue
from judge.comparison import Comparison, Instruction
from judge.database import Sessions
from judge.pointer import move_champion
from judge.prompts import Assembler, load_encoder
from judge.settings import Settings
from judge.tables import Base, ModelVersion
from judge.templates import PAIRWISE_DIRECT
from judge.versions import Probe, VersionStore
from service.main import create_app
from tests.scripted_vllm import Script, ScriptedVLLM, hashed_margin, label_logprobs
from tests.serving import serve
from tests.tiny_model import make_tiny_model


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


def probe_of(folder: Path) -> Probe:
    """What the scripted server will answer to the probe with this folder's weights."""
    encoder = load_encoder(folder)
    comparison = Comparison(Instruction.of("Name a color."), "Blue.", "The number seven.")
    prompt = Assembler(encoder, 4096).comparison(PAIRWISE_DIRECT, comparison, 1)
    labels = [encoder.label(label) for label in PAIRWISE_DIRECT.labels]
    text = Tokenizer.from_file(str(folder / "tokenizer.json")).decode(prompt.token_ids, False)
    return Probe(
        token_ids=prompt.token_ids, labels=labels, logprobs=list(label_logprobs(hashed_margin(text, folder)))
    )


def register(sessions: Sessions, store: VersionStore, drafts: Path, seed: int) -> str:
    """Make, seal and register a version."""
    folder = make_tiny_model(drafts / f"draft-{seed}", seed)
    manifest = store.add(folder, origin=f"test {seed}", probe=probe_of(folder))
    with sessions.begin() as session:
        session.add(ModelVersion(id=manifest.id, origin=manifest.origin, manifest=manifest.model_dump()))
    return manifest.id


@pytest.fixture
def sessions(postgres_url: str) -> Iterator[Sessions]:
    """A sessionmaker on an empty database."""
    engine = database.connect(postgres_url)
    names = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    yield database.sessions(engine)
    engine.dispose()


@pytest.fixture
def clean_redis(redis_url: str) -> str:
    """An empty Valkey."""
    with queue.connect(redis_url) as client:
        client.flushall()
    return redis_url


@pytest.fixture
def make_world(sessions, clean_redis, postgres_url, tmp_path):
    """A function that starts a gateway with three versions, of which the first serves."""
    open_blocks = []

    def make(**overrides: object) -> World:
        store = VersionStore(tmp_path / "models")
        versions = [register(sessions, store, tmp_path, seed) for seed in (0, 1, 2)]
        with sessions.begin() as session:
            move_champion(session, versions[0], 0, actor="test", act="seed", details={})
        folder = store.path(versions[0])
        script = Script(Tokenizer.from_file(str(folder / "tokenizer.json")), folder, label=versions[0])
        backend_block = ScriptedVLLM(script).serve()
        backend = backend_block.__enter__()
        open_blocks.append(backend_block)
        settings = Settings(
            home=tmp_path,
            database_url=postgres_url,
            redis_url=clean_redis,
            backend_urls=[backend.url],
            **{"auth": "off", "log_level": "ERROR", **overrides},
        )
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
