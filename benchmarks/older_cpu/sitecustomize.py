"""Imported by every Python that has this folder on its path: torch knows of no unit newer than AVX2."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

_UNITS = ("avx512", "avx512_bf16", "vnni", "amx_tile", "amx_fp16")


class _OlderCpu(importlib.abc.MetaPathFinder):
    """Changes `torch.cpu` once it is loaded, and is gone."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "torch.cpu":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            for unit in _UNITS:
                setattr(module, f"_is_{unit}_supported", lambda: False)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _OlderCpu())
