"""OpenAI's API in terms of ours: its requests read, its objects and errors written."""
