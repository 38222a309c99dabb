"""Who calls the lake, and what they may ask of it: tokens, API keys, and the tokens of an OpenID Connect issuer."""
