// A stand-in for NVRTC: g++ compiles CUDA C++ for the emulator, and the "cubin" is a shared library.
//
// What depends on the machine comes from build.py: CUDART_COMPILER (g++ and its options), CUDART_EMULATOR and
// CUDART_HERE (folders with headers), CUDART_KERNELS (where libraries are kept), CUDART_STUB (what stands for
// libcuda.so.1 where a kernel is linked), CUDART_MAJOR (13) and CUDART_MINOR, a number that changes with this file and
// the emulator: what others cache by NVRTC's version, CuPy and cualex, stays apart from what a real NVRTC has made.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace {

enum Result { SUCCESS = 0, INVALID_INPUT = 3, INVALID_OPTION = 5, COMPILATION = 6, NAME_EXPRESSION_NOT_VALID = 10 };

const int ARCHITECTURES[] = {75, 80, 86, 87, 89, 90, 100, 103, 120};
const char MAGIC[] = "cudart constants";  // stands before the variables in a library's data

struct Program {
    std::string source, name, log, image;
    std::vector<std::pair<std::string, std::string>> headers;  // name, text
    std::vector<std::string> expressions;
};

std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

bool matches(const std::string& text, const char* pattern, std::smatch* found = nullptr) {
    std::smatch unused;
    return std::regex_match(text, found ? *found : unused, std::regex(pattern));
}

std::string replaced(const std::string& text, const char* pattern, const std::string& by) {
    return std::regex_replace(text, std::regex(pattern, std::regex::ECMAScript | std::regex::multiline), by);
}

// The options that matter here; all that NVRTC knows besides are let through.
struct Options {
    int architecture = 75;
    bool binary = false;  // for that architecture only; else PTX
    std::vector<std::pair<std::string, std::string>> defined;
    std::vector<std::string> others;  // for g++

    bool parse(int count, const char* const* given, std::string* log) {
        for (int i = 0; i < count; ++i) {
            const std::string option = given[i];
            std::smatch found;
            if (matches(option, "(?:-D|--define-macro=)(\\w+)(?:=([^]*))?", &found)) {
                defined.emplace_back(found[1], found[2].matched ? found[2].str() : "1");
            } else if (matches(option, "(?:-arch|--gpu-architecture)=(sm|compute)_(\\d+)[af]?", &found) &&
                       std::count(std::begin(ARCHITECTURES), std::end(ARCHITECTURES), stoi(found[2]))) {
                architecture = stoi(found[2]);
                binary = found[1] == "sm";
            } else if (matches(option, "(?:-I|--include-path=)(.*)", &found)) {
                others.push_back("-I" + found[1].str());
            } else if (matches(option, "-U\\w+")) {
                others.push_back(option);
            } else if (!matches(option, "--?(std=c\\+\\+(03|11|14|17|20|23)|lineinfo|generate-line-info|"
                                        "device-as-default-execution-space|default-device|device-debug|G|"
                                        "use_fast_math|(fmad|ftz|prec-div|prec-sqrt)=\\w+|maxrregcount=\\d+|"
                                        "restrict|w|disable-warnings)")) {
                *log = "nvrtc: error: unrecognized option " + option + " found\n";
                return false;
            }
        }
        return true;
    }
};

// The constants that the opening comment of a kernel of cualex calls dimensions and reals become variables, so that
// one library serves for all their values: those are written into a copy of it. All others are macros.
struct Constants {
    struct Variable {
        std::string name, value;
        bool real;
    };
    std::vector<Variable> variables;
    std::string macros;

    Constants(const std::string& source, const Options& options) {
        for (const auto& [name, value] : options.defined) {
            const bool dimension = lists(source, "dimensions", name), real = lists(source, "reals", name);
            if (dimension || real)
                variables.push_back({name, value, real});
            else
                macros += "#define " + name + " " + value + "\n";
        }
    }

    static bool lists(const std::string& source, const std::string& kind, const std::string& name) {
        const auto lines = std::regex::ECMAScript | std::regex::multiline;
        return std::regex_search(source, std::regex("^// " + kind + ":.*\\b" + name + "\\b", lines));
    }

