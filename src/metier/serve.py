"""serve: the OpenAI-compatible gateway, a process."""
