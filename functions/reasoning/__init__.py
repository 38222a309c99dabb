"""OWL 2 RL over facts that come and go: an ontology becomes rules, rules a program, and that keeps what follows current.

``expression`` reads class expressions and ``clauses`` makes atoms of them, ``compile`` makes rules of an ontology, ``chains``
refuses what OWL 2 forbids of property chains, ``generate`` writes the program, ``engine`` runs it for each change, ``explain``
says why.
"""
