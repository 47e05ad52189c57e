"""The verbs that load an AOF in a temporary Redis or Valkey server: verify and demo.

They may import the rest of cli and every lower package; `demo` also runs check, strip and verify.  Verbs that need no
server do not belong here.
"""
