"""Objects (files, S3), the content-addressed store, lineage, and the context of a stage."""
