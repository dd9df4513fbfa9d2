// Streams and events. What is queued runs when somebody has to wait for it ("late"), at once ("eager"), or some time
// in between, drawn by a seed ("random"): whatever order the events leave open is one that a GPU may take.
#include <ctime>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <list>
#include <random>

#include "ordering.h"

namespace cudart {

static std::map<void*, std::shared_ptr<Stream>> streams;
static std::map<void*, std::unique_ptr<Event>> events;
static std::list<std::shared_ptr<Stream>> destroyed;
static std::list<std::shared_ptr<Stream>> working;  // that have something in their queue
constexpr int GREATEST_PRIORITY = -5, LEAST_PRIORITY = 0;
static int made;

struct Order {
    enum Name { LATE, EAGER, RANDOM } name = LATE;
    std::mt19937 random;

    bool set(const char* wanted, unsigned seed) {
        const char* const names[] = {"late", "eager", "random"};
        const auto found = std::find_if(names, names + 3, [=](const char* each) { return !strcmp(each, wanted); });
        if (found == names + 3) return false;
        name = (Name)(found - names);
        random.seed(seed);
        return true;
    }
    bool one_in(unsigned count) { return random() % count == 0; }
};

static Order& order() {
    static Order made = [] {
        Order from_environment;
        const char *name = getenv("CUDART_ORDER"), *seed = getenv("CUDART_SEED");
        if (!from_environment.set(name && *name ? name : "late", seed ? strtoul(seed, nullptr, 0) : 1)) {
            explain(std::string("CUDART_ORDER is late, eager or random, not ") + name);
            abort();
        }
        return from_environment;
    }();
    return made;
}

Stream::Stream(int device, unsigned flags, int priority, bool legacy, bool internal)
    : device(device),
      flags(flags),
      priority(priority),
      legacy(legacy),
      internal(internal),
      track(ordering::new_track()),
      number(++made) {}

static double seconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool ready(const Stream& stream) {
    if (stream.queue.empty()) return false;
    const Item& next = stream.queue.front();
    return next.kind != Item::WAIT || next.moment->happened;
}

// Do what is first in a queue. Nothing more runs on a device on which a kernel has failed.
static void advance(Stream& stream) {
    const Item item = std::move(stream.queue.front());
    stream.queue.pop_front();
    if (stream.queue.empty()) working.remove_if([&](const auto& each) { return each.get() == &stream; });
    const bool done = item.kind != Item::WORK || (settings().idle && !item.work->to_host);
    if (!done && !devices()[stream.device].broken) {
        for (const Touch& touched : item.work->touches)
            if (!settings().idle) ordering::touch(item, touched);
        item.work->run(item);
    }
    if (item.kind == Item::RECORD) {
        item.moment->happened = true;
        item.moment->time = seconds();
    }
}

// Of the streams that can go on, the one of the highest rank does; ranks are drawn anew now and then. So one stream
// is often far behind the others, as a fair draw would hardly ever leave it.
static bool advance_any() {
    Stream* first = nullptr;
    for (const auto& each : working) {
        if (!ready(*each)) continue;
        if (!each->rank || order().one_in(10)) each->rank = 1 + (double)order().random();
        if (!first || each->rank > first->rank) first = each.get();
    }
    if (!first) return false;
    const auto kept = first->shared_from_this();
    advance(*first);
    return true;
}

// Bring a stream one item further, and before it what that one waits for.
static void advance_towards(std::shared_ptr<Stream> stream) {
    if (order().name == Order::RANDOM) {
        if (!advance_any()) abort();
        return;
    }
    while (!ready(*stream)) {
        if (stream->queue.empty()) abort();  // a wait for what is not queued: a fault of ours
        stream = stream->queue.front().moment->stream;
    }
    advance(*stream);
}

static void reach(const Moment& moment) {
    while (!moment.happened) advance_towards(moment.stream);
}

void finish(Stream& stream) {
    const auto kept = stream.shared_from_this();
    while (!stream.queue.empty()) advance_towards(kept);
    ordering::settle(stream.clock);
}

void finish_device(int device) {
    const std::vector<std::shared_ptr<Stream>> busy(working.begin(), working.end());
    // A destroyed stream's work belongs to its device still: whoever waits for that has waited for it.
    for (const auto& each : destroyed)
        if (each->device == device) finish(*each);
    destroyed.remove_if([&](const auto& each) { return each->device == device; });
    for (const auto& each : busy)
        if (each->device == device) finish(*each);
    for (const auto& [handle, each] : streams)
        if (each->device == device && !each->capture) finish(*each);
    finish(*devices()[device].legacy);
}

void finish_all() {
    for (int device = 0; device < (int)devices().size(); ++device) finish_device(device);
}

// Say whether something in a queue is going to touch a memory: by a copy, or as a kernel's argument.
bool touched_by_queue(const Memory& memory) {
    const auto inside = [&](const void* address) {
        return (const char*)address >= memory.start && (const char*)address < memory.start + memory.bytes;
    };
    for (const auto& stream : working)
        for (const Item& item : stream->queue) {
            if (item.kind != Item::WORK) continue;
            for (const Touch& touched : item.work->touches)
                if (inside(touched.start)) return true;
            for (const void* argument : item.work->arguments)
                if (inside(argument)) return true;
        }
    return false;
}

std::shared_ptr<Stream> find_stream(cudaStream_t handle) {
    if (devices().empty()) return nullptr;
    // cudaStreamLegacy is 1; cudaStreamPerThread, 2, is taken for it.
    if ((uintptr_t)handle <= 2) return devices()[current].legacy;
    const auto found = streams.find(handle);
    return found == streams.end() ? nullptr : found->second;
}

void push(Stream& stream, Item item) {
    if (item.kind == Item::WORK && !settings().idle) ordering::enter(stream, item);
    if (stream.queue.empty()) working.push_back(stream.shared_from_this());
    stream.queue.push_back(std::move(item));
    if (order().name == Order::EAGER)
        while (ready(stream)) advance(stream);
    if (order().name == Order::RANDOM)
        while (order().one_in(4) && advance_any()) {
        }
}

std::shared_ptr<Moment> record(Stream& stream) {
    auto moment = std::make_shared<Moment>();
    moment->stream = stream.shared_from_this();
    moment->clock = stream.clock;
    push(stream, {Item::RECORD, nullptr, moment});
    return moment;
}

void wait_for(Stream& stream, const std::shared_ptr<Moment>& moment) {
    ordering::join(stream.clock, moment->clock);
    if (!moment->happened) push(stream, {Item::WAIT, nullptr, moment});
}

// Let a stream wait for all that is queued on another.
static void follow(Stream& stream, Stream& other) {
    if (other.queue.empty())
        ordering::join(stream.clock, other.clock);
    else
        wait_for(stream, record(other));
}

// The default stream waits for all blocking streams of its device, and they wait for it (Runtime API, "Stream
// synchronization behavior").
cudaError_t order_with_default(Stream& stream) {
    Stream& legacy = *devices()[stream.device].legacy;
    if (stream.legacy) {
        if (const cudaError_t error = implicit_capture(stream.device)) return error;
        const auto wait = [&](Stream& other) {
            if (other.device == stream.device && other.blocking()) follow(stream, other);
        };
        for (const auto& [handle, each] : streams) wait(*each);
        for (const auto& each : destroyed) wait(*each);  // whose work goes on
    } else if (stream.blocking() && !stream.internal) {
        follow(stream, legacy);
    }
    return cudaSuccess;
}

cudaError_t submit(Stream& stream, Operation operation) {
    auto work = std::make_shared<const Operation>(std::move(operation));
    if (Capture* capture = stream.capture.get()) {
        if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
        const auto branch = std::find_if(capture->streams.begin(), capture->streams.end(),
                                         [&](const auto& each) { return each.get() == &stream; });
        capture->nodes.push_back({work, (int)(branch - capture->streams.begin()), stream.tail});
        stream.tail = {(int)capture->nodes.size() - 1};
        return cudaSuccess;
    }
    if (const cudaError_t error = order_with_default(stream)) return error;
    push(stream, {Item::WORK, work, nullptr});
    return cudaSuccess;
}

std::string streams_left() {
    return some(streams.size(), "streams") + some(events.size(), "events");
}

static Event* find_event(cudaEvent_t handle) {
    const auto found = events.find(handle);
    return found == events.end() ? nullptr : found->second.get();
}

// An event that was captured stands for nothing that happens: neither may it be asked nor waited for.
static cudaError_t captured(const Event& event) {
    if (!event.latest || !event.latest->capture) return cudaSuccess;
    invalidate(*event.latest->capture);
    return cudaErrorCapturedEvent;
}

}  // namespace cudart

