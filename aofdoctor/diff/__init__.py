"""Compares two AOFs: which commands or keys one has that the other lacks.

It may import log, server, aof, rdb and the shared vocabulary (errors, span, damage, source, text), but not edit or cli.
Text and JSON output belongs to cli/views, and writing the difference as an AOF belongs to edit/output.
"""
