"""The resources of the agent's machine or cluster, and their use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse_sdk.clients.agent._request import calls

if TYPE_CHECKING:
    from synapse_agent_api.typed_dicts import ClusterResources, GpuStatus, Node
    from synapse_sdk.clients.agent._session.session import AsyncSession, Session


class ResourcesClientMixin:
    """The methods of an agent's client for nodes and their resources."""

    _session: Session

    def get_gpu_status(self) -> GpuStatus:
        """Get the GPUs of all nodes, in total and one by one."""
        status: GpuStatus = self._session.send(calls.get_gpu_status())
        return status

    def list_nodes(self) -> list[Node]:
        """List the nodes: the agent's own machine, or those of its cluster."""
        nodes: list[Node] = self._session.send(calls.list_nodes())
        return nodes

    def get_node(self, node_id: str) -> Node:
        """Get a node; an agent without a cluster has the node `local`.

        Raises:
            NotFoundError: The node does not exist.
        """
        node: Node = self._session.send(calls.get_node(node_id))
        return node

    def get_cluster_resources(self, use_cache: bool = True) -> ClusterResources:
        """Get the resources of all nodes together, and their use.

        Args:
            use_cache: Accept figures of the last seconds; with False, the agent queries all nodes again.
        """
        resources: ClusterResources = self._session.send(calls.get_cluster_resources(use_cache=use_cache))
        return resources


class AsyncResourcesClientMixin:
    """The asynchronous twin of `ResourcesClientMixin`, which describes the methods."""

    _session: AsyncSession

    async def get_gpu_status(self) -> GpuStatus:
        """Get the GPUs of all nodes, in total and one by one."""
        status: GpuStatus = await self._session.send(calls.get_gpu_status())
        return status

    async def list_nodes(self) -> list[Node]:
        """List the nodes: the agent's own machine, or those of its cluster."""
        nodes: list[Node] = await self._session.send(calls.list_nodes())
        return nodes

    async def get_node(self, node_id: str) -> Node:
        """Get a node."""
        node: Node = await self._session.send(calls.get_node(node_id))
        return node

    async def get_cluster_resources(self, use_cache: bool = True) -> ClusterResources:
        """Get the resources of all nodes together, and their use."""
        resources: ClusterResources = await self._session.send(calls.get_cluster_resources(use_cache=use_cache))
        return resources
