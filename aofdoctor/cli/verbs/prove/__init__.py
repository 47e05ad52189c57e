"""Verbs that load an AOF into a real server: verify and demo.

They may import options, console, views and every lower package; `demo` also runs check, strip and verify.  Verbs that
need no server do not belong here.
"""
