// One shared library a specialisation: the emulator, the kernels, and the function that starts one.
#include "cuda.h"

#include "../snel.cu"

#include "machine.cpp"

namespace {

// Runs a kernel on the argument struct at `arguments`.
template <class Arguments, void (*kernel)(Arguments)>
void start(const void* arguments) {
    Arguments copy;
    std::memcpy(&copy, arguments, sizeof(copy));
    kernel(copy);
}

struct Entry {
    const char* name;
    void (*start)(const void*);
    unsigned bytes;
};

template <class Arguments, void (*kernel)(Arguments)>
constexpr Entry entry(const char* name) {
    return {name, start<Arguments, kernel>, sizeof(Arguments)};
}

const Entry ENTRIES[] = {
    entry<snel::PackArguments, snel_pack>("snel_pack"),
#if SNEL_LAYERWISE
    entry<snel::LayerArguments, snel_points>("snel_points"),
    entry<snel::LayerArguments, snel_activate>("snel_activate"),
    entry<snel::LayerArguments, snel_energies>("snel_energies"),
    entry<snel::LayerArguments, snel_weigh>("snel_weigh"),
    entry<snel::LayerArguments, snel_slopes>("snel_slopes"),
    entry<snel::LayerArguments, snel_vectors>("snel_vectors"),
    entry<snel::LayerArguments, snel_extents>("snel_extents"),
    entry<snel::LayerArguments, snel_add>("snel_add"),
#else
    entry<snel::StepArguments, snel_step>("snel_step"),
    entry<snel::ScoreArguments, snel_score>("snel_score"),
#endif
    entry<snel::VerdictArguments, snel_verdict>("snel_verdict"),
    entry<snel::UpdateArguments, snel_norm>("snel_norm"),
    entry<snel::UpdateArguments, snel_update>("snel_update"),
    entry<snel::SizesArguments, snel_sizes>("snel_sizes"),
};

}  // namespace

// Runs `kernel` to its end. Returns 0, or 1 with a report in `message` (`room` bytes, ended by 0).
extern "C" __attribute__((visibility("default"))) int snel_emulate(
    const char* kernel, unsigned blocks, unsigned threads, unsigned shared,
    unsigned long long seed, const void* arguments, unsigned long long bytes, char* message,
    unsigned long long room) {
    std::string report = std::string("there is no kernel ") + kernel;
    for (const Entry& entry : ENTRIES) {
        if (std::strcmp(entry.name, kernel) != 0) continue;
        if (entry.bytes != bytes) {
            report = "arguments of " + std::to_string(bytes) + " bytes, the kernel takes " +
                     std::to_string(entry.bytes);
        } else {
            report = emulator::Machine(blocks, threads, shared, seed).run(entry.start, arguments);
        }
    }
    std::snprintf(message, room, "%s", report.c_str());
    return report.empty() ? 0 : 1;
}
