"""Find what a restart or an interrupted write leaves in an AOF.

That is: transactions without their EXEC, and files that begin with the rest of the last record or transaction of the
file before.

May import what `log` may import.  Dropping or joining anything does not belong here (edit), and neither do messages
(check).
"""
