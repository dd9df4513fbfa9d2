"""Several processes of one command (`mpiexec -n 4 cualex train`): connect them, and let them end as one.

Without a launcher nothing here imports MPI.
"""

import os
import sys
import traceback
from collections.abc import Callable
from typing import IO

import click

from cualex.cli import _exit, _options
from cualex.errors import RanksDiffer, UsageError
from cualex.ranks import ALONE, Ranks, launch

TOGETHER = ("train", "evaluate", "benchmark", "profile", "doctor")  # commands that ranks run together
_found: Ranks = ALONE


def team() -> Ranks:
    """Return the ranks that run this command, or the one process."""
    return _found


def check_command(name: str) -> None:
    """Raise UsageError for a command that ranks do not run together."""
    if _found.size > 1 and name and name not in TOGETHER:
        raise UsageError(
            f"{name} runs as one process, and {_found.size} ranks were started: leave mpiexec or srun out; "
            f"{', '.join(TOGETHER[:-1])} and {TOGETHER[-1]} take several"
        )


def wait_for_all() -> None:
    """Wait until every rank is here, which is still there and not stuck; between two rounds of work."""
    if _found.size > 1:
        import numpy as np

        _found.begin_updates()
        _found.gather(np.zeros(1), "begin the next round")()


def check_same(value: object, what: str) -> None:
    """Raise RanksDiffer unless all ranks have the same value; only a digest of it is sent."""
    import hashlib
    import json

    from cualex.ranks import differing

    if _found.size == 1:
        return
    digest = hashlib.sha256(json.dumps(value).encode()).hexdigest()
    if (rank := differing(_found.collect(digest, f"compare {what}"))) is not None:
        raise RanksDiffer(f"rank {rank} has other {what} than rank 0: give all ranks the same data and weights")


def _start(ctx: click.Context, param: click.Parameter, value: int | None) -> None:
    """Become mpiexec with so many of this process, unless a launcher has started them already."""
    if value is None or ctx.resilient_parsing:
        return
    if launch.found():
        if value != _found.size:
            raise UsageError(f"--ranks {value}: the launcher has started {_found.size}; leave --ranks out")
    elif value > 1:
        command = launch.command(value, sys.argv[1:])
        click.echo(f"Starting: {' '.join(command)}", err=True)
        sys.stderr.flush()
        os.execv(command[0], command)


def _limit(ctx: click.Context, param: click.Parameter, value: float | None) -> None:
    if value is not None and _found.size > 1:
        _found.timeout = value  # type: ignore[attr-defined]  # several ranks have one


ranks = click.option(
    "--ranks",
    type=click.IntRange(1),
    metavar="N",
    expose_value=False,
    is_eager=True,
    callback=_start,
    help="Compute with N processes on this machine, which mpiexec -n N starts; for several machines see `cualex help "
    "ranks`.",
)
peer_timeout = click.option(
    "--peer-timeout",
    type=_options.Number(0, min_open=True),
    metavar="SECONDS",
    expose_value=False,
    callback=_limit,
    help="Seconds without an answer after which a rank gives up on the others, with exit code 7.  [default: 600]",
)


def _exchange(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and _found.machines == 1:
        raise UsageError("--exchange-rows is for ranks on several machines: add mpiexec, or leave it out")
    if value:
        _found.exchanges_rows = True  # type: ignore[misc]  # several ranks have one that is set


exchange_rows = click.option(
    "--exchange-rows",
    is_flag=True,
    expose_value=False,
    callback=_exchange,
    help="Let each of M machines read every M-th training image only, and send it to the ranks that need it, where "
    "their memory is too short for the pack; the bits are the same.",
)


def words(ranks) -> list[str]:
    """Return the option that starts as many ranks again; none where a launcher of several machines has started them."""
    return ["--ranks", str(ranks.size)] if ranks.machines == 1 else []


def finish(call: Callable[[], object]) -> int:
    """Run `call` and return the exit code that it earned, of several ranks the one that all of them return."""
    found = launch.found()
    return _exit.finish(call) if found is None else _finish_together(found, call)


def _finish_together(found: launch.Launch, call: Callable[[], object]) -> int:
    """Connect the ranks, run `call` with the output of rank 0 alone, and exchange last words.

    A rank that fails waits a moment for the others. Where all have ended, rank 0 prints each different line once and
    all return one code; where the others still work, they are ended by MPI.
    """
    visible, errors = sys.stderr, list[BaseException]()

    def watched() -> object:
        try:
            _connect(found)
            return call()
        except BaseException as error:
            errors.append(error)
            raise

    try:
        code = _exit.finish(watched)
    except Exception:
        traceback.print_exc()
        code = 1
    ranks = _found
    if ranks.size == 1:  # MPI has not started
        return code
    own = _words(errors[0]) if errors and code else ""
    words = ranks.close(own, code)  # type: ignore[attr-defined]  # several ranks have one
    if words is None:
        if not ranks.first:
            _tell(visible, ranks.rank, own)
        ranks.abort(code)  # type: ignore[attr-defined]
    return _end(words or [], ranks, visible)


def _connect(found: launch.Launch) -> None:
    """Start MPI, and silence all ranks but the first."""
    from cualex.ranks.mpi import MpiRanks

    global _found
    if found.rank:  # of the launcher's numbers: what goes wrong before MPI has started is the same on all
        visible = _exit.silence()
    _found = MpiRanks(found)
    if found.rank and _found.first:
        sys.stdout, sys.stderr = visible
    elif not _found.first and not found.rank:
        _exit.silence()


def _end(words: list[tuple[str, int]], ranks: Ranks, visible: IO[str]) -> int:
    """Print what the other ranks have said and rank 0 has not; return the code of all."""
    codes = [code for _, code in words]
    if ranks.first:
        said = {words[0][0], ""}
        for rank, (line, _) in enumerate(words):
            if line not in said:
                said.add(line)
                _tell(visible, rank, line)
    code = codes[0] or max(codes)
    sys.stdout.flush()
    visible.flush()
    if ranks.cut_off:  # type: ignore[attr-defined]
        os._exit(code)
    return code


def _tell(stream: IO[str], rank: int, line: str) -> None:
    stream.write(f"rank {rank}: {line}\n")
    stream.flush()


def _words(error: BaseException) -> str:
    """Return the last words of a rank: the line of an error that the user can fix, else the traceback."""
    if isinstance(error, click.ClickException):
        return error.format_message()
    if fault := _exit.fault(error) if isinstance(error, Exception) else None:
        return fault.format_message()
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return str(getattr(error, "said", "Interrupted."))
    return "".join(traceback.format_exception(error))
