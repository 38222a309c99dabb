"""Catalogues behind the ``Catalog`` port, one file a backend."""
