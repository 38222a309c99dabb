"""The graph of the lake: stores of triples, and SPARQL over them."""
