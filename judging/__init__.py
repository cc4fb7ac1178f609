"""The bottom layer: what a judge says, and the statistics that let it say so. Pure."""
