"""What this machine computes with: the type of numbers that suits it, and how its threads wait.

A CPU without bfloat16 units does such products by converting every number: label reads are several times and
training is ten times slower than in float32, which every CPU multiplies (docs/decisions/0019). The kernel's
flags say which units there are. `ONEDNN_MAX_CPU_ISA`, which keeps oneDNN from the newer ones, counts as well.
"""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from judge.settings import DtypeSetting

Dtype = Literal["bfloat16", "float16", "float32"]
# As the kernel names the units: of AVX-512, and of AMX.
_UNITS = ("avx512_bf16", "amx_bf16")
# The limits of oneDNN under which it leaves them alone.
_WITHOUT = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}
# How long a thread spins before it sleeps.
_SPIN = "100us"
_CPUINFO = Path("/proc/cpuinfo")
_AUTOGROUP = Path("/proc/self/autogroup")


def on_gpu() -> bool:
    """Whether an NVIDIA driver is loaded."""
    return Path("/proc/driver/nvidia/version").exists()


def dtype_for(setting: DtypeSetting) -> Dtype:
    """The type of numbers to serve and to train in: the operator's, or what the hardware computes fastest."""
    if setting != "auto":
        return setting
    return "bfloat16" if on_gpu() or bfloat16_unit() else "float32"


def bfloat16_unit(cpuinfo: Path = _CPUINFO, environment: Mapping[str, str] = os.environ) -> str | None:
    """The flag of a unit that multiplies bfloat16; None where such products are emulated."""
    limit = environment.get("ONEDNN_MAX_CPU_ISA") or environment.get("DNNL_MAX_CPU_ISA") or ""
    if limit.upper() in _WITHOUT:
        return None
    lines = cpuinfo.read_text().splitlines()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return next((unit for unit in _UNITS if unit in flags), None)


def reason(setting: DtypeSetting) -> str:
    """Why `dtype_for` answers what it answers, in half a sentence."""
    if setting != "auto":
        return "as JUDGESMITH_DTYPE says"
    if on_gpu():
        return "on the GPU"
    unit = bfloat16_unit()
    return f"this CPU multiplies it in hardware ({unit})" if unit else "this CPU only emulates bfloat16"


def openmp() -> dict[str, str]:
    """Variables for a process that computes with torch on CPUs.

    The OpenMP runtime that comes with vLLM, with threads that soon sleep when they have to wait: what spins
    at a barrier takes the core from the thread that it waits for, once anything else runs on the machine. To
    sleep at once would cost a tenth of the speed of writing, whose products are small (docs/decisions/0019).
    """
    runtime = Path(sys.prefix) / "lib" / "libiomp5.so"
    return {"KMP_BLOCKTIME": _SPIN, **({"LD_PRELOAD": str(runtime)} if runtime.exists() else {})}


def keep_niceness() -> None:
    """Have this process's niceness count against those of other sessions too.

    Where the kernel groups processes by session (autogroups), niceness only orders those of one session; a
    process that has just begun one of its own competes as if it had none.
    """
    with suppress(OSError):  # no such kernel
        _AUTOGROUP.write_text(str(os.nice(0)))
