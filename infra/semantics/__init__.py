"""What is known: the state in the lake's database, what follows from it in memory, all of it in the graph store."""
