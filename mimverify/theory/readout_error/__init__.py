"""The law of the test error after stage 2, in r + m dimensions: nothing is trained on inputs."""
