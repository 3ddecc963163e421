"""The OpenAI-compatible server in front of specialists and frontier models."""
