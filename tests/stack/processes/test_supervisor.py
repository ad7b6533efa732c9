"""The supervisor with small real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.home import Home, alive
from stack.processes.child import Launch, Program
from stack.processes.servers import running
from stack.processes.supervisor import Backoff, Supervisor

FOREVER = "import time; time.sleep(600)"


@pytest.fixture
def home(tmp_path):
    home = Home.at(tmp_path / "home")
    home.prepare()
    return home


def program(name: str, code: str, **options: object) -> Program:
    command = [sys.executable, "-c", code]
    return Program(name, lambda: Launch(command, dict(os.environ), Path("/")), **options)


def tick_until(supervisor: Supervisor, condition, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        supervisor.tick()
        time.sleep(0.02)


def test_pauses_double_up_to_a_minute_and_begin_again_after_a_minute_up():
    backoff = Backoff()

    assert [backoff.pause(5) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.pause(61) == 1
    assert backoff.pause(0) == 2


def test_a_dying_child_is_started_again_with_growing_pauses(home, tmp_path, capsys):
    starts = tmp_path / "starts"
    code = (
        "import time\n"
        f"with open({str(starts)!r}, 'a') as note: note.write(f'{{time.time()}}\\n')\n"
        "time.sleep(.3); 1/0"
    )

    with running(home, program("crasher", code)) as supervisor:
        tick_until(supervisor, lambda: len(starts.read_text().split()) == 3)

    first, second, third = map(float, starts.read_text().split())
    assert 1 < second - first < 2.5
    assert 2 < third - second < 3.5
    told = capsys.readouterr().out
    assert "crasher ended with code 1; starting it again in 1 s" in told
    assert str(home.log_dir / "crasher.log") in told
    assert "ZeroDivisionError" in (home.log_dir / "crasher.log").read_text()


def test_a_child_that_does_not_start_is_an_error_with_the_end_of_its_log(home):
    broken = program("broken", "print('the reason'); raise SystemExit(3)", ready=lambda: False)

    with pytest.raises(StackError, match=r"(?s)broken ended with code 3.*the reason"), running(home, broken):
        pass


def test_a_child_that_never_serves_is_an_error(home):
    slow = program("slow", FOREVER, ready=lambda: False, start_timeout_s=1)

    with pytest.raises(StackError, match="did not begin to serve within 1 s"), running(home, slow):
        pass


def test_children_are_stopped_in_reverse_order(home, tmp_path):
    order = tmp_path / "order"
    code = (
        "import signal, time, sys\n"
        "def stop(*_):\n"
        f"    time.sleep(.2); open({str(order)!r}, 'a').write(sys.argv[1]); sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop); print('ready', flush=True); time.sleep(600)"
    )

    def ordered(name: str) -> Program:
        command = [sys.executable, "-c", code, name]
        log = home.log_dir / f"{name}.log"
        return Program(
            name,
            lambda: Launch(command, dict(os.environ), Path("/")),
            ready=lambda: "ready" in log.read_text(),
        )

    with running(home, ordered("1")) as supervisor:
        supervisor.start(ordered("2"))
        supervisor.start(ordered("3"))

    assert order.read_text() == "321"


def test_a_child_that_ignores_the_stop_signal_is_killed_after_its_grace(home):
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code = f"{ignore}; print(1, flush=True); {FOREVER}"
    log = home.log_dir / "deaf.log"
    with running(
        home, program("deaf", code, grace_s=0.5, ready=lambda: "1" in log.read_text())
    ) as supervisor:
        _, pid = supervisor.states["deaf"]
        begun = time.monotonic()

    assert time.monotonic() - begun < 5
    assert not alive(pid)


def test_failing_health_checks_restart_a_child_that_still_runs(home, capsys):
    asked = []

    def healthy() -> bool:
        asked.append(1)
        return len(asked) > 8

    with running(home, program("hung", FOREVER, healthy=healthy, health_every_s=0.05)) as supervisor:
        _, first = supervisor.states["hung"]
        tick_until(supervisor, lambda: len(asked) > 8)
        assert supervisor.states["hung"][1] != first

    assert "hung failed 6 health checks in a row" in capsys.readouterr().out


def test_what_a_child_has_started_goes_with_it(home, tmp_path):
    """An engine for evaluation leads a session of its own, and its core has lost the mark."""
    note = tmp_path / "pids"
    core = f"import os; print(os.getpid(), file=open({str(note)!r}, 'a')); {FOREVER}"
    start_core = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {core!r}], env={{}})"
    code = (
        "import subprocess, sys, time\n"
        f"for code, new in (({core!r}, False), ({core!r}, True), ({start_core!r}, True)):\n"
        "    subprocess.Popen([sys.executable, '-c', code], start_new_session=new)\n"
        f"{FOREVER}"
    )
    with running(home, program("parent", code)) as supervisor:
        tick_until(supervisor, lambda: note.exists() and len(note.read_text().split()) == 3)
        started = [int(pid) for pid in note.read_text().split()]
        os.kill(supervisor.states["parent"][1], signal.SIGKILL)
        tick_until(supervisor, lambda: not any(map(alive, started)))


def test_nothing_outlives_a_killed_supervisor(home, tmp_path):
    """Neither a child that takes its time nor its own child; the home is free when they are gone."""
    note = tmp_path / "pids"
    stubborn = (
        "import os, signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"p = subprocess.Popen([sys.executable, '-c', {FOREVER!r}], start_new_session=True)\n"
        f"open({str(note)!r}, 'w').write(f'{{os.getpid()}} {{p.pid}}'); time.sleep(600)"
    )
    script = (
        "import os, sys, time; from pathlib import Path; from stack.processes.child import Launch, Program\n"
        "from stack.home import Home; from stack.processes.supervisor import Supervisor\n"
        "launch = lambda: Launch([sys.executable, '-c', sys.argv[2]], dict(os.environ), Path('/'))\n"
        "home = Home.at(Path(sys.argv[1]))\n"
        "with home.lock() as lock_fd:\n"
        "    Supervisor(home, lock_fd, print, orphan_grace_s=1).start(Program('stubborn', launch))\n"
        "    time.sleep(600)"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", script, str(home.root), stubborn])
    while not note.exists() or len(note.read_text().split()) < 2:
        time.sleep(0.05)

    supervisor.kill()
    supervisor.wait()

    with home.lock():
        assert not any(alive(int(pid)) for pid in note.read_text().split())


def test_a_launch_that_fails_is_tried_again(home, capsys):
    failures = [RuntimeError("the database is down")]

    def launch() -> Launch:
        if failures and len(started) == 1:
            raise failures.pop()
        started.append(1)
        return Launch([sys.executable, "-c", "import time; time.sleep(.2)"], dict(os.environ), Path("/"))

    started: list[int] = []
    with running(home, Program("needy", launch)) as supervisor:
        tick_until(supervisor, lambda: len(started) == 2)

    assert "needy cannot be started now (the database is down); again in 2 s" in capsys.readouterr().out


def test_a_large_log_is_put_aside_at_the_next_start(home):
    log = home.log_dir / "chatty.log"
    with log.open("wb") as file:
        file.truncate(21 * 2**20)

    with running(
        home, program("chatty", "import time; print('new', flush=True); time.sleep(600)")
    ) as supervisor:
        tick_until(supervisor, lambda: log.exists() and log.read_text() == "new\n")

    assert (home.log_dir / "chatty.log.1").stat().st_size == 21 * 2**20
