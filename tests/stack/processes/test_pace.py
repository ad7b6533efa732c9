"""How fast a machine is, by what a scripted engine takes."""

from judge.backend.vllm import VLLM, Backends
from judge.comparison import Instruction
from judge.judging.judge import Judge
from stack.processes import pace
from tests.scripted_vllm import scripted
from tests.tiny_model import make_tiny_model

INSTRUCTIONS = [Instruction.of(f"Tell me about topic-{n}.") for n in range(5)]


async def test_an_engine_that_takes_ten_times_as_long_is_slower_and_nothing_is_read_twice(tmp_path):
    folder = make_tiny_model(tmp_path / "model")
    paces = []
    for delay_s in (0.2, 2.0):
        with scripted(folder, delay_s=delay_s).serve() as server:
            backends = Backends([VLLM(server.url)])
            judge = Judge.of_folder(folder, "default", backends, 4096)
            paces.append(await pace.measure(judge, INSTRUCTIONS, "float32", 40.0))
            await backends.aclose()
            assert len(server.script.salts) == server.script.requests

    fast, slow = paces
    assert 2 < fast.read / slow.read < 12
    assert 2 < fast.written / slow.written < 12
    assert slow.trained < slow.read
    assert slow.loading_s == 40.0
