// What every call does first, settings, errors, and what is reported.
#include <pthread.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <sstream>

#include "cudart.h"

namespace cudart {

std::recursive_mutex lock;
static bool initialized, forked;
static thread_local cudaError_t last;
static std::vector<std::string> findings;

static const char* text(const char* name, const char* otherwise) {
    const char* value = getenv(name);
    return value && *value ? value : otherwise;
}

template <class T>
static std::vector<T> numbers(const char* name, const char* otherwise) {
    std::vector<T> values;
    std::istringstream words(text(name, otherwise));
    for (std::string word; std::getline(words, word, ',');) values.push_back((T)strtoll(word.c_str(), nullptr, 0));
    return values;
}

// Up to the first that is not there (Programming Guide, "CUDA Environment Variables").
static std::vector<int> visible() {
    std::vector<int> all(numbers<int>("CUDART_DEVICES", "2")[0]), seen;
    std::iota(all.begin(), all.end(), 0);
    const char* wanted = getenv("CUDA_VISIBLE_DEVICES");
    if (!wanted) return all;
    std::istringstream words(wanted);
    for (std::string word; std::getline(words, word, ',');) {
        char* end;
        const long device = strtol(word.c_str(), &end, 10);
        if (end == word.c_str() || device < 0 || device >= (long)all.size()) break;
        seen.push_back((int)device);
    }
    return seen;
}

const Settings& settings() {
    static const Settings made{
        visible(),
        numbers<int>("CUDART_BROKEN", "0"),
        numbers<int>("CUDART_ARCHITECTURE", "90"),
        numbers<size_t>("CUDART_MEMORY", "4294967296"),
        numbers<int>("CUDART_PEERS", "1"),
        numbers<int>("CUDART_NO_CAPTURE", "0")[0] != 0,
        numbers<long>("CUDART_FAIL", "0")[0],
        numbers<int>("CUDART_IDLE", "0")[0] != 0,
    };
    return made;
}

// A process that is forked off after CUDA has begun cannot use it (CUDA C Programming Guide, "Initialization").
cudaError_t enter() {
    if (!initialized) {
        initialized = true;
        pthread_atfork(nullptr, nullptr, [] { forked = true; });
    }
    return forked ? cudaErrorInitializationError : cudaSuccess;
}

cudaError_t fail(cudaError_t error) {
    if (error && error != cudaErrorNotReady) last = error;
    return error;
}

static void report(const char* kind, const std::string& said) {
    fprintf(stderr, "cudart: %s%s\n", kind, said.c_str());
}

void explain(const std::string& said) { report("", said); }

// Each is told once: a fault in a step comes back in every step.
void find(const std::string& said) {
    for (const std::string& known : findings)
        if (known == said) return;
    findings.push_back(said);
    report("FOUND ", said);
    const char* path = getenv("CUDART_FINDINGS");
    FILE* file = path && *path ? fopen(path, "a") : nullptr;
    if (!file) return;
    fprintf(file, "%s\n", said.c_str());
    fclose(file);
}

std::string some(size_t count, const std::string& what) {
    return count ? " " + std::to_string(count) + " " + what + "," : "";
}

struct Error {
    const char *name, *text;
};
#define ERROR(name, number, text) {number, {#name, text}},
static const std::map<cudaError_t, Error> ERRORS = {
#include "errors.inc"
};

}  // namespace cudart

using namespace cudart;

extern "C" {

const char* cudaGetErrorName(cudaError_t error) {
    const auto found = ERRORS.find(error);
    return found == ERRORS.end() ? "cudaErrorUnknown" : found->second.name;
}

const char* cudaGetErrorString(cudaError_t error) {
    const auto found = ERRORS.find(error);
    return found == ERRORS.end() ? "unknown error" : found->second.text;
}

cudaError_t cudaGetLastError() {
    const cudaError_t error = last;
    last = cudaSuccess;
    return error;
}

// The driver's names are the runtime's, in capitals: cudaErrorNotReady is CUDA_ERROR_NOT_READY.
CUresult cuGetErrorName(CUresult error, const char** name) {
    std::lock_guard<std::recursive_mutex> guard(lock);
    static std::map<CUresult, std::string> names;
    std::string& made = names[error];
    if (made.empty()) {
        made = "CUDA";
        for (const char* letter = cudaGetErrorName(error) + 4; *letter; ++letter)
            made += isupper(*letter) ? std::string("_") + *letter : std::string(1, (char)toupper(*letter));
    }
    *name = made.c_str();
    return cudaSuccess;
}

CUresult cuGetErrorString(CUresult error, const char** said) {
    *said = cudaGetErrorString(error);
    return cudaSuccess;
}

// For Python (__init__.py): hand over one finding, null when there is none left.
const char* cudart_finding() {
    std::lock_guard<std::recursive_mutex> guard(lock);
    static std::string first;
    if (findings.empty()) return nullptr;
    first = findings.front();
    findings.erase(findings.begin());
    return first.c_str();
}

// What has been made and not been freed; nothing where all has.
const char* cudart_left() {
    std::lock_guard<std::recursive_mutex> guard(lock);
    static std::string left;
    left = memory_left() + streams_left() + graphs_left();
    return left.c_str();
}

}  // extern "C"
