"""The keeper: a process that owns one zygote and its runs, and ends all that they started.

Standard library only, for Python 3.8 and later, like `synapse_worker`. A keeper has one thread and never runs foreign
code. If namespaces are available, it is process 1 of a PID namespace: however it ends, the kernel then ends all
processes of the namespace. Otherwise it is a child subreaper, and the others die with their parent.

    agent
    keeper              has no parent: the process that started it has ended
    └─ zygote           forked from the keeper; the only process in which an environment's packages are imported
       └─ run           forked from the zygote; with whatever it starts
"""
