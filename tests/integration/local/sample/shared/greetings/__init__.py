"""What the sample's shared layer holds."""

WORD = "hello from a layer"
