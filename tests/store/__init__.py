"""The session store, on moto and on DynamoDB Local."""
