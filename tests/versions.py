"""Model versions for tests: tiny, sealed, registered."""

from pathlib import Path

from tokenizers import Tokenizer

from judge.comparison import Comparison, Instruction
from judge.prompts.assembler import Assembler, load_encoder
from judge.prompts.templates import pairwise_direct
from judge.store.database import Sessions
from judge.store.tables import ModelVersion
from judge.versions.version import Probe, VersionStore
from tests.scripted_vllm import hashed_margin, label_logprobs
from tests.tiny_model import make_tiny_model


def probe_of(folder: Path) -> Probe:
    """What the scripted server will answer to the probe with this folder's weights."""
    encoder = load_encoder(folder)
    comparison = Comparison(Instruction.of("Name a color."), "Blue.", "The number seven.")
    prompt = Assembler(encoder, 4096).comparison(pairwise_direct(), comparison, 1)
    labels = [encoder.label(label) for label in pairwise_direct().labels]
    text = Tokenizer.from_file(str(folder / "tokenizer.json")).decode(prompt.token_ids, False)
    return Probe(
        token_ids=prompt.token_ids, labels=labels, logprobs=list(label_logprobs(hashed_margin(text, folder)))
    )


def register(
    sessions: Sessions, store: VersionStore, drafts: Path, seed: int, field_tokens: int | None = None
) -> str:
    """Make, seal and register a version; with `field_tokens`, one that was taught on shortened texts."""
    folder = make_tiny_model(drafts / f"draft-{seed}", seed)
    manifest = store.add(folder, origin=f"test {seed}", probe=probe_of(folder), field_tokens=field_tokens)
    with sessions.begin() as session:
        session.add(ModelVersion(id=manifest.id, origin=manifest.origin, manifest=manifest.model_dump()))
    return manifest.id
