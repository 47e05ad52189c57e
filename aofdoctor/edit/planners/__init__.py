"""One planner for each editing verb: the function `plan_from_recipe` of the module named like the verb makes its edit.

May import the rest of edit, except for saved_plan.py and recipes.py, and everything below edit.
Writing files does not belong here, and neither does anything that two verbs need to write their output.
"""
