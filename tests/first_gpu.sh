#!/usr/bin/env bash
# Run cualex on this machine's GPU for the first time, and print one page to send back.
#
#     bash tests/first_gpu.sh [FOLDER]      under 10 minutes; the page and all logs go to FOLDER, ./first-gpu if not given
#
# It installs cualex and CuPy into FOLDER/venv; with PYTHON it installs nothing. Nothing on the machine is changed, the
# GPU's settings included. Each step has a time limit; one that fails does not end the others.
#
#     PYTHON    an interpreter that has CuPy, pytest and what cualex needs, where there is no network
#     SECONDS_IN_ALL=570    when to begin no further step      NETWORK=alexnet BATCH=128    what is timed
#     EMULATED=1    for a GPU that is emulated: small products are the yardstick      TESTS    those of pytest --gpu
set -uo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
out=$(mkdir -p "${1:-first-gpu}" && cd "${1:-first-gpu}" && pwd)
in_all=${SECONDS_IN_ALL:-570} network=${NETWORK:-alexnet} batch=${BATCH:-128}
page=$out/page.txt
: >"$page"
export CUALEX_CACHE=$out/cache CUPY_CACHE_DIR=$out/cache/cupy
unset CUALEX_DEVICE CUALEX_DEBUG
[ -n "${EMULATED:-}" ] || unset CUALEX_SELF_TEST  # which takes all of its limit where kernels are emulated
SECONDS=0

say() { printf '%s\n' "$*" | tee -a "$page"; }

# step NAME LIMIT COMMAND...: run it with a time limit into FOLDER/NAME.log, and write one line on the page.
step() {
    local name=$1 limit=$2 began=$SECONDS code
    shift 2
    if ((SECONDS >= in_all)); then
        say "$name: not run, the $in_all seconds are over"
        return 1
    fi
    ((limit > in_all - SECONDS)) && limit=$((in_all - SECONDS))
    # By Ctrl-C, so that pytest still says what failed. The shell's own word about a killed job is not for the page.
    { timeout --foreground --signal=INT --kill-after=10 "$limit" "$@" >"$out/$name.log" 2>"$out/$name.err" </dev/null; } 2>/dev/null
    code=$?
    case $code in
    0) say "$name: ok, $((SECONDS - began)) s" ;;
    124 | 137) say "$name: STOPPED after its limit of $limit s" ;;
    *) say "$name: FAILED with exit code $code, $((SECONDS - began)) s; $name.log and $name.err have all" ;;
    esac
    return $code
}

# By letters: cut counts bytes, and left half of a table's rule.
shorten() { LC_ALL=C.UTF-8 sed -E 's/^(.{118}).*/\1/; s/^/    /'; }
# quote NAME LINES: put the last lines of a log on the page.
quote() { cat "$out/$1.log" "$out/$1.err" 2>/dev/null | tail -n "$2" | shorten | tee -a "$page"; }

say "cualex on a GPU, $(date -u '+%Y-%m-%d %H:%M UTC')"
say "commit $(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)$(git -C "$here" diff --quiet HEAD 2>/dev/null || echo ', changed')"
query=name,driver_version,memory.total,clocks.max.sm,power.limit,compute_mode
nvidia-smi --query-gpu=$query --format=csv,noheader 2>/dev/null | sed 's/^/    /' | tee -a "$page"

if [ -z "${PYTHON:-}" ]; then
    major=$(nvidia-smi 2>/dev/null | grep -oE 'CUDA Version: [0-9]+' | grep -oE '[0-9]+$' || echo 13)
    cuda=$((major >= 13 ? 13 : 12))
    python3 -m venv "$out/venv"
    step install 240 "$out/venv/bin/pip" install --quiet -e "$here[test,cuda$cuda]" || quote install 5
    PYTHON=$out/venv/bin/python
else
    export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}
fi
# Without pytest-xdist the options of pyproject.toml that are its own must go.
options=(--override-ini=addopts= --continue-on-collection-errors -q -p no:cacheprovider --tb=line)
"$PYTHON" -c 'import xdist' 2>/dev/null && options+=(-n "${WORKERS:-4}" --dist loadfile)
cualex=("$PYTHON" -m cualex)
[ -z "${EMULATED:-}" ] || cualex=("$PYTHON" -m tests.first_gpu_page small)
cd "$here" || exit 1

step doctor 60 "${cualex[@]}" doctor
quote doctor 10
step primitives 90 "$PYTHON" -m pytest --gpu "${options[@]}" tests/emulator/test_primitives.py tests/devices/test_cupy_runtime.py
quote primitives 3
for precision in tf32 bf16; do
    step "profile-$precision" 60 "${cualex[@]}" profile "$network" -b "$batch" --precision "$precision" --device cuda:0 \
        --json && "$PYTHON" -m tests.first_gpu_page profile "$out/profile-$precision.log" | tee -a "$page"
done
against=()
"$PYTHON" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null && against=(--against torch)
for precision in tf32 bf16; do
    step "benchmark-$precision" 100 "${cualex[@]}" benchmark --network "$network" -b "$batch" --precision "$precision" \
        --device cuda:0 --rounds 3 "${against[@]}" --json &&
        "$PYTHON" -m tests.first_gpu_page benchmark "$out/benchmark-$precision.log" | tee -a "$page"
done
# What the kernels gave at their first use here, in the shapes of the plans above.
step self-test 60 "${cualex[@]}" doctor
quote self-test 10
((${#against[@]})) || say "no PyTorch that sees a GPU: compared with nothing"
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
        step "$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 9 "$PYTHON" -m tests.first_gpu_page train
        quote "$tool" 2
    done
else
    say "compute-sanitizer: not here"
fi
step tests 300 "$PYTHON" -m pytest --gpu "${options[@]}" ${TESTS:-}
grep -hE '^(FAILED|ERROR)|passed|failed' "$out/tests.log" | tail -n 25 | shorten | tee -a "$page"
say "$SECONDS seconds in all. Send back $page; the logs beside it have the rest."
