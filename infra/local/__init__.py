"""The docker-less twin of `sam local`: the whole stack in one process tree, read from template.yaml."""
