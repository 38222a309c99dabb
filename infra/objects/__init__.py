"""Object stores: ``s3`` speaks to any S3 endpoint; ``door`` is the embedded endpoint over a folder."""
