"""Model repositories behind the ``Models`` port, one file a backend."""
