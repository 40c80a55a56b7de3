"""How good it is: classification and retrieval measures, each with its interval."""
