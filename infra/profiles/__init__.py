"""What maps taught, behind the ``Profiles`` port, one file a backend."""
