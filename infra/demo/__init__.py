"""The demonstration: real inputs made on the spot, and their way through the suite."""
