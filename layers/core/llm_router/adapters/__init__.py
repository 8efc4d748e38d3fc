"""Everything that speaks to AWS, a model server or onnxruntime."""
