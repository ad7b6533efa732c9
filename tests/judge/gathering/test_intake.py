"""The way into the pool: what is stored, what counts as a duplicate, what is kept apart, what is refused."""

import pytest
from sqlalchemy import func, select, text

from benchmarks.pool import natural
from judge.comparison import Comparison, Instruction
from judge.evaluation.anchors import LabeledPair, replace_anchors
from judge.gathering import protected, quarantine, tenants
from judge.gathering.instructions import Gathered
from judge.gathering.intake import Rules, admit
from judge.gathering.portion import FLOOD
from judge.gathering.tenants import Policy
from judge.store.tables import InstructionRow, ProtectedRow, QuarantineRow

RULES = Rules()
ANCHOR = (
    "Compare the orbits of Mars and Venus around the sun in a short table, with units and a source for each."
)


def items(*texts, tenant="one", language=None):
    return [Gathered(Instruction.of(text), "test", tenant, language) for text in texts]


def stored(sessions, table=InstructionRow):
    with sessions() as session:
        return list(session.scalars(select(table).order_by(table.id)))


def protect(sessions, *texts):
    with sessions.begin() as session:
        pairs = [LabeledPair(t[:9], Comparison(Instruction.of(t), "x", "y"), "a") for t in texts]
        replace_anchors(session, "people", pairs)


def test_near_duplicates_are_counted_and_not_stored(sessions):
    song = "Sing a long song about seven sailors sailing south in a storm at night"

    outcome = admit(sessions, items(song, song + "!", "Say something else.", song.upper()), RULES)

    assert (outcome.stored, outcome.near_duplicates, outcome.duplicates) == (2, 1, 1)
    assert [row.near_duplicates for row in stored(sessions)] == [1, 0]


def test_different_questions_are_all_stored(sessions):
    texts = natural(300)

    outcome = admit(sessions, items(*texts), RULES)

    assert outcome.stored >= 290
    assert not outcome.quarantined


def test_languages_are_found_and_what_was_said_of_them_counts(sessions):
    admit(sessions, items("Расскажи о реках Сибири и о том, куда они текут.", "hm"), RULES)
    admit(sessions, items("Tell me about the rivers of Siberia.", language="xx"), RULES)

    assert [row.language for row in stored(sessions)] == ["ru", None, "xx"]


def test_conversations_keep_their_turns(sessions):
    turns = [{"role": r, "content": c} for r, c in (("user", "Hi"), ("assistant", "Hello"), ("user", "Why?"))]

    admit(sessions, [Gathered(Instruction.from_json(turns), "test", "one")], RULES)

    assert stored(sessions)[0].messages == turns


@pytest.mark.parametrize(
    "near",
    [
        ANCHOR.upper(),
        f"I have homework. {ANCHOR} Please hurry, and thank you so much for all of your help with it today!",
        "Compare the orbits of Mars and Venus around the sun in a short table, with units and a source",
    ],
)
def test_what_is_close_to_an_anchor_is_quarantined_with_the_reason(sessions, near):
    protect(sessions, ANCHOR)

    outcome = admit(sessions, items(near, "Compare two poems by Rilke."), RULES)

    assert outcome.stored == 1
    row = stored(sessions, QuarantineRow)[0]
    assert row.kind == "contaminated"
    assert row.reason == outcome.quarantined[0]
    assert "item Compare t of anchors people" in row.reason


def test_anchors_protect_as_long_as_they_are_anchors(sessions):
    protect(sessions, ANCHOR)
    admit(sessions, items("Nothing to do with it."), RULES)
    protect(sessions, "Another one entirely, about the price of bread in Rome in the year 1950 and after.")

    outcome = admit(sessions, items(ANCHOR), RULES)

    assert outcome.stored == 1
    assert [row.item for row in stored(sessions, ProtectedRow)] == ["Another o"]


def test_items_of_a_benchmark_are_protected_too(sessions):
    with sessions.begin() as session:
        protected.replace_protected(session, "bench", [Instruction.of(ANCHOR)])

    assert "of bench" in admit(sessions, items(ANCHOR), RULES).quarantined[0]


def test_a_flood_of_near_duplicates_takes_its_first_with_it(sessions):
    song = "Sing a long song about the {} sailors sailing south in a storm at night, and sing it very loudly"

    admit(sessions, items(*(song.format(number) for number in range(100, 101 + FLOOD))), RULES)
    later = admit(sessions, items(song.format("last")), RULES)

    assert stored(sessions) == []
    row = stored(sessions, QuarantineRow)[0]
    assert (row.kind, row.reason) == ("flood", f"{FLOOD} near-duplicates of it came in")
    assert later.near_duplicates == 1


def test_a_tenant_stores_its_number_and_others_go_on(sessions):
    with sessions.begin() as session:
        tenants.set_policy(
            session, "one", capture=True, daily_instructions=2, retention_days=None, actor="test"
        )

    outcome = admit(sessions, items("First.", "Second thing.", "A third?", "First."), RULES)
    other = admit(sessions, items("A fourth!", tenant="two"), RULES)

    assert outcome.stored == 2
    assert list(outcome.rejected) == [2]
    assert "number of instructions for today" in outcome.rejected[2]
    assert other.stored == 1


def test_the_number_of_a_tenant_counts_a_day(sessions):
    rules = Rules(policy=Policy(daily_instructions=1))
    admit(sessions, items("First."), rules)
    assert admit(sessions, items("Second thing."), rules).rejected
    with sessions.begin() as session:
        session.execute(text("UPDATE instructions SET created_at = now() - interval '25 hours'"))

    assert admit(sessions, items("Second thing."), rules).stored == 1


def test_released_ones_are_back_in_the_pool_and_known(sessions):
    protect(sessions, ANCHOR)
    admit(sessions, items(ANCHOR), RULES)
    with sessions.begin() as session:
        assert quarantine.release(session, QuarantineRow.kind == "contaminated", "test") == 1

    assert admit(sessions, items(ANCHOR), RULES).duplicates == 1
    assert [row.released for row in stored(sessions)] == [True]
    assert stored(sessions, QuarantineRow) == []


def test_near_duplicates_are_looked_up_by_an_index(sessions):
    with sessions.begin() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        query = "SELECT id, signature FROM instructions WHERE bands && ARRAY[1, 2]::bigint[] LIMIT 200"
        plan = session.scalars(text(f"EXPLAIN {query}"))

        assert "ix_instructions_bands" in "\n".join(plan)


def test_two_writers_at_a_time_store_one_of_two_near_duplicates(sessions):
    from concurrent.futures import ThreadPoolExecutor

    song = "Sing a long song about seven sailors sailing south in a storm at night, number {}"
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda n: admit(sessions, items(song.format(n)), RULES), range(8)))

    assert sum(outcome.stored for outcome in outcomes) == 1
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(InstructionRow)) == 1
