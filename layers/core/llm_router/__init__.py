"""Policy, ports and adapters of the serverless LLM router."""