using namespace cudart;

#define EVENT                                     \
    Event* const event = find_event(event_handle); \
    REFUSE(!event, cudaErrorInvalidResourceHandle)
// "It is invalid to synchronize or query the execution status of a stream which is being captured" (Programming Guide).
#define NOT_CAPTURING                                      \
    if (stream->capture) {                                 \
        invalidate(*stream->capture);                      \
        return fail(cudaErrorStreamCaptureUnsupported);    \
    }                                                      \
    if (stream->legacy) TRY(order_with_default(*stream))

extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* handle, unsigned flags, int priority) {
    ENTER;
    TRY(usable(current));
    REFUSE(flags & ~1u, cudaErrorInvalidValue);
    // "If priority is outside of the range, it is automatically clamped" (cudaStreamCreateWithPriority).
    auto stream = std::make_shared<Stream>(current, flags, std::clamp(priority, GREATEST_PRIORITY, LEAST_PRIORITY));
    *handle = stream.get();
    streams[stream.get()] = std::move(stream);
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* handle, unsigned flags) {
    return cudaStreamCreateWithPriority(handle, flags, 0);
}
cudaError_t cudaStreamCreate(cudaStream_t* handle) { return cudaStreamCreateWithPriority(handle, 0, 0); }

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
    ENTER;
    STREAM;
    *flags = stream->flags;
    return cudaSuccess;
}

