"""Takes batches of prompts over HTTP and from S3, and tells where they stand."""
