"""CUDA graphs: what is queued on some streams, recorded, and queued again as a whole."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cualex.devices.cuda_errors import CudaCalls
from cualex.errors import DeviceError, DeviceLost, OutOfMemory

if TYPE_CHECKING:
    from cualex.devices.cuda import CudaDevice


class CupyGraph:
    """A captured step, ready to be queued on the stream it belongs to."""

    def __init__(self, calls: CudaCalls, graph: Any, stream: Any) -> None:
        self._calls, self.graph, self.stream = calls, graph, stream

    def launch(self) -> None:
        """Queue the whole step."""
        with self._calls.on(self.stream.device_id):
            self.graph.launch(self.stream)


def capture(
    calls: CudaCalls, peers: Callable[[int, int], bool], streams: Sequence[Any], work: Callable[[], None]
) -> tuple[CupyGraph | None, str]:
    """Record work into a graph of the first stream; return it, or None and why it cannot be.

    Nothing is captured over GPUs that do not read each other's memory. The driver takes a copy between them through the
    host; nothing says that a graph's copy may go that way, and one that fails when it is launched would end a training.
    """
    origin = streams[0]
    for device in sorted({stream.device_id for stream in streams} - {origin.device_id}):
        if not (peers(origin.device_id, device) and peers(device, origin.device_id)):
            return None, f"cuda:{origin.device_id} and cuda:{device} do not read each other's memory"
    try:
        with calls.on(origin.device_id), origin:
            origin.begin_capture()
            try:
                work()
            except BaseException:
                if calls.lost is None:
                    with suppress(RuntimeError):  # the capture cannot be ended well: say what came first
                        origin.end_capture()
                raise
            graph = origin.end_capture()
    except DeviceLost:
        raise
    except (RuntimeError, NotImplementedError, DeviceError, OutOfMemory) as error:
        return None, str(error)
    return CupyGraph(calls, graph, origin), ""


def capture_steps(devices: Sequence["CudaDevice"], work: Callable[[], None]) -> Callable[[], None] | None:
    """Record what `work` queues on some devices as one graph; return what queues it, None where that cannot be.

    The graph belongs to the first device's stream: the others' streams fork from it and join it, when the graph is
    recorded and again around each launch, so that what they do before and after keeps its order.
    """
    runtime = devices[0].runtime
    first, *others = [device.stream for device in devices]
    linking = [device.linking for device in devices if device.linking is not None]

    def order(before: Sequence[Any], after: Sequence[Any]) -> None:
        """Let what is queued on some streams from here on wait for what is queued on others."""
        for one in before:
            for other in after:
                runtime.wait(other, runtime.record(one))

    def forked() -> None:
        order([first], [*others, *linking])
        work()
        order([device.stream for device in devices[1:]], [devices[0].stream])

    try:
        graph = runtime.capture([first, *others, *linking], forked)
    finally:
        for device in devices:  # a capture that failed leaves events that will never happen
            device.links.clear()
    if graph is None:
        return None

    def replay() -> None:
        order([device.stream for device in devices[1:]], [devices[0].stream])
        graph.launch()
        order([first], others)

    return replay
