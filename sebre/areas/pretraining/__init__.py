"""Learning from sections without labels, and what was learned."""
