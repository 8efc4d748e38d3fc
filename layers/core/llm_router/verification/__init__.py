"""Tells whether two prompts that an embedding finds near ask for the same answer."""

from llm_router.verification.verifier import PairVerifier

__all__ = ["PairVerifier"]
