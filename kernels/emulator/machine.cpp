// The scheduler of the emulated GPU; see machine.h.
#include "machine.h"

#include <csignal>

#include <algorithm>
#include <mutex>

namespace emulator {

#ifdef __SANITIZE_ADDRESS__

// The sanitizer reports faults better.
static void catch_faults() {}

#else

static struct sigaction previous_action;

// A kernel that reads where there is nothing must not end the process: other threads run tests.
// The thread that faulted never goes on; the scheduler does.
static void on_fault(int signal, siginfo_t* info, void* context) {
    if (machine != nullptr) machine->fail("it reads or writes where there is no memory");
    if (previous_action.sa_flags & SA_SIGINFO) {
        previous_action.sa_sigaction(signal, info, context);
    } else {
        sigaction(signal, &previous_action, nullptr);
    }
}

static void catch_faults() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action{};
        action.sa_sigaction = on_fault;
        // Not deferred: the handler does not return, and later faults must be seen too.
        action.sa_flags = SA_SIGINFO | SA_NODEFER;
        sigaction(SIGSEGV, &action, &previous_action);
    });
}

#endif

static void entry() { machine->body(); }

std::string Machine::run(void (*kernel)(const void*), const void* arguments) {
    if (threads_ == 0 || threads_ % WARP != 0) return "a block must be whole warps";
    catch_faults();
    kernel_ = kernel;
    arguments_ = arguments;
    const unsigned resident = std::min(blocks_, RESIDENT);
    slots_ = std::vector<Block>(resident);
    for (unsigned i = 0; i < resident * threads_; i++) {
        stacks_.emplace_back(new unsigned char[STACK]);
    }
    for (unsigned i = 0; i < blocks_; i++) queue_.push_back(i);
    for (unsigned i = blocks_; i > 1; i--) std::swap(queue_[i - 1], queue_[random_.below(i)]);
    machine = this;
    while (report_.empty() && schedule()) {
    }
    machine = nullptr;
    return report_;
}

void Machine::occupy(Block& slot, unsigned index) {
    const unsigned number = static_cast<unsigned>(&slot - slots_.data());
    slot.occupied = true;
    slot.index = index;
    slot.shared.reset(new unsigned char[shared_]);
    std::memset(slot.shared.get(), 0xFF, shared_);
    slot.warps.assign(threads_ / WARP, Warp{});
    slot.threads = std::vector<Thread>(threads_);
    for (unsigned t = 0; t < threads_; t++) {
        Thread& thread = slot.threads[t];
        thread.index = t;
        thread.block = number;
        thread.context.begin(stacks_[number * threads_ + t].get(), entry);
    }
}

void Machine::body() {
    kernel_(arguments_);
    leave(Wait::DONE);
    std::abort();  // nobody switches to a thread that is done
}

void Machine::leave(Wait wait) {
    Thread& thread = *current_;
    thread.wait = wait;
    thread.context.switch_to(scheduler_);
}

void Machine::fail(const std::string& report) {
    const Thread& thread = *current_;
    report_ = "block " + std::to_string(block().index) + ", thread " +
              std::to_string(thread.index) + ": " + report;
    leave(Wait::DONE);
    std::abort();
}

void Machine::block_barrier(Site site) {
    current_->site = site;
    leave(Wait::BLOCK);
}

void Machine::collective(Site site, const void* in, std::size_t in_bytes, void* out,
                         std::size_t out_bytes, void (*operate)(Mail*)) {
    Thread& thread = *current_;
    Block& here = block();
    const unsigned lane = thread.index % WARP, first = thread.index - lane;
    Warp& warp = here.warps[thread.index / WARP];
    if (warp.arrived != 0 && warp.site != site) {
        fail("warp collectives diverge: " + warp.site.text() + " and " + site.text());
    }
    warp.site = thread.site = site;
    warp.arrived |= 1u << lane;
    std::memcpy(warp.mail[lane].in, in, in_bytes);
    if (warp.arrived == 0xFFFFFFFFu) {
        warp.arrived = 0;
        operate(warp.mail);
        for (unsigned l = 0; l < WARP; l++) here.threads[first + l].wait = Wait::NONE;
    } else {
        leave(Wait::WARP);
    }
    std::memcpy(out, warp.mail[lane].out, out_bytes);
}

