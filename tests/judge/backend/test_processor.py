"""Which numbers a machine computes in, and that niceness counts between sessions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from judge.backend import engine
from judge.backend.processor import bfloat16_unit, dtype_for, on_gpu, openmp, reason

PLAIN = "fpu sse2 avx avx2 fma"
FLAGS = {
    "haswell": (PLAIN, None),
    "skylake": (f"{PLAIN} avx512f avx512bw avx512_vnni", None),
    "zen 4": (f"{PLAIN} avx512f avx512_bf16 avx512_vnni", "avx512_bf16"),
    "sapphire rapids": (f"{PLAIN} avx512f avx512_bf16 amx_tile amx_bf16", "avx512_bf16"),
    "not a word of it": ("", None),
}


def cpuinfo(folder: Path, flags: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: with avx512_bf16 in its name\nflags\t\t: {flags}\n")
    return path


@pytest.mark.parametrize(("flags", "expected"), FLAGS.values(), ids=FLAGS)
def test_the_flags_say_whether_bfloat16_is_multiplied_in_hardware(tmp_path, flags, expected):
    assert bfloat16_unit(cpuinfo(tmp_path, flags), {}) == expected


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("AVX2", None), ("avx512_core", None), ("AVX512_CORE_BF16", "avx512_bf16"), ("DEFAULT", "avx512_bf16")],
)
def test_units_that_onednn_is_kept_from_do_not_count(tmp_path, limit, expected):
    path = cpuinfo(tmp_path, FLAGS["zen 4"][0])

    assert bfloat16_unit(path, {"ONEDNN_MAX_CPU_ISA": limit}) == expected
    assert bfloat16_unit(path, {"DNNL_MAX_CPU_ISA": limit}) == expected


def test_what_the_operator_sets_wins(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    model = Path("model")

    def served(setting) -> str:
        line = engine.command(model, host="127.0.0.1", port=8000, max_model_len=4096, dtype=setting)
        return line[line.index("--dtype") + 1]

    assert dtype_for("bfloat16") == served("bfloat16") == "bfloat16"
    assert "JUDGESMITH_DTYPE" in reason("bfloat16")
    if not on_gpu():
        assert dtype_for("auto") == served("auto") == "float32"
        assert "emulates" in reason("auto")


@pytest.mark.skipif(on_gpu(), reason="of engines on CPUs")
def test_threads_that_wait_soon_give_their_core_away(monkeypatch):
    monkeypatch.delenv("KMP_BLOCKTIME", raising=False)

    assert engine.environment()["KMP_BLOCKTIME"] == openmp()["KMP_BLOCKTIME"] == "100us"
    monkeypatch.setenv("KMP_BLOCKTIME", "200")
    assert engine.environment()["KMP_BLOCKTIME"] == "200"


@pytest.mark.skipif(on_gpu(), reason="of engines on CPUs")
def test_an_engine_on_a_cpu_reads_each_prompt_in_one_piece_and_shares_short_prefixes():
    line = engine.command(Path("model"), host="127.0.0.1", port=8000, max_model_len=2048)

    assert "--no-enable-chunked-prefill" in line
    assert line[line.index("--max-num-batched-tokens") + 1] == "2048"
    assert line[line.index("--block-size") + 1] == "32"


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="the kernel groups no sessions")
def test_a_nice_process_is_nice_to_other_sessions_too():
    program = (
        "import os; from judge.backend.processor import keep_niceness; nice = os.nice(7); keep_niceness(); "
        "print(nice, open('/proc/self/autogroup').read())"
    )

    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, start_new_session=True
    )

    nice, *_, grouped = told.stdout.split()
    assert nice == grouped == str(os.nice(0) + 7), told.stderr
