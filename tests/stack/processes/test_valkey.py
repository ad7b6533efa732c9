"""The embedded Valkey keeps what it was told."""

import os
import signal
import time

from judge.store import queue
from stack.processes.servers import new_home, running
from stack.processes.valkey import prepare_valkey


def test_data_outlive_a_restart_and_a_kill():
    with new_home() as home:
        server = prepare_valkey(home)
        with running(home, server.program()), queue.connect(server.url) as client:
            client.set("kept", "over a restart")

        with running(home, server.program()) as supervisor, queue.connect(server.url) as client:
            assert client.get("kept") == b"over a restart"
            client.set("kept", "over a kill")
            os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
            time.sleep(0.1)
            while supervisor.states["valkey"][0] != "up" or not server.ready():
                supervisor.tick()
            assert client.get("kept") == b"over a kill"


def test_it_never_evicts_and_listens_on_its_private_socket_only():
    with new_home() as home:
        server = prepare_valkey(home)
        with running(home, server.program()), queue.connect(server.url) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("port") == {"port": "0"}
            assert server.socket.stat().st_mode & 0o077 == 0
