"""A server that is there again right after it was killed: forks of one process that has paid the imports.

Run as `python -m tests.processes.respawning PORT`; its only child serves the application of this folder.
"""

from __future__ import annotations

import os
import sys

import uvicorn

from tests.processes.app import app


def serve(port: int) -> None:
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def main() -> None:
    port = int(sys.argv[1])
    while True:
        pid = os.fork()
        if pid == 0:
            serve(port)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            # it ended by itself: a start that failed must not be tried for ever
            sys.exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main()
