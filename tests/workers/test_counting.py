"""How far an evaluation is."""

from types import SimpleNamespace

from workers.counting import Counting, judged


def test_what_is_counted_and_what_was_never_needed_add_up():
    told: list[tuple[int, int, str]] = []
    lease = SimpleNamespace(progress=lambda *progress: told.append(progress))
    counting = Counting(SimpleNamespace(lease=lease), 100.0)

    counting.begin("first")
    counting.add(30.4)
    counting.add(9.6)
    counting.reach(60.0)  # the rest of it was stored before
    counting.begin("second")
    counting.add(20.0)

    assert told == [
        (0, 100, "first"),
        (30, 100, "first"),
        (40, 100, "first"),
        (60, 100, "first"),
        (60, 100, "second"),
        (80, 100, "second"),
    ]


def test_a_reasoned_judgment_counts_for_more_than_a_read_and_by_its_length():
    assert judged("pointwise", 512) == judged("pairwise", 512) == 2
    assert judged("reasoning", 512) > judged("reasoning", 64) > 4