    // Their memory is laid out in assembler, since g++ must not know that they are all zero.
    std::string declared() const {
        std::string text = macros, memory;
        for (const Variable& each : variables) {
            text += std::string("extern const ") + (each.real ? "float " : "int ") + each.name + ";\n";
            memory += ".hidden " + each.name + "\\n.globl " + each.name + "\\n" + each.name + ": .long 0\\n";
        }
        return text + "asm(\".data\\n.balign 16\\n.ascii \\\"" + MAGIC + "\\\"\\n" + memory + ".text\");\n";
    }

    void write_into(std::string* image) const {
        char* place = image->data() + image->find(MAGIC) + strlen(MAGIC);
        for (const Variable& each : variables) {
            const float real = each.real ? strtof(each.value.c_str(), nullptr) : 0;
            const int whole = each.real ? 0 : (int)strtol(each.value.c_str(), nullptr, 0);
            memcpy(place, each.real ? (const void*)&real : &whole, 4);
            place += 4;
        }
    }
};

// Put the emulator's primitives in the place of cualex's, which are inline PTX. `#line` marks say where a header is.
std::string with_twin(const std::string& source) {
    const std::string mark = "#line 1 \"common/primitives.cuh\"\n";
    std::string text, twin = replaced(read(CUDART_EMULATOR "/primitives.cuh"), "^#(pragma once|include.*)$", "");
    std::istringstream lines(source);
    bool inside = false, placed = false;
    for (std::string line; std::getline(lines, line);) {
        std::smatch found;
        const bool marks = !line.compare(0, 6, "#line ") && matches(line, "#line (\\d+) \"(.*)\"", &found);
        if (marks) inside = found[2] == "common/primitives.cuh";
        // Its own includes come first, each with a mark, and then a mark leads back to it: the twin goes there.
        if (marks && inside && found[1] != "1" && !placed) {
            text += mark + twin;
            placed = true;
        }
        if (!inside) text += line + "\n";
    }
    return placed ? text : source;
}

// Bring words that g++ has no meaning for into some that it has.
std::string for_gcc(const std::string& source) {
    const char* const shared = "extern\\s+__shared__\\s+(?:__align__\\s*\\([^)]*\\)\\s*)?"
                               "([\\w:]+(?:\\s+[\\w:]+)*?)\\s+(\\w+)\\s*\\[\\s*\\]\\s*;";
    return replaced(with_twin(source), shared, "$1* const $2 = ($1*)emulator::shared_memory();");
}

// The types of a list of parameters: each without its name, which is its last word.
std::string types(const std::string& parameters) {
    const std::string plain = replaced(parameters, "\\b__restrict__\\b|\\b__grid_constant__\\b", "");
    return replaced(plain, "\\s*\\b\\w+\\s*(?=,|$)", "");
}

// The table of kernels (kernel.h): those that are extern "C", and the names that were asked for.
std::string table(const Program& program, int architecture) {
    const std::string plain = replaced(program.source, "//.*$", "");
    const bool in_block = std::regex_search(plain, std::regex("extern\\s+\"C\"\\s*\\{"));
    static const std::regex kernel(
        "(extern\\s+\"C\"\\s+)?(template\\s*<[^>]*>\\s*)?__global__\\s+void"
        "(?:\\s+__launch_bounds__\\s*\\(([^(),]*)[^()]*\\))?\\s+(\\w+)\\s*\\(([^()]*)\\)");
    std::string entries;
    int count = 0;
    const auto add = [&](const std::string& function, const std::string& name, const std::string& threads) {
        entries += "cudart::entry<" + function + ">(\"" + name + "\", " + threads + "), ";
        ++count;
    };
    for (std::sregex_iterator found(plain.begin(), plain.end(), kernel), none; found != none; ++found) {
        const std::smatch& parts = *found;
        if (parts[2].matched || (!parts[1].matched && !in_block)) continue;
        const std::string bound = parts[3].matched ? parts[3].str() : "1024", name = parts[4];
        // The types choose it where a function of CUDA has the same name.
        add("static_cast<void (*)(" + types(parts[5]) + ")>(&" + name + ")", name, bound);
    }
    for (const std::string& expression : program.expressions) add(expression, expression, "1024");
    return "\n#line 1 \"table\"\n#pragma GCC visibility push(default)\n"
           "static constexpr cudart::Kernel cudart_kernels[] = {" + entries + "{}};\n"
           "extern \"C\" const cudart::Image cudart_image = {" +
           std::to_string(architecture) + ", " + std::to_string(count) + ", cudart_kernels};\n";
}

