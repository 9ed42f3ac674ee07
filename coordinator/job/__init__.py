"""The job: what a person wrote in YAML, read, validated and compared with the job of an earlier run."""
