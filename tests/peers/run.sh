#!/bin/sh
# Runs a script of this folder with a Python that has PyTorch: PEERS_PYTHON, or python3, or /usr/bin/python3.
here=$(dirname "$0")
for python in "${PEERS_PYTHON:-python3}" "${PEERS_PYTHON:-/usr/bin/python3}"; do
    if "$python" -c 'import numpy, torch, scipy, expecttest' 2>/dev/null; then
        script=$1
        shift
        PYTHONDONTWRITEBYTECODE=1 exec "$python" "$here/$script" "$@"
    fi
done
echo "$1: ${PEERS_PYTHON:-python3} lacks one of numpy, torch, scipy and expecttest. Needed: PyTorch 2.15 (python3 -m venv DIR;" \
     "DIR/bin/pip install numpy torch scipy expecttest), then PEERS_PYTHON=DIR/bin/python" >&2
exit 1
