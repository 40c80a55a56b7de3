"""The joint model: image encoder, text encoder, fusion, and the checkpoint folder they travel in."""
