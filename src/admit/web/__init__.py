"""HTTP: from a request to a Principal, from a refusal to an answer, and the routes."""
