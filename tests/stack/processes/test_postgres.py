"""The embedded Postgres: it keeps its data, comes back after a kill, and finds a place anywhere."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from stack.errors import StackError
from stack.home import Home
from stack.processes import postgres
from stack.processes.postgres import Postgres, prepare_postgres
from stack.processes.servers import new_home, running


def execute(server: Postgres, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(host=str(server.socket_dir), user="postgres", autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def postmaster(server: Postgres) -> int:
    return int((server.data / "postmaster.pid").read_text().split("\n")[0])


def test_data_outlive_a_restart_and_a_kill_of_all_its_processes():
    with new_home() as home:
        server = prepare_postgres(home)
        with running(home, server.program()):
            execute(server, "CREATE TABLE kept AS SELECT 1 AS value")

        with running(home, prepare_postgres(home).program()) as supervisor:
            execute(server, "INSERT INTO kept VALUES (2)")
            os.kill(postmaster(server), signal.SIGKILL)
            while not _restarted(supervisor, server):
                pass
            assert execute(server, "SELECT value FROM kept ORDER BY value") == [(1,), (2,)]


def _restarted(supervisor, server):
    supervisor.tick()
    return supervisor.states["postgres"][0] == "up" and server.ready()


def test_a_lock_file_left_empty_by_a_loss_of_power_does_not_stop_it():
    with new_home() as home:
        server = prepare_postgres(home)
        (server.data / "postmaster.pid").write_text("")

        with running(home, server.program()):
            assert server.ready()


def test_a_lock_file_with_the_number_of_another_living_process_does_not_stop_it():
    with new_home() as home:
        server = prepare_postgres(home)
        with running(home, server.program()):
            pass
        lock = f"{os.getpid()}\n{server.data}\n1\n5432\n{server.socket_dir}\n"
        (server.data / "postmaster.pid").write_text(lock)
        (server.socket_dir / ".s.PGSQL.5432.lock").write_text(lock)

        with running(home, server.program()):
            assert execute(server, "SELECT 1") == [(1,)]


def test_an_interrupted_creation_is_begun_anew():
    with new_home() as home:
        draft = home.root / "postgres" / "data.new"
        draft.mkdir(parents=True)
        (draft / "half").write_text("")

        with running(home, prepare_postgres(home).program()):
            assert not draft.exists()


def test_a_path_too_long_for_a_socket_gets_a_short_private_folder():
    with new_home() as home:
        deep = Home.at(home.root / ("d" * 100))
        deep.prepare()
        server = prepare_postgres(deep)

        with running(deep, server.program()):
            assert execute(server, "SELECT 1") == [(1,)]
            assert server.socket_dir.stat().st_mode & 0o777 == 0o700
        shutil.rmtree(server.socket_dir)


def test_a_short_folder_that_others_could_enter_is_refused():
    with new_home() as home:
        deep = Home.at(home.root / ("d" * 100))
        deep.prepare()
        folder = deep.short_folder("postgres")
        folder.mkdir(mode=0o755)

        with pytest.raises(StackError, match="only user"):
            prepare_postgres(deep)
        folder.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as somebody else")
class TestAsRoot:
    def test_a_home_that_nobody_can_reach_keeps_its_rights_and_links_to_the_data(self, tmp_path, monkeypatch):
        monkeypatch.setattr(postgres, "_SYSTEM_DATA", tmp_path / "var")
        (tmp_path / "var").mkdir()
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        home = Home.at(closed / "home")
        home.prepare()

        place = postgres._place(home, (65534, 65534))

        assert closed.stat().st_mode & 0o777 == 0o700
        assert (home.root / "postgres").is_symlink()
        assert place.parent == tmp_path / "var"
        assert postgres._place(home, (65534, 65534)) == place
        shutil.rmtree(place)
        with pytest.raises(StackError, match="which is gone"):
            postgres._place(home, (65534, 65534))

    def test_binaries_that_nobody_can_reach_are_copied_and_run(self, monkeypatch):
        passable = postgres._passable
        monkeypatch.setattr(
            postgres,
            "_passable",
            lambda folder: "site-packages" not in str(folder) and passable(folder),
        )
        with new_home() as home:
            server = prepare_postgres(home)

            assert home.root in server.binaries.parents
            with running(home, server.program()):
                assert execute(server, "SELECT 1") == [(1,)]

    def test_the_server_runs_as_nobody(self):
        with new_home() as home:
            server = prepare_postgres(home)
            with running(home, server.program()):
                assert Path(f"/proc/{postmaster(server)}").stat().st_uid == server.user[0] != 0


def test_killing_the_supervisor_stops_it():
    with new_home() as home:
        script = (
            "import sys, time; from stack.home import Home\n"
            "from stack.processes.postgres import prepare_postgres\n"
            "from pathlib import Path; from stack.processes.servers import running\n"
            "home = Home.at(Path(sys.argv[1]))\n"
            "with running(home, prepare_postgres(home).program()): print('up', flush=True); time.sleep(60)"
        )
        process = subprocess.Popen([sys.executable, "-c", script, str(home.root)], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"up\n"
        process.kill()
        process.wait()

        with home.lock():  # free only when all is gone
            server = prepare_postgres(home)
            assert not server.ready()
            assert not (server.data / "postmaster.pid").exists()
