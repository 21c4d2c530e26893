"""The processes in a plugin's environment: a zygote, and the runs forked from it.

Standard library only, for Python 3.8 and later, independent of the agent's own Python. The keeper's program loads the
folder by its path (see `keeper/__main__.py`), and its modules import each other relatively: in a worker the package is
`<synapse>.synapse_worker`; on the agent's side, which shares some modules, `synapse_agent.runner.synapse_worker`.
"""
