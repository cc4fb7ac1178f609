"""Build a weights image into an OCI layout: hash each layer once, then write config, manifest and tag."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from images.packer import CONFIG_MEDIA_TYPE, image_config, image_manifest, plan_layers
from registry.descriptor import Descriptor
from registry.manifest import Manifest
from registry.oci_layout import OciLayout


def build_image(
    layout: OciLayout,
    manifest: Manifest,
    labels: Mapping[str, str],
    name: str,
    on_bytes: Callable[[int], None] | None = None,
) -> Descriptor:
    """The image of these files, tagged by name and digest; the same files and labels give the same digest.

    A tag of its own: images of the same weights with other labels are no versions of one another.

    ``on_bytes`` hears how many bytes each step read; all steps add up to a little more than the manifest's
    size. Raises UsageError for too many files, InfrastructureError for a missing blob.
    """
    planned = plan_layers(manifest)
    layers = {path: layout.put_file_layer(layer, on_bytes) for path, layer in planned.items()}
    config = layout.put_blob(image_config(layers, labels), CONFIG_MEDIA_TYPE)
    image = layout.put_manifest(image_manifest(config, list(layers.values())))
    layout.tag(f"{name}-{image.digest.short}", image)
    return image
