"""Images in memory and in files: where voxels lie, reading, writing, sampling, preparing."""
