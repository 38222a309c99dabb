"""A model repository: a prefix of a bucket that holds numbered versions, each beside the digest it is checked against."""
