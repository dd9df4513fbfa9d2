// Devices: how many, what they are, which is current, whose memory they reach.
#include <cstdio>
#include <cstring>

#include "cudart.h"

namespace cudart {

thread_local int current;

std::vector<Device>& devices() {
    static std::vector<Device> made = [] {
        std::vector<Device> all(settings().visible.size());
        for (int i = 0; i < (int)all.size(); ++i) {
            all[i].broken = (cudaError_t)of_device(settings().broken, i);
            all[i].legacy = std::make_shared<Stream>(i, 0, 0, true);
        }
        return all;
    }();
    return made;
}

static bool exists(int device) { return device >= 0 && device < (int)devices().size(); }

// Say why a device cannot be used: a context on it cannot be made, or a kernel has failed (CUDA Runtime API, error
// types: cudaErrorIllegalAddress "leaves the process in an inconsistent state").
cudaError_t usable(int device) {
    if (devices().empty()) return cudaErrorNoDevice;
    return devices()[device].broken;
}

// Two devices are peers where neither is set apart by CUDART_PEERS.
static bool peers(int one, int other) {
    return one != other && of_device(settings().peers, one) && of_device(settings().peers, other);
}

// The Programming Guide's table of compute capabilities: shared memory of a block that opts in, and of an SM.
int shared_opt_in(int device) {
    switch (of_device(settings().architectures, device)) {
        case 70: return 96 * 1024;
        case 75: return 64 * 1024;
        case 80: case 87: return 163 * 1024;
        case 86: case 89: case 120: return 99 * 1024;
        default: return 227 * 1024;
    }
}

// Of attributes that are not here, none is used.
static int value_of(cudaDeviceAttr attribute, int device) {
    switch (attribute) {
        case cudaDevAttrMaxThreadsPerBlock: case cudaDevAttrMaxThreadsPerMultiProcessor: return 1024;
        case cudaDevAttrMaxBlockDimX: case cudaDevAttrMaxBlockDimY: return 1024;
        case cudaDevAttrMaxBlockDimZ: return 64;
        case cudaDevAttrMaxGridDimX: return 2147483647;
        case cudaDevAttrMaxGridDimY: case cudaDevAttrMaxGridDimZ: return 65535;
        case cudaDevAttrMaxSharedMemoryPerBlock: return SHARED_UNASKED;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: return shared_opt_in(device);
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return shared_opt_in(device) + 1024;
        case cudaDevAttrTotalConstantMemory: case cudaDevAttrMaxRegistersPerBlock: return 65536;
        case cudaDevAttrWarpSize: return 32;
        case cudaDevAttrClockRate: case cudaDevAttrMemoryClockRate: return 1000000;
        case cudaDevAttrMultiProcessorCount: return 8;
        case cudaDevAttrGlobalMemoryBusWidth: return 64;
        case cudaDevAttrGpuOverlap: case cudaDevAttrConcurrentKernels: case cudaDevAttrUnifiedAddressing: return 1;
        case cudaDevAttrComputeCapabilityMajor: return of_device(settings().architectures, device) / 10;
        case cudaDevAttrComputeCapabilityMinor: return of_device(settings().architectures, device) % 10;
        default: return 0;
    }
}

}  // namespace cudart

using namespace cudart;

extern "C" {

// A driver that is too old for the runtime answers everything with that.
static bool old_driver() { return settings().broken[0] == cudaErrorInsufficientDriver; }

cudaError_t cudaDriverGetVersion(int* version) {
    *version = old_driver() ? CUDA_VERSION - 1000 : CUDA_VERSION;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = CUDA_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
    ENTER;
    REFUSE(old_driver(), cudaErrorInsufficientDriver);
    *count = (int)devices().size();
    return fail(*count ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaGetDevice(int* device) {
    ENTER;
    REFUSE(devices().empty(), cudaErrorNoDevice);
    *device = current;
    return cudaSuccess;
}

// Since CUDA 12 this makes the context of the device, and so answers with what is wrong with it.
cudaError_t cudaSetDevice(int device) {
    ENTER;
    REFUSE(!exists(device), cudaErrorInvalidDevice);
    current = device;
    return fail(devices()[device].broken);
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    ENTER;
    REFUSE(!exists(device), cudaErrorInvalidDevice);
    *value = value_of(attribute, device);
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    ENTER;
    REFUSE(!exists(device), cudaErrorInvalidDevice);
    memset(properties, 0, sizeof *properties);
    const int architecture = of_device(settings().architectures, device);
    snprintf(properties->name, sizeof properties->name, "CUDA on the CPU");
    properties->totalGlobalMem = of_device(settings().memory, device);
    properties->sharedMemPerBlock = SHARED_UNASKED;
    properties->sharedMemPerBlockOptin = shared_opt_in(device);
    properties->sharedMemPerMultiprocessor = shared_opt_in(device) + 1024;
    properties->reservedSharedMemPerBlock = 1024;
    properties->regsPerBlock = properties->regsPerMultiprocessor = 65536;
    properties->totalConstMem = 65536;
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = properties->maxThreadsPerMultiProcessor = 1024;
    const int block[] = {1024, 1024, 64}, grid[] = {2147483647, 65535, 65535};
    memcpy(properties->maxThreadsDim, block, sizeof block);
    memcpy(properties->maxGridSize, grid, sizeof grid);
    properties->multiProcessorCount = 8;
    properties->major = architecture / 10;
    properties->minor = architecture % 10;
    properties->concurrentKernels = properties->unifiedAddressing = properties->canMapHostMemory = 1;
    properties->asyncEngineCount = 2;
    properties->pciBusID = settings().visible[device] + 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int bytes, int device) {
    ENTER;
    REFUSE(!exists(device), cudaErrorInvalidDevice);
    snprintf(text, bytes, "0000:%02x:00.0", settings().visible[device] + 1);
    return cudaSuccess;
}

cudaError_t cudaDeviceGetByPCIBusId(int* device, const char* text) {
    ENTER;
    unsigned domain, bus;
    REFUSE(sscanf(text, "%x:%x:", &domain, &bus) != 2, cudaErrorInvalidValue);
    for (*device = 0; exists(*device); ++*device)
        if (!domain && settings().visible[*device] == (int)bus - 1) return cudaSuccess;
    return fail(cudaErrorInvalidDevice);
}

// "It is also invalid to synchronize a broader handle which encompasses an active stream capture" (Programming
// Guide, "Prohibited and Unhandled Operations").
cudaError_t cudaDeviceSynchronize() {
    ENTER;
    TRY(usable(current));
    REFUSE(invalidate_device(current), cudaErrorStreamCaptureUnsupported);
    finish_device(current);
    return fail(usable(current));
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
    ENTER;
    REFUSE(!exists(device) || !exists(peer), cudaErrorInvalidDevice);
    *can = peers(device, peer);
    return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags) {
    ENTER;
    TRY(usable(current));
    REFUSE(!exists(peer) || peer == current, cudaErrorInvalidDevice);
    REFUSE(flags, cudaErrorInvalidValue);
    REFUSE(!peers(current, peer), cudaErrorPeerAccessUnsupported);
    const bool is_new = devices()[current].peers.insert(peer).second;
    return fail(is_new ? cudaSuccess : cudaErrorPeerAccessAlreadyEnabled);
}

cudaError_t cudaDeviceDisablePeerAccess(int peer) {
    ENTER;
    REFUSE(!exists(peer), cudaErrorInvalidDevice);
    return fail(devices()[current].peers.erase(peer) ? cudaSuccess : cudaErrorPeerAccessNotEnabled);
}

}  // extern "C"
