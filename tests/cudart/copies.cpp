// Copies and memsets.
//
// Memory of the host that is not pinned ("pageable") is read at the call, and written before the call returns; pinned
// memory is read and written when the copy runs (CUDA Runtime API, "API synchronization behavior").
#include <cstring>

#include "ordering.h"

namespace cudart {

// Rows of bytes, a pitch apart; one row is all that most copies have.
struct Rows {
    size_t bytes, count = 1;
};
struct Side {
    char* start;
    size_t pitch = 0;
    Memory* memory = nullptr;  // null: pageable
    bool on_device() const { return memory && memory->kind == Memory::DEVICE; }
};
enum Waits { QUEUED, WAITS };  // cudaMemcpyAsync and cudaMemcpy, and the others alike

// Say what is wrong with an address range; it may go on beyond the end of its memory.
static cudaError_t look(Side& side, Rows rows) {
    side.memory = memory_at(side.start);
    if (!side.memory) {
        if (!freed(side.start)) return cudaSuccess;
        explain("a copy touches memory that has been freed");
        return cudaErrorInvalidValue;
    }
    const size_t offset = side.start - side.memory->start, room = side.memory->bytes - offset;
    const size_t bytes = side.pitch * (rows.count - 1) + rows.bytes;
    if (bytes <= room) return cudaSuccess;
    explain("a copy goes on beyond the end of its memory: " + describe(*side.memory, offset, bytes));
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

static void move(Side target, Side source, Rows rows) {
    for (size_t row = 0; row < rows.count; ++row)
        memmove(target.start + row * target.pitch, source.start + row * source.pitch, rows.bytes);
}

static cudaError_t copy(Side to, Side from, Rows rows, cudaMemcpyKind kind, Stream& stream, Waits waits) {
    if (kind < 0 || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
    if (!rows.bytes || !rows.count) return cudaSuccess;
    if (const cudaError_t error = look(to, rows)) return error;
    if (const cudaError_t error = look(from, rows)) return error;
    if (!direction_fits(kind, to, from)) return cudaErrorInvalidMemcpyDirection;
    Operation work{"a copy", stream.device, nullptr, {}};
    for (size_t row = 0; row < rows.count; ++row) {
        if (from.memory) work.touches.push_back({from.start + row * from.pitch, rows.bytes, false});
        if (to.memory) work.touches.push_back({to.start + row * to.pitch, rows.bytes, true});
    }
    if (from.memory || stream.capture) {
        work.run = [=](const Item&) { move(to, from, rows); };
    } else {
        auto staged = std::make_shared<std::string>(rows.bytes * rows.count, 0);
        const Side packed{staged->data(), rows.bytes};
        move(packed, from, rows);
        work.run = [=](const Item&) { move(to, {staged->data(), rows.bytes}, rows); };
        // "A stream sync is performed before the copy is initiated", and none after it.
        if (waits && to.on_device()) {
            if (const cudaError_t error = order_with_default(stream)) return error;
            finish(stream);
            waits = QUEUED;
        }
    }
    work.to_host = !to.on_device();
    // Until the copy has run, what the host finds there is rubbish, as it may be on a GPU.
    const bool early = to.memory && !to.on_device() && !stream.capture && !touched_by_queue(*to.memory);
    const cudaError_t error = submit(stream, std::move(work));
    if (error || stream.capture) return error;
    const bool inside = to.on_device() && from.on_device(), of_host = !to.on_device() && !from.on_device();
    if ((waits && !inside) || !to.memory || of_host)
        finish(stream);
    else if (early && !stream.queue.empty()) {
        ordering::check_watches(*to.memory);
        for (size_t row = 0; row < rows.count; ++row) {
            ordering::end_watches(to.start + row * to.pitch, rows.bytes);  // it is not the host that changes this
            memset(to.start + row * to.pitch, POISON, rows.bytes);
        }
    }
    return cudaSuccess;
}

static cudaError_t fill(void* target, int value, size_t bytes, Stream& stream, Waits waits) {
    if (!bytes) return cudaSuccess;
    Side to{(char*)target};
    if (const cudaError_t error = look(to, {bytes})) return error;
    if (!to.memory) return cudaErrorInvalidValue;
    const auto run = [=](const Item&) { memset(target, value, bytes); };
    const cudaError_t error = submit(stream, {"a memset", stream.device, run, {{target, bytes, true}}});
    if (!error && waits && !to.on_device()) finish(stream);
    return error;
}

typedef std::function<cudaError_t(Stream&, Waits)> Queue;

// What the host may wait for goes through the default stream, which nothing may use while that would have to wait for
// a capture.
static cudaError_t on_default(const Queue& queue) {
    if (const cudaError_t error = usable(current)) return error;
    if (const cudaError_t error = unsafe()) return error;
    const cudaError_t error = queue(*devices()[current].legacy, WAITS);
    return error ? error : usable(current);
}

static cudaError_t on_stream(cudaStream_t handle, const Queue& queue) {
    if (const cudaError_t error = usable(current)) return error;
    const auto stream = find_stream(handle);
    return stream ? queue(*stream, QUEUED) : cudaErrorInvalidResourceHandle;
}

static Queue linear(void* target, const void* source, size_t bytes, cudaMemcpyKind kind) {
    return [=](Stream& stream, Waits waits) {
        return copy({(char*)target}, {(char*)source}, {bytes}, kind, stream, waits);
    };
}

static Queue pitched(void* target, size_t target_pitch, const void* source, size_t source_pitch, size_t width,
                     size_t height, cudaMemcpyKind kind) {
    return [=](Stream& stream, Waits waits) -> cudaError_t {
        if (width > target_pitch || width > source_pitch) return cudaErrorInvalidPitchValue;
        return copy({(char*)target, target_pitch}, {(char*)source, source_pitch}, {width, height}, kind, stream, waits);
    };
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
    return fail(on_default(linear(target, source, bytes, kind)));
}

cudaError_t cudaMemcpyAsync(void* target, const void* source, size_t bytes, cudaMemcpyKind kind, cudaStream_t handle) {
    ENTER;
    return fail(on_stream(handle, linear(target, source, bytes, kind)));
}

cudaError_t cudaMemcpy2D(void* target, size_t target_pitch, const void* source, size_t source_pitch, size_t width,
                         size_t height, cudaMemcpyKind kind) {
    ENTER;
    return fail(on_default(pitched(target, target_pitch, source, source_pitch, width, height, kind)));
}

cudaError_t cudaMemcpy2DAsync(void* target, size_t target_pitch, const void* source, size_t source_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t handle) {
    ENTER;
    return fail(on_stream(handle, pitched(target, target_pitch, source, source_pitch, width, height, kind)));
}

// "Serialized with respect to all pending and future asynchronous work into the current device, srcDevice, and
// dstDevice."
cudaError_t cudaMemcpyPeer(void* target, int target_device, const void* source, int source_device, size_t bytes) {
    ENTER;
    REFUSE(!lies_on(target, target_device) || !lies_on(source, source_device), cudaErrorInvalidValue);
    return fail(on_default([=](Stream& stream, Waits waits) -> cudaError_t {
        for (const int device : {target_device, source_device}) {
            if (const cudaError_t error = implicit_capture(device)) return error;
            finish_device(device);
        }
        const cudaError_t error = linear(target, source, bytes, cudaMemcpyDeviceToDevice)(stream, waits);
        if (!error) finish(stream);
        return error;
    }));
}

// A graph has no node for it.
cudaError_t cudaMemcpyPeerAsync(void* target, int target_device, const void* source, int source_device, size_t bytes,
                                cudaStream_t handle) {
    ENTER;
    REFUSE(!lies_on(target, target_device) || !lies_on(source, source_device), cudaErrorInvalidValue);
    return fail(on_stream(handle, [=](Stream& stream, Waits waits) -> cudaError_t {
        if (stream.capture) {
            invalidate(*stream.capture);
            return cudaErrorStreamCaptureUnsupported;
        }
        return linear(target, source, bytes, cudaMemcpyDeviceToDevice)(stream, waits);
    }));
}

cudaError_t cudaMemset(void* target, int value, size_t bytes) {
    ENTER;
    return fail(on_default([=](Stream& stream, Waits waits) { return fill(target, value, bytes, stream, waits); }));
}

cudaError_t cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t handle) {
    ENTER;
    return fail(on_stream(handle, [=](Stream& stream, Waits waits) {
        return fill(target, value, bytes, stream, waits);
    }));
}

}  // extern "C"
