// A GPU on one CPU thread: blocks of fibers under a scheduler that looks for trouble.
//
// Invariants
// 1. Whatever the scheduler does is a function of the seed.
// 2. A warp runs until it blocks, or a random while; lanes run in random order, each alone up to
//    its next collective: threads drift as far apart as the barriers allow.
// 3. Shared memory holds NaN bits when a block starts. Asynchronous copies arrive when they are
//    waited for and not before.
// 4. A wait that cannot end, a barrier that is not the same statement for all, a thread that leaves
//    others at a barrier, an access where there is no memory: each ends the launch with a report.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "fiber.h"

namespace emulator {

constexpr unsigned WARP = 32;
// Blocks that are on the machine at a time.
constexpr unsigned RESIDENT = 6;

// A statement of the kernel.
struct Site {
    const char* file = "";
    int line = 0;

    bool operator!=(const Site& other) const {
        return line != other.line || std::strcmp(file, other.file) != 0;
    }
    std::string text() const { return std::string(file) + ":" + std::to_string(line); }
};

enum class Wait { NONE, BLOCK, WARP, DONE };

struct Copy {
    void* to;
    const void* from;
};

struct Thread {
    Context context;
    Wait wait = Wait::NONE;
    Site site;
    unsigned index = 0;
    unsigned block = 0;  // slot on the machine
    std::vector<Copy> copies;
};

// What the lanes of a warp hand each other.
struct Mail {
    std::uint32_t in[16];
    std::uint32_t out[8];
};

struct Warp {
    std::uint32_t arrived = 0;
    Site site;
    Mail mail[WARP];
};

struct Block {
    bool occupied = false;
    unsigned index = 0;
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    std::unique_ptr<unsigned char[]> shared;
};

// xorshift64*: good enough to be adversarial.
struct Random {
    std::uint64_t state;
    explicit Random(std::uint64_t seed) : state(seed * 0x9E3779B97F4A7C15u + 0x1234567u) {}
    unsigned below(unsigned n) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return static_cast<unsigned>((state * 0x2545F4914F6CDD1Du) >> 33) % n;
    }
};

class Machine {
public:
    Machine(unsigned blocks, unsigned threads, unsigned shared, std::uint64_t seed)
        : blocks_(blocks), threads_(threads), shared_(shared), random_(seed) {}

    // Runs `kernel` in every thread of every block. Returns what went wrong, or nothing.
    std::string run(void (*kernel)(const void*), const void* arguments);

    // What device code asks, in the thread that runs.
    Thread& thread() { return *current_; }
    Block& block() { return slots_[current_->block]; }
    unsigned blocks() const { return blocks_; }
    unsigned threads() const { return threads_; }
    void block_barrier(Site site);
    // Gives `in` to the warp and takes `out`, when the last lane has run `operate` on all mail.
    void collective(Site site, const void* in, std::size_t in_bytes, void* out,
                    std::size_t out_bytes, void (*operate)(Mail*));
    [[noreturn]] void fail(const std::string& report);
    void body();

private:
    void occupy(Block& slot, unsigned index);
    bool schedule();
    bool release_barriers();
    void run_warp(unsigned slot, unsigned warp);
    void leave(Wait wait);
    std::string stuck() const;

    unsigned blocks_, threads_, shared_;
    Random random_;
    void (*kernel_)(const void*) = nullptr;
    const void* arguments_ = nullptr;
    std::vector<Block> slots_;
    std::vector<std::unique_ptr<unsigned char[]>> stacks_;
    std::vector<unsigned> queue_;
    Thread* current_ = nullptr;
    Context scheduler_;
    std::string report_;
};

// The machine of this OS thread.
inline thread_local Machine* machine = nullptr;

}  // namespace emulator
