"""What holds a zygote and its runs: one keeper for each, from the first process to the last.

Standard library only, for Python 3.8 and later, as `synapse_worker` is. No foreign code ever runs in a keeper, and it
has one thread. Where namespaces can be made it is process 1 of one: when it ends, however it ends, the kernel ends all
that is in it. Elsewhere it is a child subreaper, and the others die with their parent.

    agent
    keeper              nobody's child: what started it has ended
    └─ zygote           forked from it; the only place where an environment's packages are imported
       └─ run           forked from that; and whatever it starts
"""
