"""What an iteration is going to be: the profile that suits the seed model, and settings that can be run."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from judge.backend.vllm import Backends
from judge.judging.judge import Judge
from judge.teaching import budget, iterations
from judge.teaching.profiles import IterationSettings, Profile, iteration_settings, profile_for
from judge.versions.version import VersionStore, parameters


@dataclass(frozen=True, slots=True)
class Plan:
    """A profile, asked for or chosen, and the settings that it comes to."""

    profile: Profile
    settings: IterationSettings


def plan(
    session: Session,
    store: VersionStore,
    max_model_len: int,
    profile: Profile | None,
    overrides: dict[str, Any],
) -> Plan:
    """Choose the profile by the seed model's size unless one is named; check what is asked for.

    Raises:
        InvalidInput: an override is unknown or out of range, or the settings do not fit the context.
        Conflict: no seed model is registered.
    """
    seed = iterations.seed_version(session)
    chosen = profile or profile_for(parameters(store.path(seed)))
    settings = iteration_settings(chosen, overrides)
    budget.check(judge_of(store, seed, max_model_len, settings), settings)
    return Plan(chosen, settings)


def judge_of(
    store: VersionStore,
    version: str,
    max_model_len: int,
    settings: IterationSettings,
    backends: Backends | None = None,
) -> Judge:
    """A version as an iteration has it judge; without backends, for its prompts alone."""
    return Judge.load(
        store,
        version,
        backends or Backends([]),
        max_model_len,
        reasoning_tokens=settings.reasoning_tokens,
        field_tokens=settings.field_tokens,
    )
