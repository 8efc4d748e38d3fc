"""Everything that speaks to DynamoDB, SQS, Ollama or onnxruntime."""
