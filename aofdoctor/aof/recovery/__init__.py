"""Damage in an AOF: its classification, the search for the next record after it, and the reversal of text-mode changes.

May import the rest of aof, rdb and the shared modules of aofdoctor/*.py.
Decisions about what to do with damage belong to edit, and the reaction of servers to server.
"""
