// Copies and memsets.
//
// Memory of the host that is not pinned ("pageable") is read at the call, and written before the call returns; pinned
// memory is read and written when the copy runs (CUDA Runtime API, "API synchronization behavior").
#include <cstring>

#include "cudart.h"

namespace cudart {

constexpr unsigned char POISON = 0xff;

struct Side {
    Memory* memory;  // null: pageable
    bool on_device() const { return memory && memory->kind == Memory::DEVICE; }
};

// Say what is wrong with an address range; it may go on beyond the end of its memory.
static cudaError_t look(const void* start, size_t bytes, Side* side) {
    side->memory = memory_at(start);
    if (!side->memory) {
        if (!freed(start)) return cudaSuccess;
        explain("a copy touches memory that has been freed");
        return cudaErrorInvalidValue;
    }
    const size_t offset = (const char*)start - side->memory->start;
    if (offset + bytes <= side->memory->bytes) return cudaSuccess;
    explain("a copy goes on beyond the end of its memory: " + describe(*side->memory, offset, bytes));
    return cudaErrorInvalidValue;
}

static bool direction_fits(cudaMemcpyKind kind, Side target, Side source) {
    switch (kind) {
        case cudaMemcpyHostToHost: return !target.on_device() && !source.on_device();
        case cudaMemcpyHostToDevice: return target.on_device() && !source.on_device();
        case cudaMemcpyDeviceToHost: return !target.on_device() && source.on_device();
        case cudaMemcpyDeviceToDevice: return target.on_device() && source.on_device();
        default: return kind == cudaMemcpyDefault;
    }
}

static cudaError_t copy(void* target, const void* source, size_t bytes, cudaMemcpyKind kind, Stream& stream) {
    if (kind < 0 || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
    if (!bytes) return cudaSuccess;
    Side to, from;
    if (const cudaError_t error = look(target, bytes, &to)) return error;
    if (const cudaError_t error = look(source, bytes, &from)) return error;
    if (!direction_fits(kind, to, from)) return cudaErrorInvalidMemcpyDirection;
    Operation work{"a copy", stream.device, nullptr, {}};
    if (from.memory) work.touches.push_back({source, bytes, false});
    if (to.memory) work.touches.push_back({target, bytes, true});
    std::shared_ptr<std::string> staged;
    if (!from.memory && !stream.capture) staged = std::make_shared<std::string>((const char*)source, bytes);
    work.run = [=](const Item&) { memmove(target, staged ? staged->data() : source, bytes); };
    // Until the copy has run, what the host finds there is rubbish, as it may be on a GPU.
    const bool early = to.memory && !to.on_device() && !stream.capture && !touched_by_queue(*to.memory);
    const cudaError_t error = submit(stream, std::move(work));
    if (error || stream.capture) return error;
    if (!to.memory)
        finish(stream);
    else if (early && !stream.queue.empty())
        memset(target, POISON, bytes);
    return cudaSuccess;
}

static cudaError_t fill(void* target, int value, size_t bytes, Stream& stream) {
    if (!bytes) return cudaSuccess;
    Side to;
    if (const cudaError_t error = look(target, bytes, &to)) return error;
    if (!to.memory) return cudaErrorInvalidValue;
    return submit(stream, {"a memset", stream.device, [=](const Item&) { memset(target, value, bytes); }, {{target, bytes, true}}});
}

// Copies that the host waits for go through the default stream, which nothing may use while it would have to wait
// for a capture.
static cudaError_t on_default(const std::function<cudaError_t(Stream&)>& queue) {
    if (const cudaError_t error = usable(current)) return error;
    if (const cudaError_t error = unsafe()) return error;
    Stream& stream = *devices()[current].legacy;
    const cudaError_t error = queue(stream);
    if (!error) finish(stream);
    return error ? error : usable(current);
}

static cudaError_t on_stream(cudaStream_t handle, const std::function<cudaError_t(Stream&)>& queue) {
    if (const cudaError_t error = usable(current)) return error;
    const auto stream = find_stream(handle);
    return stream ? queue(*stream) : cudaErrorInvalidResourceHandle;
}

static bool lies_on(const void* address, int device) {
    const Memory* memory = memory_at(address);
    return memory && memory->kind == Memory::DEVICE && memory->device == device;
}

}  // namespace cudart

using namespace cudart;

extern "C" {

cudaError_t cudaMemcpy(void* target, const void* source, size_t bytes, cudaMemcpyKind kind) {
    ENTER;
    return fail(on_default([=](Stream& stream) { return copy(target, source, bytes, kind, stream); }));
}

cudaError_t cudaMemcpyAsync(void* target, const void* source, size_t bytes, cudaMemcpyKind kind, cudaStream_t handle) {
    ENTER;
    return fail(on_stream(handle, [=](Stream& stream) { return copy(target, source, bytes, kind, stream); }));
}

cudaError_t cudaMemcpyPeer(void* target, int target_device, const void* source, int source_device, size_t bytes) {
    ENTER;
    REFUSE(!lies_on(target, target_device) || !lies_on(source, source_device), cudaErrorInvalidValue);
    return fail(on_default(
        [=](Stream& stream) { return copy(target, source, bytes, cudaMemcpyDeviceToDevice, stream); }));
}

// A graph has no node for it.
cudaError_t cudaMemcpyPeerAsync(void* target, int target_device, const void* source, int source_device, size_t bytes,
                                cudaStream_t handle) {
    ENTER;
    REFUSE(!lies_on(target, target_device) || !lies_on(source, source_device), cudaErrorInvalidValue);
    return fail(on_stream(handle, [=](Stream& stream) -> cudaError_t {
        if (stream.capture) {
            invalidate(*stream.capture);
            return cudaErrorStreamCaptureUnsupported;
        }
        return copy(target, source, bytes, cudaMemcpyDeviceToDevice, stream);
    }));
}

cudaError_t cudaMemset(void* target, int value, size_t bytes) {
    ENTER;
    return fail(on_default([=](Stream& stream) { return fill(target, value, bytes, stream); }));
}

cudaError_t cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t handle) {
    ENTER;
    return fail(on_stream(handle, [=](Stream& stream) { return fill(target, value, bytes, stream); }));
}

}  // extern "C"