// A folder of its own for g++, gone in the end.
struct Workplace {
    std::string path = std::filesystem::temp_directory_path() / "cudart-nvrtc-XXXXXX";
    bool made = mkdtemp(path.data()) != nullptr;
    std::vector<std::string> files;

    std::string file(const std::string& name) {
        files.push_back(path + "/" + name);
        for (size_t end = path.size() + 1; (end = files.back().find('/', end)) != std::string::npos; ++end)
            mkdir(files.back().substr(0, end).c_str(), 0777);
        return files.back();
    }
    ~Workplace() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
};

// Have g++ make a library of a text; what it says is the log, its places written as NVRTC writes them.
bool run_compiler(Program* program, const std::string& text, const std::vector<std::string>& others,
                  const std::string& result) {
    Workplace work;
    if (!work.made) return false;
    const std::string source = work.file("kernel.cpp"), log = work.file("log"), library = work.file("kernel.so");
    write(source, text);
    for (const auto& [name, header] : program->headers) write(work.file(name), header);
    std::string words = CUDART_COMPILER " -w -s -I" CUDART_EMULATOR " -I" CUDART_HERE " -I'" + work.path + "'";
    for (const std::string& each : others) words += " '" + each + "'";
    words += " '" + source + "' " CUDART_STUB " -lm -o '" + library + "' 2>'" + log + "'";
    const bool good = system(words.c_str()) == 0;
    if (!good) program->log = replaced(read(log), "^(\\S+?):(\\d+):\\d+: ", "$1($2): ");
    const std::string part = result + "." + std::to_string(getpid()) + "." + work.path.substr(work.path.rfind('-') + 1);
    if (good) write(part, read(library));
    return good && rename(part.c_str(), result.c_str()) == 0;
}

// What files lie in a folder of headers, and since when.
std::string state(const std::string& folder) {
    namespace files = std::filesystem;
    std::string all;
    std::error_code error;
    for (files::recursive_directory_iterator each(folder, error), end; !error && each != end; each.increment(error)) {
        const auto when = each->last_write_time(error).time_since_epoch().count();
        all += "\n" + each->path().string() + " " + std::to_string(when);
    }
    return all;
}

