#!/usr/bin/env bash
# One busy process beside PyTorch on a CPU can cost far more than the core it takes.
#
# Expected: a product that uses two cores gets slower by about what the busy process takes, so to no less than a
# third. Seen: where that process belongs to another session, as another user's or a service's does, small products
# (the size of a small model's layers) fall to a tenth and less. The OpenMP threads of PyTorch's wheel spin at the end
# of every product; the scheduler counts the spinning as their session's share, and the one thread that still has work
# waits for its turn on the shared core. With OMP_WAIT_POLICY=passive the threads sleep instead, and the same products
# keep about what the cores have left.
#
# It matters to whoever trains or serves on CPUs next to anything else: a gateway, a database, a second model.
# Needs two cores and a Linux kernel that groups processes by session. Exits with 1 where the behavior is another.
set -euo pipefail
if [ "$(cat /proc/sys/kernel/sched_autogroup_enabled 2> /dev/null)" != 1 ]; then
  echo "this kernel does not group processes by session: nothing to see here" && exit 1
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 2> /dev/null
cat > "$folder/products.py" <<'PYTHON'
"""Products of 64 x 576 by 576 x 1536 a second, on two cores."""

import os
import time

import torch

os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:2]))
torch.set_num_threads(2)
inputs, weight = torch.randn(64, 576), torch.randn(1536, 576)
for _ in range(20):
    torch.nn.functional.linear(inputs, weight)
began, count = time.perf_counter(), 0
while time.perf_counter() - began < 4:
    torch.nn.functional.linear(inputs, weight)
    count += 1
print(round(count / (time.perf_counter() - began)))
PYTHON
cat > "$folder/main.py" <<'PYTHON'
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

folder = Path(sys.argv[1])
ways = {"as it comes": {}, "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"}}
cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:2]))


def rate(variables):
    done = subprocess.run(
        [sys.executable, folder / "products.py"],
        env={**os.environ, **variables}, capture_output=True, text=True, check=True,
    )
    return int(done.stdout)


print("torch", version("torch"))
kept = {}
for name, variables in ways.items():
    alone = rate(variables)
    counting = ["taskset", "-c", cores, sys.executable, "-c", "while True: pass"]
    busy = subprocess.Popen(counting, start_new_session=True)
    try:
        beside = rate(variables)
    finally:
        busy.kill()
        busy.wait()
    kept[name] = beside / alone
    print(f"{name}: {alone} products a second alone, {beside} beside one busy process, {kept[name]:.2f} kept")
own, other = kept.values()
sys.exit(0 if own < 0.2 and other > 0.35 else 1)
PYTHON
"$folder/venv/bin/python" "$folder/main.py" "$folder"
