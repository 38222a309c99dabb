"""The planner's mathematics, without any I/O: what runs taught, what a configuration would take, and which one to choose.

``history`` keeps a task's measured runs, ``model`` and ``fit`` make time, cost and memory of them, ``grid`` lists the
configurations, ``choice`` finds the Pareto front and the best of them, ``decide`` puts these together into a decision.
"""
