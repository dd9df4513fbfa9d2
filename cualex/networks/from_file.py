"""Networks made by a function in the user's own Python file, which is run here and nowhere else."""

import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cualex.errors import UsageError
from cualex.networks import arguments as words
from cualex.networks import own
from cualex.networks.network import Network

ASKED = ("classes", "crop", "mean_at")  # arguments that follow from the data, or have options


class File:
    """A function in a Python file that returns a Network; the file is run at once."""

    def __init__(self, named: str) -> None:
        """named: FILE.py:FUNCTION, as --network has it."""
        self.named, (path, _, self.function_name) = named, named.rpartition(own.MARK)
        self.name = f"{Path(path).name}{own.MARK}{self.function_name}"
        module = self._run(Path(path).expanduser())
        self.function: Any = getattr(module, self.function_name, None)
        if not callable(self.function):
            there = [name for name, each in vars(module).items() if inspect.isfunction(each) and name[0] != "_"]
            raise self._error(f"{path} has no function {self.function_name!r}; there are {', '.join(there) or 'none'}")

    def network(self, variant: Mapping[str, object] | Sequence[str] = (), **given: Any) -> Network:
        """Return the network for some of `classes`, `crop` and `mean_at`.

        variant: other arguments of the function, as `--variant` has them. Raise UsageError for what is no Network, or
        has a layer that cannot be kept.
        """
        made = self.function
        if not isinstance(made, Network):
            known = inspect.signature(self.function).parameters
            if isinstance(variant, Mapping):
                variant = [words.said({key: value}) for key, value in variant.items()]
            try:
                told = words.read(self.function, [variant] if isinstance(variant, str) else variant, ASKED)
                made = self.function(**{key: value for key, value in given.items() if key in known}, **told)
            except Exception as error:
                raise self._failed(error) from error
        if not isinstance(made, Network):
            raise self._error(f"{self.function_name} returned {type(made).__name__}, expected cualex.networks.Network")
        plain = own.described(made)
        if (crop := given.get("crop")) and crop != made.crop:
            plain |= {"crop": crop, "stored": round(made.stored * crop / made.crop)}
        plain |= {key: given[key] for key in ("classes", "mean_at") if given.get(key)}
        try:
            return own.builder(self.name)(**plain)
        except ValueError as error:
            raise self._error(str(error)) from None

    def _run(self, path: Path) -> object:
        """Run the file and return its module; as for a script, modules beside it can be imported."""
        if not path.is_file():
            raise self._error(f"there is no file {str(path)!r}. Give FILE.py{own.MARK}FUNCTION")
        spec = importlib.util.spec_from_file_location(f"cualex_own_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise self._error(f"{path} is no Python file. Give FILE.py{own.MARK}FUNCTION")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        sys.path.insert(0, str(path.parent.resolve()))
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise self._failed(error) from error
        finally:
            sys.path.pop(0)
        return module

    def _failed(self, error: Exception) -> UsageError:
        """Return the error for a file or function that raised one, with the last line of the file that took part."""
        file, trace, line = Path(self.named.rpartition(own.MARK)[0]).name, error.__traceback__, 0
        while trace:
            line = trace.tb_lineno if Path(trace.tb_frame.f_code.co_filename).name == file else line
            trace = trace.tb_next
        where = f" (line {line} of {file})" if line else ""
        return self._error(f"{type(error).__name__}: {error}{where}")

    def _error(self, text: str) -> UsageError:
        return UsageError(f"--network {self.named}: {text}")
