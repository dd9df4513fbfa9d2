// Captures and graphs.
//
// As in CUDA, a capturing stream knows the nodes that its next one depends on, an event recorded there takes them
// along, and a stream that waits for the event adds them to its own (Programming Guide, "Cross-stream Dependencies and
// Events"). Code sections cited below are of that guide, "Creating a Graph Using Stream Capture".
#include <algorithm>

#include "ordering.h"

namespace cudart {

struct Graph {
    std::vector<Node> nodes;
    std::vector<int> devices;  // of its branches
};

struct Executable {
    Graph graph;
    std::vector<std::shared_ptr<Stream>> branches;
};

static std::set<std::shared_ptr<Capture>> captures;  // under way
static std::map<void*, std::unique_ptr<Graph>> graphs;
static std::map<void*, std::unique_ptr<Executable>> executables;

// "When an invalid operation is attempted during stream capture, any associated capture graphs are invalidated."
void invalidate(Capture& capture) { capture.invalid = true; }

// The captures that streams of a device take part in, or only its blocking streams.
static std::vector<Capture*> captures_on(int device, bool blocking = false) {
    std::vector<Capture*> all;
    for (const auto& capture : captures)
        if (std::any_of(capture->streams.begin(), capture->streams.end(), [=](const auto& stream) {
                return stream->device == device && (!blocking || stream->blocking());
            }))
            all.push_back(capture.get());
    return all;
}

bool invalidate_device(int device) {
    const auto all = captures_on(device);
    for (Capture* capture : all) invalidate(*capture);
    return !all.empty();
}

// Refuse what may wait or allocate, where a capture forbids it: one in global mode to all threads, one in thread-local
// mode to its own (Runtime API, cudaThreadExchangeStreamCaptureMode). CuPy's captures are relaxed and forbid nothing.
cudaError_t unsafe() {
    cudaError_t error = cudaSuccess;
    for (const auto& capture : captures) {
        const bool own = capture->thread == std::this_thread::get_id();
        const bool local = capture->mode == cudaStreamCaptureModeThreadLocal;
        if (capture->mode == cudaStreamCaptureModeGlobal || (local && own)) {
            invalidate(*capture);
            error = cudaErrorStreamCaptureUnsupported;
        }
    }
    return error;
}

// "When any stream in the same context is being captured, and it was not created with cudaStreamNonBlocking, any
// attempted use of the legacy stream is invalid."
cudaError_t implicit_capture(int device) {
    const auto all = captures_on(device, true);
    for (Capture* capture : all) invalidate(*capture);
    return all.empty() ? cudaSuccess : cudaErrorStreamCaptureImplicit;
}

std::string graphs_left() {
    return some(captures.size(), "captures") + some(graphs.size(), "graphs") +
           some(executables.size(), "executable graphs");
}

// Say whether everything that was captured comes before what the origin would do next.
static bool joined(const Capture& capture) {
    std::set<int> before = capture.origin->tail;
    for (int node = (int)capture.nodes.size(); node-- > 0;) {
        if (!before.count(node)) return false;
        before.insert(capture.nodes[node].after.begin(), capture.nodes[node].after.end());
    }
    return true;
}

static void end(const std::shared_ptr<Capture>& capture) {
    capture->ended = true;
    captures.erase(capture);
    for (const auto& stream : capture->streams) stream->capture = nullptr;
}

// A capture whose first stream is destroyed can never be ended.
void leave_capture(Stream& stream) {
    const auto capture = stream.capture;
    if (!capture) return;
    invalidate(*capture);
    if (capture->origin.get() == &stream) end(capture);
}

// Queue a graph: each branch on a stream of its own, which begins after all that is queued on `stream`, and which
// that waits for at the end. The branches belong to the executable, whose launches come one after the other.
static void launch(Executable& executable, Stream& stream) {
    const auto begin = record(stream);
    for (const auto& branch : executable.branches) wait_for(*branch, begin);
    const std::vector<Node>& nodes = executable.graph.nodes;
    std::vector<std::shared_ptr<Moment>> done;
    for (const Node& node : nodes) {
        Stream& branch = *executable.branches[node.branch];
        for (const int other : node.after)
            if (nodes[other].branch != node.branch) wait_for(branch, done[other]);
        push(branch, {Item::WORK, node.work, nullptr});
        done.push_back(record(branch));
    }
    for (const auto& branch : executable.branches) wait_for(stream, record(*branch));
}

}  // namespace cudart

