"""Damage in an AOF: its classification, resynchronisation after it, and the reversal of text-mode changes.

May import the rest of aof, rdb and the vocabulary.
Decisions about what to do with damage belong to edit, and the reaction of servers to server.
"""