// Lets blocks go on whose threads are all at the barrier.
bool Machine::release_barriers() {
    bool any = false;
    for (Block& block : slots_) {
        if (!block.occupied) continue;
        const auto is = [](Wait wait) { return [wait](const Thread& t) { return t.wait == wait; }; };
        const auto& all = block.threads;
        const auto waiting = std::count_if(all.begin(), all.end(), is(Wait::BLOCK));
        const auto done = std::count_if(all.begin(), all.end(), is(Wait::DONE));
        if (waiting + done < static_cast<long>(threads_)) continue;
        any = true;
        if (waiting == 0) {
            block.occupied = false;
            continue;
        }
        const auto& first = *std::find_if(all.begin(), all.end(), is(Wait::BLOCK));
        if (done != 0) {
            report_ = std::to_string(done) + " threads of block " + std::to_string(block.index) +
                      " ended while others wait at " + first.site.text();
            return false;
        }
        for (Thread& thread : block.threads) {
            if (thread.site != first.site) {
                report_ = "barriers diverge: " + first.site.text() + " and " + thread.site.text();
                return false;
            }
            thread.wait = Wait::NONE;
        }
    }
    return any;
}

bool Machine::schedule() {
    for (Block& block : slots_) {
        if (!block.occupied && !queue_.empty()) {
            occupy(block, queue_.back());
            queue_.pop_back();
        }
    }
    std::vector<std::pair<unsigned, unsigned>> ready;
    bool occupied = false;
    for (unsigned slot = 0; slot < slots_.size(); slot++) {
        const Block& block = slots_[slot];
        if (!block.occupied) continue;
        occupied = true;
        for (unsigned t = 0; t < threads_; t++) {
            if (block.threads[t].wait != Wait::NONE) continue;
            ready.emplace_back(slot, t / WARP);
            t += WARP - 1 - t % WARP;
        }
    }
    if (!occupied) return false;
    // Barriers open late: only when nothing else can run, or now and then.
    if (ready.empty() || random_.below(4) == 0) {
        if (release_barriers() || !ready.empty()) return true;
        if (report_.empty()) report_ = stuck();
        return false;
    }
    const auto [slot, warp] = ready[random_.below(static_cast<unsigned>(ready.size()))];
    run_warp(slot, warp);
    return true;
}

void Machine::run_warp(unsigned slot, unsigned warp) {
    Block& block = slots_[slot];
    unsigned rounds = random_.below(3) == 0 ? 1 + random_.below(64) : ~0u;
    unsigned lanes[WARP];
    for (unsigned i = 0; i < WARP; i++) lanes[i] = warp * WARP + i;
    for (bool ran = true; ran && rounds != 0; rounds--) {
        ran = false;
        for (unsigned i = WARP; i > 1; i--) std::swap(lanes[i - 1], lanes[random_.below(i)]);
        for (unsigned lane : lanes) {
            Thread& thread = block.threads[lane];
            if (thread.wait != Wait::NONE) continue;
            ran = true;
            current_ = &thread;
            scheduler_.switch_to(thread.context);
            if (!report_.empty()) return;
        }
    }
}

std::string Machine::stuck() const {
    for (const Block& block : slots_) {
        if (!block.occupied) continue;
        for (const Thread& thread : block.threads) {
            if (thread.wait == Wait::WARP) {
                return "deadlock: thread " + std::to_string(thread.index) + " of block " +
                       std::to_string(block.index) + " waits for its warp at " +
                       thread.site.text();
            }
        }
    }
    return "deadlock";
}

}  // namespace emulator
