"""The use-cases, one file per Lambda function."""
