"""What leaves this process: guarded HTTP calls and mail."""
