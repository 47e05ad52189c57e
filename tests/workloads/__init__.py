"""Random workloads of real servers: each log is edited twice and damaged, and the results are loaded by the server.

    python -m tests.workloads COUNT [--seed SEED] [--server VERSION]

The commands that a result must hold are computed here from the bytes of the log, with a parser of their own.  The server
that wrote the log loads them and the result, and its keys must be equal.
"""
