// CUDA's driver interface, as much as CuPy calls: modules, functions, launches. A module is a shared library that
// nvrtc.cpp has made of a kernel file; its kernels run in the emulator.
#include <dlfcn.h>
#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "state.h"
#include "kernel.h"
#include "ordering.h"

extern "C" const char* emulator_launch(const emulator::Launch* wanted, uint64_t seed, const void** code);

namespace cudart {

enum : CUfunction_attribute {
    MAX_THREADS_PER_BLOCK = 0,
    BINARY_VERSION = 6,
    MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
    PREFERRED_SHARED_MEMORY_CARVEOUT = 9,
};

struct Module {
    int device;
    std::string path;
    const Image* image;
};

struct Function {
    Module* module;
    const Kernel* kernel;
    int dynamic_shared = SHARED_UNASKED;
    int carveout = -1;  // percent of an SM's memory that should be shared; a hint, -1 for none
    bool launched = false;
};

static std::map<void*, std::unique_ptr<Module>> modules;
static std::map<void*, std::unique_ptr<Function>> functions;

static Function* find_function(CUfunction handle) {
    const auto found = functions.find(handle);
    return found == functions.end() ? nullptr : found->second.get();
}

// What a launch has fixed: the arguments are taken at the call.
struct LaunchedKernel {
    const Kernel* kernel;
    std::string library;
    int device;
    emulator::Index grid, block;
    unsigned shared;
    std::vector<std::string> values;

