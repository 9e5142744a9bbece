// Fibers: one stack for each CUDA thread, and the switch between them.
//
// x86-64 has a switch of its own, because a test makes millions; elsewhere, and under a sanitizer
// that wants to know about stacks, ucontext does the same.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulator {

// Bytes of a fiber's stack. The pages that are never touched cost nothing.
constexpr std::size_t STACK = 256 * 1024;

#if defined(__x86_64__)

// Stores what a function call must preserve on the stack, its address in `*from`, and continues
// at `to`, which was stored in the same way.
extern "C" void snel_emulator_switch(void** from, void* to);

asm(R"(
    .text
    .globl snel_emulator_switch
    .hidden snel_emulator_switch
    .type snel_emulator_switch, @function
snel_emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size snel_emulator_switch, . - snel_emulator_switch
)");

// Where a fiber, or the scheduler, goes on.
struct Context {
    void* stack = nullptr;

    // Makes this the beginning of `entry`, which never returns, on `memory`.
    void begin(void* memory, void (*entry)()) {
        auto top = reinterpret_cast<std::uintptr_t>(memory) + STACK;
        auto* slot = reinterpret_cast<void**>(top & ~std::uintptr_t{63});
        *--slot = nullptr;  // `entry` finds the alignment of a called function
        *--slot = reinterpret_cast<void*>(entry);
        for (int saved = 0; saved < 6; saved++) *--slot = nullptr;
        stack = slot;
    }

    void switch_to(Context& other) { snel_emulator_switch(&stack, other.stack); }
};

#else

struct Context {
    ucontext_t context{};

    void begin(void* memory, void (*entry)()) {
        getcontext(&context);
        context.uc_stack.ss_sp = memory;
        context.uc_stack.ss_size = STACK;
        context.uc_link = nullptr;
        makecontext(&context, entry, 0);
    }

    void switch_to(Context& other) { swapcontext(&context, &other.context); }
};

#endif

}  // namespace emulator
