"""The runner for a Ray cluster.

    agent_side/                     driver/                                     node/: an actor on each node
    runner.py           RayRunner   driver.py   Driver                          actor.py   Node
      driver_process.py Link    ─▶    node_pool.py, reservations.py, runs.py ─▶   source_store.py, LocalRunner
                                      ray_api.py: all calls of Ray

Ray's client library ends its process when the cluster's head is gone for a minute, and its calls can hang as long.
Therefore it runs in a separate process, which the agent starts, watches and restarts.
"""
