"""Runs the jobs that the box could not answer in the cloud."""
