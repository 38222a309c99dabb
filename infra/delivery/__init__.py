"""The guarantees of delivery, one file each."""
