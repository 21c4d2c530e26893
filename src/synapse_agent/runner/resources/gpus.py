"""The GPUs of this machine: found through NVML or in the kernel's files, or declared by the operator."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from synapse_agent.errors import StartError
from synapse_agent.util.cgroups import read_lines

NVIDIA, AMD = "nvidia", "amd"
HIDDEN = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1", "ROCR_VISIBLE_DEVICES": "-1"}
"""The environment variables of a process that must not see any GPU."""
_NONE = ("", "-1", "NoDevFiles")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, and its load when it was queried."""

    id: str
    """Its name in the variable that makes it visible: its UUID, or its number if the UUID is unknown."""
    vendor: str = ""
    """Empty if unknown."""
    name: str = ""
    memory_total: int | None = None
    """Bytes; None if unknown."""
    memory_used: int | None = None
    utilization: int | None = None
    """Percent of the time."""


def find_gpus(count: int | None, environ: Mapping[str, str], *, root: Path = Path("/")) -> tuple[Gpu, ...]:
    """Find the GPUs for runs: all that the agent itself may use, or `count` of them.

    If none is found, `count` GPUs get numbers instead of UUIDs; if some are found, but fewer than `count`, raises
    `StartError`. `root` is the root of the kernel's files.
    """
    found = [*_nvml()] or [*_nvidia_driver(root)] or [*_amd_driver(root)]
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    found = found if visible is None else _only(found, visible)
    if count is None:
        return tuple(found)
    if found and len(found) < count:
        raise StartError(f"--gpus {count}: only {len(found)} of this machine's GPUs can be used. Pass a lower number.")
    return tuple(found[:count] or [Gpu(str(number)) for number in range(count)])


def visible(gpus: Iterable[Gpu]) -> dict[str, str]:
    """Return the environment variables that make only these GPUs visible to a process."""
    chosen = list(gpus)
    if not chosen:
        return HIDDEN
    names = ",".join(gpu.id for gpu in chosen)
    if chosen[0].vendor == NVIDIA:
        return {**HIDDEN, "CUDA_VISIBLE_DEVICES": names}
    if chosen[0].vendor == AMD:  # HIP numbers what ROCr makes visible, and also reads CUDA's variable
        numbers = ",".join(map(str, range(len(chosen))))
        return {"ROCR_VISIBLE_DEVICES": names, "HIP_VISIBLE_DEVICES": numbers, "CUDA_VISIBLE_DEVICES": numbers}
    return {"CUDA_VISIBLE_DEVICES": names, "HIP_VISIBLE_DEVICES": names}


def _only(found: list[Gpu], visible: str) -> list[Gpu]:
    """Return the GPUs that the operator made visible, as CUDA parses its variable: up to the first invalid name."""
    names = [name.strip() for name in visible.split(",")]
    named = names[: next((at for at, name in enumerate(names) if name in _NONE), len(names))]
    by_name = [next((gpu for gpu in found if gpu.id.startswith(name)), None) for name in named]
    if all(by_name):
        return [gpu for gpu in by_name if gpu]
    # Numbers follow CUDA's order, which differs from NVML's: they are passed on.
    return [Gpu(name, found[0].vendor if found else "") for name in named]


def _nvml() -> Iterator[Gpu]:
    """Yield the GPUs that NVIDIA's library reports, if package, library and driver are installed."""
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # noqa: BLE001 - the package's own errors, or any of a file with that name
        return
    try:
        for index in range(nvml.nvmlDeviceGetCount()):
            with suppress(nvml.NVMLError):  # a broken one, or one that this user may not use
                device = nvml.nvmlDeviceGetHandleByIndex(index)
                yield _nvml_gpu(nvml, device)
    finally:
        nvml.nvmlShutdown()


def _nvml_gpu(nvml: object, device: object) -> Gpu:
    def ask(name: str) -> object:
        """Query a value that some cards don't report."""
        try:
            return getattr(nvml, f"nvmlDeviceGet{name}")(device)
        except nvml.NVMLError:  # type: ignore[attr-defined]
            return None

    memory, rates = ask("MemoryInfo"), ask("UtilizationRates")
    return Gpu(
        nvml.nvmlDeviceGetUUID(device),  # type: ignore[attr-defined]
        NVIDIA,
        str(ask("Name") or ""),
        memory_total=getattr(memory, "total", None),
        memory_used=getattr(memory, "used", None),
        utilization=getattr(rates, "gpu", None),
    )


def _nvidia_driver(root: Path) -> Iterator[Gpu]:
    """Yield the GPUs in the files of NVIDIA's driver, in the order of their bus addresses."""
    for file in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in read_lines(file))}
        if facts.get("GPU UUID", "").startswith("GPU-") and "?" not in facts["GPU UUID"]:
            yield Gpu(facts["GPU UUID"], NVIDIA, facts.get("Model", ""))


def _amd_driver(root: Path) -> Iterator[Gpu]:
    """Yield the GPUs in the files of AMD's driver; nodes without SIMD units are CPUs."""
    nodes = sorted(root.glob("sys/class/kfd/kfd/topology/nodes/*"), key=lambda node: int(node.name))
    facts = [_numbers(node / "properties") for node in nodes]
    gpus = [(node, has) for node, has in zip(nodes, facts, strict=True) if has.get("simd_count")]
    for number, (node, has) in enumerate(gpus):
        device = root / f"sys/class/drm/renderD{has.get('drm_render_minor', 0)}/device"
        yield Gpu(
            f"GPU-{has['unique_id']:016x}" if has.get("unique_id") else str(number),
            AMD,
            "".join(read_lines(node / "name")),
            memory_total=_number(device / "mem_info_vram_total"),
            memory_used=_number(device / "mem_info_vram_used"),
            utilization=_number(device / "gpu_busy_percent"),
        )


def _numbers(file: Path) -> dict[str, int]:
    pairs = (line.split() for line in read_lines(file))
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(file: Path) -> int | None:
    text = "".join(read_lines(file))
    return int(text) if text.isdigit() else None
