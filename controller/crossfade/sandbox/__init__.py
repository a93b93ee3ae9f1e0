"""A local Bedrock for demos and tests, with faults on demand and real small models behind it."""
