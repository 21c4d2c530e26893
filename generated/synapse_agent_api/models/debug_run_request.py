# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.action_params import ActionParams
    from ..models.plugin_config_override import PluginConfigOverride
    from ..models.plugin_modules import PluginModules


@_attrs_define
class DebugRunRequest(OpenObject["Any"]):
    """The action to run from source, and its parameters.

    Attributes:
        action (str): Name of the action, as in the configuration.
        params (ActionParams | Unset): The action's parameters, by name. The agent also reads three of them, and passes
            them on like the others:
            `num_cpus`, `num_gpus` (less than 1 is a share of a GPU) and `memory` (bytes, or text such as `2GiB`) reserve
            resources for the run. They take precedence over `actions.<name>.resources` in the plugin's `config.yaml`;
            without either, a run has one CPU. The agent ignores a value that is not an amount.
        plugin_path (str | Unset): Folder of the plugin's source on the agent's machine. An agent may accept only paths
            below certain folders,
            with links resolved, and answer 403 `debug_not_allowed` otherwise.
        config (PluginConfigOverride | Unset): Keys that replace those of the plugin's `config.yaml`, or the whole
            configuration. Under `actions`, each name
            has an `entrypoint`, `package.module:attribute`, and may have a `method`: `local` and `task` (the default)
            return the result, `job` the job record at once.
        modules (PluginModules | Unset): Python source by dotted module name.
        requirements (list[str] | Unset): Requirements (PEP 508 names and versions) that this run needs in addition to
            the plugin's own.
        job_id (str | Unset): An ID for a run, of the caller's choice; not `.` or `..`, no control characters.
        language (str | Unset): Language of the action's messages, as an ISO 639-1 code such as `en` or `ko`.
        priority (int | Unset): Of the waiting runs of a release, those of higher priority start first; 0 if absent. 422
            above the agent's
            highest.
    """

    action: str
    params: ActionParams | Unset = UNSET
    plugin_path: str | Unset = UNSET
    config: PluginConfigOverride | Unset = UNSET
    modules: PluginModules | Unset = UNSET
    requirements: list[str] | Unset = UNSET
    job_id: str | Unset = UNSET
    language: str | Unset = UNSET
    priority: int | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        action = self.action

        params: dict[str, Any] | Unset = UNSET
        if not isinstance(self.params, Unset):
            params = self.params.to_dict()

        plugin_path = self.plugin_path

        config: dict[str, Any] | Unset = UNSET
        if not isinstance(self.config, Unset):
            config = self.config.to_dict()

        modules: dict[str, Any] | Unset = UNSET
        if not isinstance(self.modules, Unset):
            modules = self.modules.to_dict()

        requirements: list[str] | Unset = UNSET
        if not isinstance(self.requirements, Unset):
            requirements = self.requirements

        job_id = self.job_id

        language = self.language

        priority = self.priority

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "action": action,
            }
        )
        if params is not UNSET:
            field_dict["params"] = params
        if plugin_path is not UNSET:
            field_dict["plugin_path"] = plugin_path
        if config is not UNSET:
            field_dict["config"] = config
        if modules is not UNSET:
            field_dict["modules"] = modules
        if requirements is not UNSET:
            field_dict["requirements"] = requirements
        if job_id is not UNSET:
            field_dict["job_id"] = job_id
        if language is not UNSET:
            field_dict["language"] = language
        if priority is not UNSET:
            field_dict["priority"] = priority

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.action_params import ActionParams  # noqa: PLC0415
        from ..models.plugin_config_override import PluginConfigOverride  # noqa: PLC0415
        from ..models.plugin_modules import PluginModules  # noqa: PLC0415

        d = dict(src_dict)
        action = d.pop("action")

        _params = d.pop("params", UNSET)
        params: ActionParams | Unset
        if isinstance(_params, Unset):
            params = UNSET
        else:
            params = ActionParams.from_dict(_params)

        plugin_path = d.pop("plugin_path", UNSET)

        _config = d.pop("config", UNSET)
        config: PluginConfigOverride | Unset
        if isinstance(_config, Unset):
            config = UNSET
        else:
            config = PluginConfigOverride.from_dict(_config)

        _modules = d.pop("modules", UNSET)
        modules: PluginModules | Unset
        if isinstance(_modules, Unset):
            modules = UNSET
        else:
            modules = PluginModules.from_dict(_modules)

        requirements = cast(list[str], d.pop("requirements", UNSET))

        job_id = d.pop("job_id", UNSET)

        language = d.pop("language", UNSET)

        priority = d.pop("priority", UNSET)

        debug_run_request = cls(
            action=action,
            params=params,
            plugin_path=plugin_path,
            config=config,
            modules=modules,
            requirements=requirements,
            job_id=job_id,
            language=language,
            priority=priority,
        )

        debug_run_request.additional_properties = d
        return debug_run_request
