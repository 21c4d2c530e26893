"""Which GPUs the agent finds, and by which names runs see them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from synapse_agent.errors import StartError
from synapse_agent.plugins.resources import Resources
from synapse_agent.runner.resources.gpus import AMD, HIDDEN, NVIDIA, Gpu, find_gpus, visible
from synapse_agent.runner.resources.machine import this_machine
from synapse_agent.settings import Settings

NVML = """
    #include <string.h>
    #define API __attribute__((visibility("default")))
    typedef struct { unsigned long long total, free, used; } memory;
    typedef struct { unsigned int gpu, memory; } utilization;
    static const char *uuids[] = {"GPU-aaaa", "GPU-bbbb"};
    API int nvmlInitWithFlags(unsigned int flags) { return 0; }
    API int nvmlShutdown(void) { return 0; }
    API const char *nvmlErrorString(int code) { return "an error"; }
    API int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 3; return 0; }
    API int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
        if (index == 1) return 15; /* lost */
        *device = (void *) uuids[index / 2];
        return 0;
    }
    API int nvmlDeviceGetUUID(void *device, char *text, unsigned int size) { strcpy(text, device); return 0; }
    API int nvmlDeviceGetName(void *device, char *text, unsigned int size) { strcpy(text, "Card"); return 0; }
    API int nvmlDeviceGetMemoryInfo(void *device, memory *info) {
        info->total = 1000; info->used = 250; info->free = 750;
        return 0;
    }
    API int nvmlDeviceGetUtilizationRates(void *device, utilization *rates) {
        if (device == uuids[1]) return 3; /* not supported */
        rates->gpu = 40; rates->memory = 10;
        return 0;
    }
    """
FIND = """
import dataclasses, json, os
from synapse_agent.runner.resources.gpus import find_gpus
print(json.dumps([dataclasses.asdict(gpu) for gpu in find_gpus(None, {})]))
"""


@pytest.fixture(scope="session")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library like NVIDIA's with three cards: one is lost, one can't report its use."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("this machine has no C compiler")
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "nvml.c").write_text(dedent(NVML))
    command = [compiler, "-shared", "-fPIC", "-o", str(folder / "libnvidia-ml.so.1"), str(folder / "nvml.c")]
    subprocess.run(command, check=True)
    return folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_nvidias_library_names_them_by_uuid(nvml: Path) -> None:
    """This uses the package `nvidia-ml-py`; lost cards are left out, values that a card can't report are unknown."""
    env = {**os.environ, "LD_LIBRARY_PATH": str(nvml)}
    found = json.loads(subprocess.check_output([sys.executable, "-c", FIND], env=env, text=True))
    common = {"vendor": NVIDIA, "name": "Card", "memory_total": 1000, "memory_used": 250}
    assert found == [{"id": "GPU-aaaa", **common, "utilization": 40}, {"id": "GPU-bbbb", **common, "utilization": None}]


def test_the_drivers_files_name_nvidias_without_the_package(tmp_path: Path) -> None:
    """The order is that of the bus; a card without a UUID is left out."""
    for bus, uuid in [("0000:02:00.0", "GPU-b-2"), ("0000:01:00.0", "GPU-a-1"), ("0000:03:00.0", "GPU-????????")]:
        text = f"Model: \t\t Card 9\nIRQ:   \t\t 5\nGPU UUID: \t {uuid}\nBus Type: \t PCIe\n"
        write(tmp_path / "proc/driver/nvidia/gpus" / bus / "information", text)
    assert find_gpus(None, {}, root=tmp_path) == (Gpu("GPU-a-1", NVIDIA, "Card 9"), Gpu("GPU-b-2", NVIDIA, "Card 9"))


def test_amds_are_found_beside_cpus(tmp_path: Path) -> None:
    """KFD nodes without SIMD units are CPUs; a card without a unique ID is named by its number."""
    nodes = tmp_path / "sys/class/kfd/kfd/topology/nodes"
    for number, facts in enumerate(
        ["simd_count 0\n", "simd_count 440\nunique_id 4660\ndrm_render_minor 128\n", "simd_count 8\nunique_id 0\n"]
    ):
        write(nodes / str(number) / "properties", facts)
        write(nodes / str(number) / "name", "card\n")
    device = tmp_path / "sys/class/drm/renderD128/device"
    for name, value in [("mem_info_vram_total", 1000), ("mem_info_vram_used", 10), ("gpu_busy_percent", 3)]:
        write(device / name, f"{value}\n")
    found = find_gpus(None, {}, root=tmp_path)
    assert found == (Gpu("GPU-0000000000001234", AMD, "card", 1000, 10, 3), Gpu("1", AMD, "card"))


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """The files of a driver with two cards."""
    for number in range(2):
        write(tmp_path / f"proc/driver/nvidia/gpus/{number}/information", f"GPU UUID: GPU-{number}abc\n")
    return tmp_path


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("GPU-1", ["GPU-1abc"]),
        ("GPU-1abc,GPU-0", ["GPU-1abc", "GPU-0abc"]),
        ("1", ["1"]),
        ("0,-1,1", ["0"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_the_agents_own_variable_bounds_what_runs_get(two: Path, said: str, found: list[str]) -> None:
    """Numbers are kept, since they are CUDA's: NVML counts in another order."""
    assert [gpu.id for gpu in find_gpus(None, {"CUDA_VISIBLE_DEVICES": said}, root=two)] == found


def test_the_operator_counts_gpus(two: Path, tmp_path: Path) -> None:
    """`--gpus` takes the first GPUs found, or numbers if none was found; more than were found is an error."""
    assert [gpu.id for gpu in find_gpus(1, {}, root=two)] == ["GPU-0abc"]
    assert [gpu.id for gpu in find_gpus(2, {}, root=tmp_path / "none")] == ["0", "1"]
    assert find_gpus(0, {}, root=two) == ()
    with pytest.raises(StartError, match="--gpus 3: only 2 of this machine's GPUs can be used"):
        find_gpus(3, {}, root=two)


@pytest.mark.parametrize(
    ("gpus", "shown"),
    [
        ([], HIDDEN),
        ([Gpu("GPU-a", NVIDIA), Gpu("GPU-b", NVIDIA)], {**HIDDEN, "CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"}),
        (
            [Gpu("GPU-a", AMD), Gpu("GPU-b", AMD)],
            {"ROCR_VISIBLE_DEVICES": "GPU-a,GPU-b", "HIP_VISIBLE_DEVICES": "0,1", "CUDA_VISIBLE_DEVICES": "0,1"},
        ),
        ([Gpu("1")], {"CUDA_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "1"}),
    ],
)
def test_a_run_sees_its_gpus_by_the_variables_of_their_vendor(gpus: list[Gpu], shown: dict[str, str]) -> None:
    """ROCr gets UUIDs; HIP numbers the GPUs that ROCr shows."""
    assert visible(gpus) == shown


def test_a_cluster_counts_its_own(tmp_path: Path) -> None:
    """With a cluster the agent counts only slots, and refuses `--gpus`."""
    cluster: dict[str, Any] = {"data_dir": tmp_path, "runner": "ray", "ray_address": "10.0.0.5:6379"}
    this_machine(Settings(**cluster), {}).check(Resources(num_cpus=1000, num_gpus=1000))
    with pytest.raises(StartError, match="--gpus is for the runner local"):
        this_machine(Settings(**cluster, gpus=1), {})