cudaError_t cudaStreamGetPriority(cudaStream_t handle, int* priority) {
    ENTER;
    STREAM;
    *priority = stream->priority;
    return cudaSuccess;
}

// What is still queued there runs all the same.
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    ENTER;
    STREAM;
    REFUSE(stream->legacy, cudaErrorInvalidResourceHandle);
    leave_capture(*stream);
    const cudaError_t broken = devices()[stream->device].broken;
    destroyed.push_back(streams.at(handle));
    streams.erase(handle);
    return fail(broken);
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    ENTER;
    STREAM;
    NOT_CAPTURING;
    finish(*stream);
    return fail(usable(stream->device));
}

// A query brings the work on: who asks again and again hears that it is done.
cudaError_t cudaStreamQuery(cudaStream_t handle) {
    ENTER;
    STREAM;
    NOT_CAPTURING;
    if (!stream->queue.empty()) {
        advance_towards(stream);
        return cudaErrorNotReady;
    }
    ordering::settle(stream->clock);
    return fail(usable(stream->device));
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned flags) {
    ENTER;
    STREAM;
    EVENT;
    REFUSE(flags & ~1u, cudaErrorInvalidValue);
    TRY(usable(stream->device));
    REFUSE(stream->capture && stream->capture->invalid, cudaErrorStreamCaptureInvalidated);
    if (!event->latest) return cudaSuccess;  // never recorded: "the call acts as if it completed"
    const auto from = event->latest->capture;
    if (!from) {
        if (stream->capture) {
            invalidate(*stream->capture);
            return fail(cudaErrorStreamCaptureIsolation);
        }
        if (stream->legacy) TRY(implicit_capture(stream->device));
        wait_for(*stream, event->latest);
        return cudaSuccess;
    }
    // Of a capture that is lost, this is CUDA's code by HIP's account (ROCm/rocm-systems, pull request 11589).
    if (from->ended || from->invalid) {
        if (stream->capture) invalidate(*stream->capture);
        return fail(cudaErrorInvalidValue);
    }
    if (stream->capture && stream->capture != from) {
        invalidate(*stream->capture);
        invalidate(*from);
        return fail(cudaErrorStreamCaptureMerge);
    }
    if (stream->legacy) {
        invalidate(*from);
        return fail(cudaErrorStreamCaptureImplicit);
    }
    if (!stream->capture) {  // so a stream enters a capture
        stream->capture = from;
        stream->tail.clear();
        from->streams.push_back(stream);
    }
    stream->tail.insert(event->latest->after.begin(), event->latest->after.end());
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned flags) {
    ENTER;
    TRY(usable(current));
    REFUSE(flags & ~7u, cudaErrorInvalidValue);
    auto event = std::make_unique<Event>(Event{current, flags, nullptr});
    *handle = event.get();
    events[event.get()] = std::move(event);
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* handle) { return cudaEventCreateWithFlags(handle, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t event_handle) {
    ENTER;
    EVENT;
    const cudaError_t broken = devices()[event->device].broken;
    events.erase(event_handle);
    return fail(broken);
}

// "will fail if the input event and input stream are associated to different devices" (Programming Guide, "Multi-
// Device System: Stream and Event Behavior").
cudaError_t cudaEventRecord(cudaEvent_t event_handle, cudaStream_t handle) {
    ENTER;
    STREAM;
    EVENT;
    REFUSE(event->device != stream->device, cudaErrorInvalidResourceHandle);
    TRY(usable(stream->device));
    if (stream->capture) {
        REFUSE(stream->capture->invalid, cudaErrorStreamCaptureInvalidated);
        event->latest = std::make_shared<Moment>();
        event->latest->capture = stream->capture;
        event->latest->after = stream->tail;
        return cudaSuccess;
    }
    TRY(order_with_default(*stream));
    event->latest = record(*stream);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event_handle) {
    ENTER;
    EVENT;
    TRY(captured(*event));
    TRY(unsafe());
    if (event->latest && !event->latest->happened) {
        advance_towards(event->latest->stream);
        if (!event->latest->happened) return cudaErrorNotReady;
    }
    if (event->latest) ordering::settle(event->latest->clock);
    return fail(usable(event->device));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event_handle) {
    ENTER;
    EVENT;
    TRY(captured(*event));
    TRY(unsafe());
    if (event->latest) {
        reach(*event->latest);
        ordering::settle(event->latest->clock);
    }
    return fail(usable(event->device));
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
    ENTER;
    const Event *first = find_event(start), *last = find_event(end);
    REFUSE(!first || !last || first->device != last->device, cudaErrorInvalidResourceHandle);
    REFUSE((first->flags | last->flags) & 2u, cudaErrorInvalidResourceHandle);  // cudaEventDisableTiming
    REFUSE(!first->latest || !last->latest, cudaErrorInvalidResourceHandle);
    REFUSE(first->latest->capture || last->latest->capture, cudaErrorCapturedEvent);
    if (!first->latest->happened || !last->latest->happened) return cudaErrorNotReady;
    *milliseconds = (float)(1000 * (last->latest->time - first->latest->time));
    return cudaSuccess;
}

// For Python: everything that is queued is done, and from here on work runs in another order.
int cudart_set_order(const char* name, unsigned seed) {
    std::lock_guard<std::recursive_mutex> guard(lock);
    finish_all();
    return order().set(name, seed) ? 0 : cudaErrorInvalidValue;
}

}  // extern "C"
