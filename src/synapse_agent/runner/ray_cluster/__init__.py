"""The runner for a Ray cluster.

    agent's process          the driver's process               an actor on each node
    runner.py   RayRunner    driver.py   Driver                 node.py   Node
      link.py   Link     ─▶    nodes.py, leases.py, runs.py ─▶    store.py, feed.py, LocalRunner
                               cluster.py: all that is Ray's

Ray's client library ends the process that it lives in when the cluster's head is gone for a minute, and its calls can
hang for as long. So it lives in a process of its own, which the agent starts, watches and starts again.
"""
