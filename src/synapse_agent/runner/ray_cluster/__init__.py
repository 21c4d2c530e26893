"""The runner for a Ray cluster.

    agent_side/                     driver/                                     node/: an actor on each node
    runner.py           RayRunner   driver.py   Driver                          actor.py   Node
      driver_process.py Link    ─▶    node_pool.py, reservations.py, runs.py ─▶   source_store.py, LocalRunner
                                      ray_api.py: all that is Ray's

Ray's client library ends the process that it lives in when the cluster's head is gone for a minute, and its calls can
hang for as long. So it lives in a process of its own, which the agent starts, watches and starts again.
"""
