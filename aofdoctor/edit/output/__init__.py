"""Writes to disk: durable copies, exchanges and overwrites in place, receipts, and undo.

May import edit/drops.py, aof, server, rdb and the shared vocabulary; diff_patch.py also imports diff.
Deciding what an edit changes does not belong here: these modules are given byte ranges and pieces.
"""
