"""What a restart or an interrupted write leaves: torn transactions, and parts that continue the one before them.

May import what `log` may import.
Dropping or joining anything does not belong here (edit), and neither do messages (check).
"""
