"""Any x86 CPU as one that has AVX2 and nothing newer: what chooses by the CPU can be tried anywhere.

    env $(python -m benchmarks.older_cpu) COMMAND

oneDNN, ATen and MKL are told by their own variables. vLLM asks torch which units there are, and takes its own
kernels by that: `sitecustomize`, which Python imports at its start, has torch say none. What NumPy and other
libraries compute is as before. Not the same as an old CPU: clock, caches and memory are this one's.
"""

from pathlib import Path

VARIABLES = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "PYTHONPATH": str(Path(__file__).parent),
}
