"""Rehearsals: a program's rollbacks proved in a scratch world before production does.

A rehearsal runs the program by the ordinary orchestrator, on a store of its own, in a copy of the program's world;
what can't be copied has a double. Each scenario has its own copy. Nothing here may write outside the scratch folder:
what is real is read once, when it is copied.
"""
