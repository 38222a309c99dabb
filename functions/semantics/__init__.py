"""What is told of the world as triples: terms, observations with where they come from, and ways through a city."""
