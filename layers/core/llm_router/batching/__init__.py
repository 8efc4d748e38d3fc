"""Prompts that nobody waits for: batches, their files, and replies to queues."""
