"""What the agent's machine, or its cluster, has for runs, and what of it is in use."""

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
        """Get the GPUs of all nodes together, and each of them."""
        status: GpuStatus = self._session.send(calls.get_gpu_status())
        return status

    def list_nodes(self) -> list[Node]:
        """List the nodes: the agent's own machine, or those of its cluster."""
        nodes: list[Node] = self._session.send(calls.list_nodes())
        return nodes

    def get_node(self, node_id: str) -> Node:
        """Get a node; an agent without a cluster has the node `local`.

        Raises:
            NotFoundError: There is no such node.
        """
        node: Node = self._session.send(calls.get_node(node_id))
        return node

    def get_cluster_resources(self, use_cache: bool = True) -> ClusterResources:
        """Get what all nodes have together, and what of it is in use.

        Args:
            use_cache: Take figures of the last seconds; with False the agent looks at all nodes anew.
        """
        resources: ClusterResources = self._session.send(calls.get_cluster_resources(use_cache=use_cache))
        return resources


class AsyncResourcesClientMixin:
    """The asynchronous twin of `ResourcesClientMixin`, which has the methods' descriptions."""

    _session: AsyncSession

    async def get_gpu_status(self) -> GpuStatus:
        """Get the GPUs of all nodes together, and each of them."""
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
        """Get what all nodes have together, and what of it is in use."""
        resources: ClusterResources = await self._session.send(calls.get_cluster_resources(use_cache=use_cache))
        return resources