    void run(const Item& item) const {
        static long ran;
        if (++ran == settings().fail) {
            explain(std::string(kernel->name) + " fails, as CUDART_FAIL wants it");
            devices()[device].broken = cudaErrorIllegalAddress;
            return;
        }
        std::vector<void*> pointers;
        for (const std::string& value : values) pointers.push_back((void*)value.data());
        emulator::Launch launch{};
        launch.kernel = kernel->enter;
        launch.arguments = pointers.data();
        launch.grid = grid;
        launch.block = block;
        launch.shared_bytes = shared;
        launch.counted = true;
        launch.device = device;
        marks::begin(library.c_str());
        const void* code;
        const char* fault = emulator_launch(&launch, 0, &code);
        marks::end(item);
        if (!fault) return;
        explain(std::string(kernel->name) + ": " + fault);
        devices()[device].broken = cudaErrorIllegalAddress;
    }
};

// A binary that has lost its end is refused, as CUDA refuses a cubin.
static bool whole(const std::string& image) {
    Elf64_Ehdr header{};
    if (image.size() < sizeof header) return false;
    memcpy(&header, image.data(), sizeof header);
    return !memcmp(header.e_ident, ELFMAG, SELFMAG) &&
           image.size() >= header.e_shoff + (size_t)header.e_shnum * header.e_shentsize;
}

static std::string read_file(const char* path) {
    std::string text;
    FILE* file = fopen(path, "rb");
    if (!file) return text;
    char part[65536];
    for (size_t bytes; (bytes = fread(part, 1, sizeof part, file));) text.append(part, bytes);
    fclose(file);
    return text;
}

// Every load gets a library of its own, as every module has its own variables: so it needs a name of its own.
static void* open_copy(const std::string& image, std::string* path) {
    std::string name = std::filesystem::temp_directory_path() / "cudart-module-XXXXXX";
    const int file = mkstemp(name.data());
    if (file < 0) return nullptr;
    const bool written = write(file, image.data(), image.size()) == (ssize_t)image.size();
    close(file);
    void* library = written ? dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
    if (!library) explain(dlerror());
    unlink(name.c_str());
    *path = name;
    return library;
}

static cudaError_t load(CUmodule* handle, const std::string& image) {
    if (const cudaError_t error = usable(current)) return error;
    if (!whole(image)) return cudaErrorInvalidKernelImage;
    auto module = std::make_unique<Module>();
    module->device = current;
    void* library = open_copy(image, &module->path);
    module->image = library ? (const Image*)dlsym(library, "cudart_image") : nullptr;
    if (!module->image) return cudaErrorInvalidKernelImage;
    if (module->image->architecture != of_device(settings().architectures, current))
        return cudaErrorNoKernelImageForDevice;
    *handle = module.get();
    modules[module.get()] = std::move(module);
    return cudaSuccess;
}

static std::string text_of(emulator::Index index) {
    return std::to_string(index.x) + " x " + std::to_string(index.y) + " x " + std::to_string(index.z);
}

// Limits of all architectures (Programming Guide, "Technical Specifications per Compute Capability").
static cudaError_t check_sizes(const Function& function, emulator::Index grid, emulator::Index block, unsigned shared) {
    const size_t threads = (size_t)block.x * block.y * block.z;
    const bool in_grid = grid.x && grid.y && grid.z && grid.x <= 2147483647u && grid.y <= 65535 && grid.z <= 65535;
    const bool in_block = threads && block.x <= 1024 && block.y <= 1024 && block.z <= 64 && threads <= 1024;
    if (!in_grid || !in_block) {
        explain(std::string(function.kernel->name) + ": a grid of " + text_of(grid) + " blocks of " + text_of(block) +
                " threads is beyond what CUDA has");
        return cudaErrorInvalidValue;
    }
    if (threads > (size_t)function.kernel->threads) {
        explain(std::string(function.kernel->name) + ": " + std::to_string(threads) + " threads a block, and its " +
                "__launch_bounds__ has " + std::to_string(function.kernel->threads));
        return cudaErrorLaunchOutOfResources;
    }
    if (shared > (unsigned)function.dynamic_shared) {
        explain(std::string(function.kernel->name) + ": " + std::to_string(shared) + " bytes of shared memory, of " +
                std::to_string(function.dynamic_shared) + " that it has asked for");
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

// Take the arguments' values, and say which pointers lead nowhere: the kernel fails if it follows one.
static void take_arguments(const Kernel& kernel, void** given, LaunchedKernel* launched, Operation* operation) {
    for (int i = 0; i < kernel.argument_count; ++i) {
        launched->values.emplace_back((const char*)given[i], kernel.arguments[i].bytes);
        if (!kernel.arguments[i].pointer) continue;
        const void* address;
        memcpy(&address, given[i], sizeof address);
        if (!address) continue;
        operation->arguments.push_back(address);
        const Memory* memory = memory_at(address);
        if (memory && (memory->kind == Memory::PINNED || memory->device == current)) continue;
        if (memory && devices()[current].peers.count(memory->device)) continue;
        explain(std::string(kernel.name) + ": argument " + std::to_string(i) + " is " +
                (memory           ? "memory of device " + std::to_string(memory->device)
                 : freed(address) ? "memory that has been freed"
                                  : "no memory of a device"));
    }
}

}  // namespace cudart

using namespace cudart;

extern "C" {

CUresult cuInit(unsigned) { return devices().empty() ? cudaErrorNoDevice : cudaSuccess; }
CUresult cuDriverGetVersion(int* version) { return cudaDriverGetVersion(version); }
CUresult cuDeviceGetCount(int* count) {
    *count = (int)devices().size();
    return cudaSuccess;
}

// The context of a device is its number, from 1.
CUresult cuCtxGetCurrent(CUcontext* context) {
    *context = (void*)(uintptr_t)(current + 1);
    return cudaSuccess;
}
CUresult cuCtxSetCurrent(CUcontext context) { return cudaSetDevice((int)(uintptr_t)context - 1); }
CUresult cuCtxGetDevice(CUdevice* device) { return cudaGetDevice(device); }
CUresult cuStreamGetCtx(CUstream handle, CUcontext* context) {
    ENTER;
    STREAM;
    *context = (void*)(uintptr_t)(stream->device + 1);
    return cudaSuccess;
}

CUresult cuModuleLoad(CUmodule* module, const char* path) {
    ENTER;
    REFUSE(access(path, R_OK), cudaErrorFileNotFound);
    return load(module, read_file(path));
}

// How long an image in memory is, only its own header says.
CUresult cuModuleLoadData(CUmodule* module, const void* image) {
    ENTER;
    Elf64_Ehdr header;
    memcpy(&header, image, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG)) return cudaErrorInvalidKernelImage;
    return load(module, {(const char*)image, header.e_shoff + (size_t)header.e_shnum * header.e_shentsize});
}

// Its library stays, since launches that are queued still need it.
CUresult cuModuleUnload(CUmodule handle) {
    ENTER;
    const auto found = modules.find(handle);
    REFUSE(found == modules.end(), cudaErrorInvalidResourceHandle);
    for (auto each = functions.begin(); each != functions.end();)
        each = each->second->module == found->second.get() ? functions.erase(each) : std::next(each);
    modules.erase(found);
    return cudaSuccess;
}

CUresult cuModuleGetFunction(CUfunction* handle, CUmodule module_handle, const char* name) {
    ENTER;
    const auto found = modules.find(module_handle);
    REFUSE(found == modules.end(), cudaErrorInvalidResourceHandle);
    Module* module = found->second.get();
    const Kernel *first = module->image->kernels, *last = first + module->image->kernel_count;
    const Kernel* kernel = std::find_if(first, last, [=](const Kernel& each) { return !strcmp(each.name, name); });
    REFUSE(kernel == last, cudaErrorSymbolNotFound);
    for (const auto& [known, function] : functions)
        if (function->module == module && function->kernel == kernel) return *handle = known, cudaSuccess;
    auto function = std::make_unique<Function>(Function{module, kernel});
    *handle = function.get();
    functions[function.get()] = std::move(function);
    return cudaSuccess;
}

CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
    ENTER;
    Function* function = find_function(handle);
    REFUSE(!function, cudaErrorInvalidResourceHandle);
    if (attribute == PREFERRED_SHARED_MEMORY_CARVEOUT) {
        REFUSE(value < -1 || value > 100, cudaErrorInvalidValue);
        function->carveout = value;
        return cudaSuccess;
    }
    REFUSE(attribute != MAX_DYNAMIC_SHARED_SIZE_BYTES, cudaErrorInvalidValue);
    REFUSE(value < 0 || value > shared_opt_in(function->module->device), cudaErrorInvalidValue);
    function->dynamic_shared = value;
    return cudaSuccess;
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction handle) {
    ENTER;
    const Function* function = find_function(handle);
    REFUSE(!function, cudaErrorInvalidResourceHandle);
    *value = attribute == MAX_THREADS_PER_BLOCK           ? function->kernel->threads
             : attribute == BINARY_VERSION                ? function->module->image->architecture
             : attribute == MAX_DYNAMIC_SHARED_SIZE_BYTES ? function->dynamic_shared
             : attribute == PREFERRED_SHARED_MEMORY_CARVEOUT ? function->carveout
                                                             : 0;
    return cudaSuccess;
}

CUresult cuLaunchKernel(CUfunction handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared, CUstream stream_handle, void** parameters,
                        void** extra) {
    ENTER;
    TRY(usable(current));
    Function* function = find_function(handle);
    const auto stream = find_stream(stream_handle);
    REFUSE(!function || !stream, cudaErrorInvalidResourceHandle);
    REFUSE(extra && !parameters, cudaErrorNotSupported);
    const Kernel& kernel = *function->kernel;
    REFUSE(!parameters && kernel.argument_count, cudaErrorInvalidValue);
    // "A kernel launch will fail if it is issued to a stream that is not associated to the current device."
    if (function->module->device != current || stream->device != current) {
        explain(std::string(kernel.name) + " is loaded on device " + std::to_string(function->module->device) +
                " and launched on a stream of device " + std::to_string(stream->device) + ", while device " +
                std::to_string(current) + " is current");
        return cudaErrorInvalidResourceHandle;
    }
    auto launched = std::make_shared<LaunchedKernel>();
    launched->kernel = &kernel;
    launched->library = function->module->path;
    launched->device = current;
    launched->grid = {grid_x, grid_y, grid_z};
    launched->block = {block_x, block_y, block_z};
    launched->shared = shared;
    TRY(check_sizes(*function, launched->grid, launched->block, shared));
    // With lazy loading, CUDA's default, a kernel is loaded by its first launch, which may wait for the device.
    if (stream->capture && !function->launched)
        find(std::string(kernel.name) + " is captured before it has run");
    function->launched = true;
    Operation operation{kernel.name, current, [=](const Item& item) { launched->run(item); }, {}};
    take_arguments(kernel, parameters, launched.get(), &operation);
    return submit(*stream, std::move(operation));
}

}  // extern "C"