// Find the library of a text, or compile it; other processes that want the same one wait.
bool find_library(Program* program, const std::string& text, const std::vector<std::string>& others) {
    const std::string folder = CUDART_KERNELS "/";
    mkdir(folder.c_str(), 0777);
    std::string key = text;
    for (const std::string& each : others) key += "\n" + each + state(each.substr(2));
    for (const auto& [name, header] : program->headers) key += "\n" + name + "\n" + header;
    const std::string hash = std::to_string(std::hash<std::string>()(key));
    const std::string path = folder + hash + "-" + std::to_string(key.size()) + ".so";
    program->image = read(path);
    if (!program->image.empty()) return true;
    const int lock = open((path + ".lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    flock(lock, LOCK_EX);
    const bool good = access(path.c_str(), R_OK) == 0 || run_compiler(program, text, others, path);
    unlink((path + ".lock").c_str());
    close(lock);
    if (good) program->image = read(path);
    return good;
}

}  // namespace

extern "C" {

const char* nvrtcGetErrorString(int result) {
    switch (result) {
        case SUCCESS: return "NVRTC_SUCCESS";
        case INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
        case INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
        case COMPILATION: return "NVRTC_ERROR_COMPILATION";
        case NAME_EXPRESSION_NOT_VALID: return "NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID";
        default: return "NVRTC_ERROR unknown";
    }
}

int nvrtcVersion(int* major, int* minor) {
    *major = CUDART_MAJOR;
    *minor = CUDART_MINOR;
    return SUCCESS;
}

int nvrtcGetNumSupportedArchs(int* count) {
    *count = (int)(sizeof ARCHITECTURES / sizeof *ARCHITECTURES);
    return SUCCESS;
}

int nvrtcGetSupportedArchs(int* architectures) {
    memcpy(architectures, ARCHITECTURES, sizeof ARCHITECTURES);
    return SUCCESS;
}

int nvrtcCreateProgram(void** program, const char* source, const char* name, int count, const char** texts,
                       const char** names) {
    if (!source || count < 0) return INVALID_INPUT;
    auto made = new Program{source, name && *name ? name : "default_program", "", "", {}, {}};
    for (int i = 0; i < count; ++i) made->headers.emplace_back(names[i], texts[i]);
    *program = made;
    return SUCCESS;
}

int nvrtcDestroyProgram(void** program) {
    delete (Program*)*program;
    *program = nullptr;
    return SUCCESS;
}

int nvrtcAddNameExpression(void* program, const char* expression) {
    ((Program*)program)->expressions.push_back(expression);
    return SUCCESS;
}

int nvrtcCompileProgram(void* handle, int count, const char* const* given) {
    Program& program = *(Program*)handle;
    Options options;
    if (!options.parse(count, given, &program.log)) return INVALID_OPTION;
    const Constants constants(program.source, options);
    const std::string macros = "#define __CUDACC_RTC__ 1\n#define __shared__ static\n"
                               "#define __CUDACC_VER_MAJOR__ " + std::to_string(CUDART_MAJOR) + "\n"
                               "#define __CUDACC_VER_MINOR__ 0\n"
                               "#define __CUDA_ARCH__ " + std::to_string(options.architecture) + "0\n";
    const std::string text = "#include \"cuda.h\"\n#include \"kernel.h\"\n" + macros + constants.declared() +
                             "#line 1 \"" + program.name + "\"\n" + for_gcc(program.source) +
                             table(program, options.binary ? options.architecture : 0);
    if (!find_library(&program, text, options.others)) return COMPILATION;
    constants.write_into(&program.image);
    return SUCCESS;
}

// CuPy looks at a line of it to tell compilers apart; nothing can be loaded from it.
static const char PTX[] = "//\n// of the stand-in for NVRTC\n//\n.version 9.0\n";
int nvrtcGetPTXSize(void*, size_t* bytes) {
    *bytes = sizeof PTX;
    return SUCCESS;
}
int nvrtcGetPTX(void*, char* text) {
    memcpy(text, PTX, sizeof PTX);
    return SUCCESS;
}

int nvrtcGetCUBINSize(void* program, size_t* bytes) {
    *bytes = ((Program*)program)->image.size();
    return SUCCESS;
}
int nvrtcGetCUBIN(void* program, char* image) {
    const std::string& made = ((Program*)program)->image;
    memcpy(image, made.data(), made.size());
    return SUCCESS;
}

int nvrtcGetProgramLogSize(void* program, size_t* bytes) {
    *bytes = ((Program*)program)->log.size() + 1;
    return SUCCESS;
}
int nvrtcGetProgramLog(void* program, char* text) {
    const std::string& log = ((Program*)program)->log;
    memcpy(text, log.c_str(), log.size() + 1);
    return SUCCESS;
}

int nvrtcGetLoweredName(void* handle, const char* expression, const char** name) {
    for (const std::string& each : ((Program*)handle)->expressions)
        if (each == expression) return *name = each.c_str(), SUCCESS;
    return NAME_EXPRESSION_NOT_VALID;
}

}  // extern "C"
