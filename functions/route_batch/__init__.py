"""Routes prompts that come through queues."""
