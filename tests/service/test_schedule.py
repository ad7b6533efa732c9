"""`/admin/schedule`."""

import pytest


def test_a_schedule_is_set_shown_replaced_and_removed(world):
    assert world.http.get("/admin/schedule").status_code == 404

    daily = world.http.put("/admin/schedule", json={"cron": "0 3 * * *", "profile": "small"}).json()
    assert (daily["cron"], daily["every"], daily["profile"]) == ("0 3 * * *", None, "small")
    assert "T03:00:00" in daily["next_at"]
    assert daily["stopped"] is None
    often = world.http.put("/admin/schedule", json={"every": 2, "settings": {"seed": 4}}).json()
    assert (often["cron"], often["every"], often["next_at"], often["new_instructions"]) == (None, 2, None, 0)
    world.http.post(
        "/instructions", json={"instructions": [{"messages": [{"role": "user", "content": "Hi"}]}]}
    )
    assert world.http.get("/admin/schedule").json() == {**often, "new_instructions": 1}
    assert world.http.delete("/admin/schedule").status_code == 204
    assert world.http.get("/admin/schedule").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "cron"),
        ({"cron": "0 3 * * *", "every": 2}, "cron"),
        ({"cron": "daily"}, "cron"),
        ({"every": 0}, "every"),
        ({"every": 2, "settings": {"sampels": 1}}, "settings.sampels"),
    ],
)
def test_a_wrong_schedule_is_named_and_changes_nothing(world, body, field):
    world.http.put("/admin/schedule", json={"every": 9})

    answer = world.http.put("/admin/schedule", json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert world.http.get("/admin/schedule").json()["every"] == 9
