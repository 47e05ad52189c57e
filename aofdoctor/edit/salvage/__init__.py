"""Plan `repair --salvage`: rebuild the manifest and file order, and keep every intact command and key around damage.

May import edit/drops.py, plan.py, preconditions.py, transactions.py and reconstruction, and everything below edit.
Restoring damaged bytes does not belong here (reconstruction), and neither does writing files (output).
"""
