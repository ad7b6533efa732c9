"""Which of the instructions seen at /judge/* are gathered, and in what form they leave this process."""

import logging
import time

from sqlalchemy.exc import SQLAlchemyError

from judge import languages
from judge.comparison import Instruction
from judge.gathering import tenants
from judge.gathering.instructions import Gathered
from judge.gathering.intake import Rules
from judge.gathering.redaction import redact_instruction
from judge.gathering.tenants import Policy
from judge.settings import Settings
from judge.store.database import Sessions

logger = logging.getLogger(__name__)
_REMEMBER_S = 10.0
# What a quiet time saves up.
_BURST_S = 60.0


class Capture:
    """The process's filter, and the tenants' consent, remembered for ten seconds."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self._settings = settings
        self._sessions = sessions
        self._rules = Rules.of(settings)
        self._policies: dict[str, Policy] = {}
        self._read = -_REMEMBER_S
        self._room = settings.capture_per_second * _BURST_S
        self._filled = time.monotonic()

    def has_room(self) -> bool:
        """Whether one more may be looked at now, which is then counted.

        Redacting and storing cost more than a direct decision: under load, gathering everything would take
        the machine from those who wait for answers, for instructions that no iteration will need.
        """
        rate = self._settings.capture_per_second
        if not rate:
            return True
        now = time.monotonic()
        self._room = min(self._room + (now - self._filled) * rate, rate * _BURST_S)
        self._filled = now
        if self._room < 1:
            return False
        self._room -= 1
        return True

    def agreed(self, tenant: str) -> bool:
        """Whether a tenant's texts may be kept. Blocks for the database now and then."""
        terms = self._terms()
        return terms is not None and terms.get(tenant, self._rules.policy).capture

    def choose(self, items: list[Gathered]) -> list[Gathered]:
        """Those that may be gathered, redacted. Blocks for the database now and then."""
        terms = self._terms()
        if terms is None:  # nobody's consent is known
            return []
        agreed = (item for item in items if terms.get(item.tenant, self._rules.policy).capture)
        chosen = (self._redacted(item) for item in agreed if self._is_wanted(item.instruction))
        return [item for item in chosen if item is not None]

    def _is_wanted(self, instruction: Instruction) -> bool:
        settings = self._settings
        length = sum(len(turn.content) for turn in instruction.messages)
        if not settings.capture_min_chars <= length <= settings.capture_max_chars:
            return False
        # By the instruction itself: one that is asked again and again has no more chances than another.
        return settings.capture_rate >= 1 or int(instruction.digest[:8], 16) < settings.capture_rate * 2**32

    def _redacted(self, item: Gathered) -> Gathered | None:
        language = item.language or languages.detect(item.instruction.text)
        wanted = self._settings.capture_languages
        if wanted and language not in wanted:
            return None
        instruction = item.instruction
        if self._rules.redact:
            instruction = redact_instruction(instruction, language)
        return Gathered(instruction, item.source, item.tenant, language)

    def _terms(self) -> dict[str, Policy] | None:
        """The tenants' terms; None where the database does not say what they are now."""
        now = time.monotonic()
        if now - self._read >= _REMEMBER_S:
            try:
                with self._sessions() as session:
                    self._policies = tenants.policies(session, self._rules.policy)
                self._read = now
            except SQLAlchemyError as error:
                logger.warning("the tenants' terms could not be read: %s", error.__class__.__name__)
                return None
        return self._policies
