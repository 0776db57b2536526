"""What happened, kept so that nobody can change it unseen: log, seal, verify, explain, detectors, findings, reading."""
