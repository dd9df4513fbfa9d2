// What the stand-in for CUDA holds: devices, memory, streams, events, captures, graphs. One lock guards all of it.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cuda_runtime.h"

namespace cudart {

extern std::recursive_mutex lock;

constexpr unsigned char POISON = 0xff;       // what memory is full of that nothing has been written to
constexpr int SHARED_UNASKED = 48 * 1024;  // bytes of shared memory that a kernel need not opt in to

// Environment variables CUDART_...; __init__.py says what they mean.
struct Settings {
    std::vector<int> visible;         // devices of the machine, as CUDA_VISIBLE_DEVICES has them
    std::vector<int> broken;
    std::vector<int> architectures;   // by the machine's devices; the last stands for all that follow
    std::vector<size_t> memory;
    std::vector<int> peers;
    bool no_capture;
    long fail;
    bool idle;
};
const Settings& settings();
template <class T>
T of_device(const std::vector<T>& values, int device) {
    return values[std::min<size_t>(settings().visible[device], values.size() - 1)];
}

struct Capture;
struct Stream;

// How many operations of each stream come before something; a stream is known by its track.
typedef std::map<int, unsigned> Clock;

// A recording of an event. What waits for it holds it, so that the event can be recorded anew.
struct Moment {
    std::shared_ptr<Stream> stream;
    bool happened = false;
    double time = 0;
    Clock clock;
    std::shared_ptr<Capture> capture;  // where it was recorded
    std::set<int> after;               // the nodes of that capture which come before it
};

// A piece of memory that an operation reads or writes.
struct Touch {
    const void* start;
    size_t bytes;
    bool writes;
};

struct Item;

// What a stream does: a copy, a memset, a kernel. A graph runs the same one again and again.
struct Operation {
    std::string name;
    int device;
    std::function<void(const Item&)> run;
    std::vector<Touch> touches;                // those known from the start: a kernel's are seen when it runs
    std::vector<const void*> arguments = {};   // pointers that a kernel is given
    bool to_host = false;                      // a copy that the host will read
};

struct Item {
    enum Kind { WORK, RECORD, WAIT } kind;
    std::shared_ptr<const Operation> work;
    std::shared_ptr<Moment> moment;
    unsigned number = 0;  // of the work, in the log of ordering.cpp
    Clock before;         // the work comes after these
};

struct Stream : std::enable_shared_from_this<Stream> {
    int device;
    unsigned flags;
    int priority;
    bool legacy, internal;  // the default stream; a branch of a graph that has been launched
    int track, number;
    Clock clock;  // what comes before the next item
    double rank = 0;
    std::deque<Item> queue;
    std::shared_ptr<Capture> capture;
    std::set<int> tail;  // the nodes of the capture that the next one comes after

    Stream(int device, unsigned flags, int priority = 0, bool legacy = false, bool internal = false);
    bool blocking() const { return !(flags & 1u); }  // cudaStreamNonBlocking is 1
};

struct Event {
    int device;
    unsigned flags;
    std::shared_ptr<Moment> latest;
};

struct Node {
    std::shared_ptr<const Operation> work;
    int branch;  // the captured stream, by the order in which they took part
    std::set<int> after;
};

struct Capture {
    std::shared_ptr<Stream> origin;
    cudaStreamCaptureMode mode;
    std::thread::id thread;
    bool invalid = false, ended = false;
    std::vector<std::shared_ptr<Stream>> streams;
    std::vector<Node> nodes;
};

// Reads and writes of a few bytes of a memory since its beginning: operations by their numbers (ordering.cpp).
struct Cell {
    uint32_t writer, readers;
};

struct Memory {
    enum Kind { PINNED, DEVICE } kind;
    int device, number;
    char* start;
    size_t bytes;
    size_t cell_bytes = 4;
    Cell* cells = nullptr;
    uint64_t* marks[2] = {};  // a bit for a byte: what the kernel that runs has read, has written (marks.cpp)
};

struct Device {
    cudaError_t broken = cudaSuccess;  // every call answers with it
    size_t used = 0;
    std::set<int> peers;  // whose memory it has been allowed to read
    std::shared_ptr<Stream> legacy;
};

std::vector<Device>& devices();
extern thread_local int current;

// calls.cpp. An explanation says on stderr why an error code comes; a finding is what CUDA would not have reported.
cudaError_t enter();
cudaError_t fail(cudaError_t error);
void explain(const std::string& text);
void find(const std::string& text);
std::string some(size_t count, const std::string& what);  // " 3 streams,", or nothing
cudaError_t usable(int device);
int shared_opt_in(int device);  // the most dynamic shared memory of a block

// memory.cpp
Memory* memory_at(const void* address);
bool freed(const void* address);
std::string describe(const Memory& memory, size_t offset, size_t bytes);
std::string memory_left();
void* map_zeros(size_t bytes);  // which take memory only where they are written
void unmap_zeros(void* start, size_t bytes);
template <class T>
T* zeros(size_t count) {
    return (T*)map_zeros(count * sizeof(T));
}
template <class T>
void free_zeros(T* start, size_t count) {
    unmap_zeros(start, count * sizeof(T));
}

// streams.cpp
std::shared_ptr<Stream> find_stream(cudaStream_t handle);
cudaError_t submit(Stream& stream, Operation operation);
void push(Stream& stream, Item item);
std::shared_ptr<Moment> record(Stream& stream);
void wait_for(Stream& stream, const std::shared_ptr<Moment>& moment);
cudaError_t order_with_default(Stream& stream);
void finish(Stream& stream);          // the host waits for a stream,
void finish_device(int device);       // for all of a device,
void finish_all();                    // for everything but what is captured
bool touched_by_queue(const Memory& memory);
std::string streams_left();

// graphs.cpp
void invalidate(Capture& capture);
void leave_capture(Stream& stream);
bool invalidate_device(int device);  // false: none captures there
cudaError_t unsafe();
cudaError_t implicit_capture(int device);
std::string graphs_left();

}  // namespace cudart

// How every function of the interface begins, and how it refuses.
#define ENTER                                                     \
    std::lock_guard<std::recursive_mutex> guard(cudart::lock);    \
    if (const cudaError_t refused = cudart::enter()) return cudart::fail(refused)
#define REFUSE(condition, error) \
    if (condition) return cudart::fail(error)
#define TRY(expression) \
    if (const cudaError_t refused = (expression)) return cudart::fail(refused)
#define STREAM                                       \
    const auto stream = cudart::find_stream(handle); \
    REFUSE(!stream, cudaErrorInvalidResourceHandle)
