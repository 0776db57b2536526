"""Our routes, one module a subject. They read the request, call one verb, and write the answer; no rules in here."""
