"""Knowledge about redis-server and valkey-server: commands, versions, loading rules, and a real server in a sandbox.

May import aof, rdb and the vocabulary.  Advice to the user, and the selection of what to show, do not belong here.
"""
