"""The command `router`: the API from a shell. It knows the router through HTTP only."""