using namespace cudart;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
    ENTER;
    STREAM;
    TRY(usable(stream->device));
    REFUSE(mode < cudaStreamCaptureModeGlobal || mode > cudaStreamCaptureModeRelaxed, cudaErrorInvalidValue);
    REFUSE(stream->legacy, cudaErrorStreamCaptureUnsupported);
    REFUSE(stream->capture, cudaErrorIllegalState);
    REFUSE(settings().no_capture, cudaErrorNotSupported);
    auto capture = std::make_shared<Capture>();
    capture->origin = stream;
    capture->mode = mode;
    capture->thread = std::this_thread::get_id();
    capture->streams.push_back(stream);
    captures.insert(capture);
    stream->tail.clear();
    stream->capture = std::move(capture);
    return cudaSuccess;
}

// 0 none, 1 active, 2 invalidated (enum cudaStreamCaptureStatus).
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
    ENTER;
    STREAM;
    *status = (void*)(uintptr_t)(!stream->capture ? 0 : stream->capture->invalid ? 2 : 1);
    // "The blocking stream capture is not invalidated" (cudaStreamIsCapturing).
    REFUSE(stream->legacy && !captures_on(stream->device, true).empty(), cudaErrorStreamCaptureImplicit);
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
    ENTER;
    STREAM;
    *graph = nullptr;
    const auto capture = stream->capture;
    REFUSE(!capture, cudaErrorIllegalState);
    if (capture->origin != stream) {
        invalidate(*capture);
        return fail(cudaErrorStreamCaptureUnmatched);
    }
    if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id()) {
        invalidate(*capture);
        return fail(cudaErrorStreamCaptureWrongThread);
    }
    end(capture);
    REFUSE(capture->invalid, cudaErrorStreamCaptureInvalidated);
    REFUSE(!joined(*capture), cudaErrorStreamCaptureUnjoined);
    auto made = std::make_unique<Graph>();
    made->nodes = capture->nodes;
    for (const auto& each : capture->streams) made->devices.push_back(each->device);
    *graph = made.get();
    graphs[made.get()] = std::move(made);
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* result, cudaGraph_t handle, unsigned long long) {
    ENTER;
    const auto graph = graphs.find(handle);
    REFUSE(graph == graphs.end(), cudaErrorInvalidValue);
    auto made = std::make_unique<Executable>(Executable{*graph->second, {}});
    for (const int device : made->graph.devices)
        made->branches.push_back(std::make_shared<Stream>(device, 1, 0, false, true));
    *result = made.get();
    executables[made.get()] = std::move(made);
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle_of_graph, cudaStream_t handle) {
    ENTER;
    STREAM;
    const auto executable = executables.find(handle_of_graph);
    REFUSE(executable == executables.end(), cudaErrorInvalidValue);
    TRY(usable(stream->device));
    if (stream->capture) {  // CUDA makes a child graph of it
        invalidate(*stream->capture);
        return fail(cudaErrorNotSupported);
    }
    TRY(order_with_default(*stream));
    launch(*executable->second, *stream);
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t handle_of_graph, cudaStream_t handle) {
    ENTER;
    STREAM;
    return fail(executables.count(handle_of_graph) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
    ENTER;
    return fail(graphs.erase(handle) ? cudaSuccess : cudaErrorInvalidValue);
}

// What is queued of it runs all the same.
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
    ENTER;
    return fail(executables.erase(handle) ? cudaSuccess : cudaErrorInvalidValue);
}

}  // extern "C"
