"""The face that other machines see: HTTP under `/api/v1`, described by OpenAPI, refused by default."""
