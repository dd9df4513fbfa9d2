// The table that every compiled kernel file exports: nvrtc.cpp writes it behind the text, modules.cpp reads it.
//
// No header of C++ may be included here: a kernel file has none.
#pragma once

namespace cudart {

struct Argument {
    int bytes;
    bool pointer;
};

struct Kernel {
    const char* name;
    void (*enter)(void** arguments);
    const Argument* arguments;
    int argument_count;
    int threads;  // of a block, at most: its __launch_bounds__
};

struct Image {
    int architecture;
    int kernel_count;
    const Kernel* kernels;
};

template <class T>
constexpr bool is_pointer = false;
template <class T>
constexpr bool is_pointer<T*> = true;

template <int... numbers>
struct Numbers {};

template <auto kernel>
struct Entry;
template <class... Types, void (*kernel)(Types...)>
struct Entry<kernel> {
    static constexpr int count = sizeof...(Types);
    static constexpr Argument arguments[] = {{(int)sizeof(Types), is_pointer<Types>}..., {0, false}};

    // The arguments lie in the host's memory, which hooks would take for an error of the kernel.
    template <int... numbers>
    __attribute__((no_sanitize("thread"))) static void call(void** values, Numbers<numbers...>) {
        kernel(*static_cast<Types*>(values[numbers])...);
    }
    __attribute__((no_sanitize("thread"))) static void enter(void** values) {
        call(values, Numbers<__integer_pack(count)...>());
    }
};

template <auto kernel>
constexpr Kernel entry(const char* name, int threads) {
    return {name, &Entry<kernel>::enter, Entry<kernel>::arguments, Entry<kernel>::count, threads};
}

}  // namespace cudart
