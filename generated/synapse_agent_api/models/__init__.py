# By `make generate`. Don't edit.

"""All models of requests and answers, each imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .action_params import ActionParams
    from .agent_event import AgentEvent
    from .backup import Backup
    from .cluster_resources import ClusterResources
    from .create_plugin_release_request import CreatePluginReleaseRequest
    from .debug_run_request import DebugRunRequest
    from .error_body import ErrorBody
    from .error_detail import ErrorDetail
    from .gpu_amounts import GpuAmounts
    from .gpu_status import GpuStatus
    from .health import Health
    from .invalid_item import InvalidItem
    from .job import Job
    from .job_bucket import JobBucket
    from .job_caller import JobCaller
    from .job_event import JobEvent
    from .job_file import JobFile
    from .job_file_reference import JobFileReference
    from .job_params import JobParams
    from .job_progress import JobProgress
    from .job_statistics import JobStatistics
    from .job_status import JobStatus
    from .job_stream_event import JobStreamEvent
    from .job_timings_type_0 import JobTimingsType0
    from .legacy_run_payload import LegacyRunPayload
    from .node import Node
    from .node_counts import NodeCounts
    from .node_gpu import NodeGpu
    from .non_finite_numbers import NonFiniteNumbers
    from .non_finite_place import NonFinitePlace
    from .plugin_action import PluginAction
    from .plugin_action_params_schema import PluginActionParamsSchema
    from .plugin_config_override import PluginConfigOverride
    from .plugin_environment import PluginEnvironment
    from .plugin_modules import PluginModules
    from .plugin_release import PluginRelease
    from .plugin_release_page import PluginReleasePage
    from .push_plugin_release_request import PushPluginReleaseRequest
    from .readiness import Readiness
    from .referenced_file import ReferencedFile
    from .release_filters import ReleaseFilters
    from .resource_amount import ResourceAmount
    from .run_request import RunRequest
    from .sandbox import Sandbox
    from .serve_application import ServeApplication
    from .serve_worker import ServeWorker
    from .session import Session
    from .session_code import SessionCode
    from .session_request import SessionRequest
    from .storage import Storage
    from .store import Store
    from .stored_file import StoredFile
    from .stored_file_reference import StoredFileReference
    from .warm_processes import WarmProcesses
    from .warm_release import WarmRelease
    from .warm_request import WarmRequest

_MODULES = {
    "ActionParams": "action_params",
    "AgentEvent": "agent_event",
    "Backup": "backup",
    "ClusterResources": "cluster_resources",
    "CreatePluginReleaseRequest": "create_plugin_release_request",
    "DebugRunRequest": "debug_run_request",
    "ErrorBody": "error_body",
    "ErrorDetail": "error_detail",
    "GpuAmounts": "gpu_amounts",
    "GpuStatus": "gpu_status",
    "Health": "health",
    "InvalidItem": "invalid_item",
    "Job": "job",
    "JobBucket": "job_bucket",
    "JobCaller": "job_caller",
    "JobEvent": "job_event",
    "JobFile": "job_file",
    "JobFileReference": "job_file_reference",
    "JobParams": "job_params",
    "JobProgress": "job_progress",
    "JobStatistics": "job_statistics",
    "JobStatus": "job_status",
    "JobStreamEvent": "job_stream_event",
    "JobTimingsType0": "job_timings_type_0",
    "LegacyRunPayload": "legacy_run_payload",
    "Node": "node",
    "NodeCounts": "node_counts",
    "NodeGpu": "node_gpu",
    "NonFiniteNumbers": "non_finite_numbers",
    "NonFinitePlace": "non_finite_place",
    "PluginAction": "plugin_action",
    "PluginActionParamsSchema": "plugin_action_params_schema",
    "PluginConfigOverride": "plugin_config_override",
    "PluginEnvironment": "plugin_environment",
    "PluginModules": "plugin_modules",
    "PluginRelease": "plugin_release",
    "PluginReleasePage": "plugin_release_page",
    "PushPluginReleaseRequest": "push_plugin_release_request",
    "Readiness": "readiness",
    "ReferencedFile": "referenced_file",
    "ReleaseFilters": "release_filters",
    "ResourceAmount": "resource_amount",
    "RunRequest": "run_request",
    "Sandbox": "sandbox",
    "ServeApplication": "serve_application",
    "ServeWorker": "serve_worker",
    "Session": "session",
    "SessionCode": "session_code",
    "SessionRequest": "session_request",
    "Storage": "storage",
    "Store": "store",
    "StoredFile": "stored_file",
    "StoredFileReference": "stored_file_reference",
    "WarmProcesses": "warm_processes",
    "WarmRelease": "warm_release",
    "WarmRequest": "warm_request",
}

__all__ = (
    "ActionParams",
    "AgentEvent",
    "Backup",
    "ClusterResources",
    "CreatePluginReleaseRequest",
    "DebugRunRequest",
    "ErrorBody",
    "ErrorDetail",
    "GpuAmounts",
    "GpuStatus",
    "Health",
    "InvalidItem",
    "Job",
    "JobBucket",
    "JobCaller",
    "JobEvent",
    "JobFile",
    "JobFileReference",
    "JobParams",
    "JobProgress",
    "JobStatistics",
    "JobStatus",
    "JobStreamEvent",
    "JobTimingsType0",
    "LegacyRunPayload",
    "Node",
    "NodeCounts",
    "NodeGpu",
    "NonFiniteNumbers",
    "NonFinitePlace",
    "PluginAction",
    "PluginActionParamsSchema",
    "PluginConfigOverride",
    "PluginEnvironment",
    "PluginModules",
    "PluginRelease",
    "PluginReleasePage",
    "PushPluginReleaseRequest",
    "Readiness",
    "ReferencedFile",
    "ReleaseFilters",
    "ResourceAmount",
    "RunRequest",
    "Sandbox",
    "ServeApplication",
    "ServeWorker",
    "Session",
    "SessionCode",
    "SessionRequest",
    "Storage",
    "Store",
    "StoredFile",
    "StoredFileReference",
    "WarmProcesses",
    "WarmRelease",
    "WarmRequest",
)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
