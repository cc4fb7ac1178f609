"""What a version is: digests, manifests, records, aliases, evidence, and where they are kept."""
