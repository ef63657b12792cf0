// What CUDA code needs to run on the processor: every thread of a block is a thread of control of its own here, which
// runs until it waits for the others. Blocks run one after the other.
//
// It is stricter than a GPU: a barrier that not all threads of a block (or, for shuffles, all 32 of a warp) reach at
// the same line is an error. Threads run in ascending or in descending order; what a missing barrier makes depend on
// the order differs between the two.
#pragma once
#include <cmath>
#include <csetjmp>
#include <cstdlib>
#include <ucontext.h>

using std::erf;
using std::exp;
using std::log;
using std::sqrt;
using std::tanh;

#define __device__ inline
#define __global__
#define __shared__ static

struct Three {
    unsigned x, y, z;
};
static Three gridDim, blockDim, blockIdx, threadIdx;

namespace emulator {

enum State { READY, AT_WARP, AT_BLOCK, DONE };
const int WARP = 32, MOST = 1024, STACK = 1 << 16;

struct Thread {
    ucontext_t context;
    jmp_buf place;
    Three index;
    State state;
    bool started;
    int line;
    double value;  // what the other lanes of the warp may read
};
static Thread threads[MOST];
static char* stacks;
static Thread* running;
static jmp_buf scheduler;
static void (*body)(void**);
static void** arguments;

static void enter()
{
    body(arguments);
    running->state = DONE;
    _longjmp(scheduler, 1);
}

static void wait(State state, int line)
{
    running->state = state;
    running->line = line;
    if (!_setjmp(running->place)) _longjmp(scheduler, 1);
}

static void resume(Thread* thread)
{
    running = thread;
    threadIdx = thread->index;
    if (_setjmp(scheduler)) return;
    if (thread->started) _longjmp(thread->place, 1);
    thread->started = true;
    setcontext(&thread->context);
}

// Whether threads first ... last - 1 all wait in the same way at the same line; if so, they go on.
static bool release(int first, int last, State state)
{
    for (int i = first; i < last; i++)
        if (threads[i].state != state || threads[i].line != threads[first].line) return false;
    for (int i = first; i < last; i++) threads[i].state = READY;
    return true;
}

// Runs a warp until all its threads wait for other warps, or are done.
static void run_warp(int first, int last, bool descending)
{
    do {
        for (volatile int k = first; k < last; k = k + 1) {
            Thread* thread = &threads[descending ? first + last - 1 - k : k];
            if (thread->state == READY) resume(thread);
        }
    } while (release(first, last, AT_WARP));
}

// One warp after the other goes as far as it can, so that one that runs ahead where it should wait is noticed.
static bool run_block(int count, bool descending)
{
    int warps = (count + WARP - 1) / WARP;
    for (;;) {
        for (volatile int k = 0; k < warps; k = k + 1) {
            int first = (descending ? warps - 1 - k : k) * WARP;
            run_warp(first, first + WARP < count ? first + WARP : count, descending);
        }
        int done = 0;
        for (int i = 0; i < count; i++) done += threads[i].state == DONE;
        if (done == count) return true;
        if (!release(0, count, AT_BLOCK)) return false;
    }
}

static int run(void (*function)(void**), void** given, Three grid, Three block, bool descending)
{
    int count = block.x * block.y * block.z;
    if (count < 1 || count > MOST) return 2;
    if (!stacks) stacks = (char*)std::malloc((size_t)MOST * STACK);
    body = function;
    arguments = given;
    gridDim = grid;
    blockDim = block;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                blockIdx = {x, y, z};
                for (int i = 0; i < count; i++) {
                    Thread& thread = threads[i];
                    unsigned n = i;
                    thread.index = {n % block.x, n / block.x % block.y, n / (block.x * block.y)};
                    thread.state = READY;
                    thread.started = false;
                    getcontext(&thread.context);
                    thread.context.uc_stack.ss_sp = stacks + (size_t)i * STACK;
                    thread.context.uc_stack.ss_size = STACK;
                    thread.context.uc_link = 0;
                    makecontext(&thread.context, enter, 0);
                }
                if (!run_block(count, descending)) return 1;
            }
    return 0;
}

template <typename V>
static V shuffle_xor(V value, int distance, int line)
{
    int own = running - threads;
    running->value = value;
    wait(AT_WARP, line);
    V other = (V)threads[own ^ distance].value;
    wait(AT_WARP, -line);  // nobody overwrites what others still read
    return other;
}

}  // namespace emulator

#define __syncthreads() emulator::wait(emulator::AT_BLOCK, __LINE__)
#define __shfl_xor_sync(mask, value, distance) emulator::shuffle_xor(value, distance, __LINE__)

static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned __int128)a * b >> 64;
}
