// The threads of one CUDA block as cooperative fibres, with block barriers and warp collectives.
//
// A fibre runs until it waits, so that threads interleave in one fixed way: a thread is as far
// ahead of its neighbours as the barriers allow. That is what shows a missing barrier; running the
// same block in reverse order shows the rest. All state is static (a library holds one kernel file
// and runs one launch at a time), and none of it within functions, see shim.ld.
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#if !defined(__x86_64__) || defined(SHIM_UCONTEXT)
#include <ucontext.h>
#endif

namespace shim {

constexpr int WARP = 32;
constexpr int MAX_BLOCK = 1024;
constexpr size_t STACK_BYTES = 64 << 10;
// NaN as a float and as half a double, far out of range as an index.
constexpr unsigned POISON = 0x7FFDEAD5u;

// -- switching stacks ----------------------------------------------------------------------------

#if defined(__x86_64__) && !defined(SHIM_UCONTEXT)

// swapcontext makes a system call each time; what the ABI has a call keep is saved in no time.
// A jump ends it because a return would be predicted to go back to the caller.
asm(R"(
.pushsection .text
.local shim_switch
.type shim_switch, @function
shim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmp *%rcx
.size shim_switch, .-shim_switch
.popsection
)");
struct Context { void* stack_pointer; };
extern "C" void shim_switch(Context* from, Context* to);

static void prepare(Context& context, char* stack, size_t bytes, void (*entry)()) {
  void** top = reinterpret_cast<void**>(stack + bytes);
  top[-1] = nullptr;  // where a caller's return address would be: keeps the ABI's alignment
  top[-2] = reinterpret_cast<void*>(entry);
  memset(top - 8, 0, 6 * sizeof(void*));
  context.stack_pointer = top - 8;
}

#else

typedef ucontext_t Context;
static void shim_switch(Context* from, Context* to) { swapcontext(from, to); }

static void prepare(Context& context, char* stack, size_t bytes, void (*entry)()) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = bytes;
  context.uc_link = nullptr;
  makecontext(&context, entry, 0);
}

#endif

// -- state ---------------------------------------------------------------------------------------

enum class State { ready, at_collective, at_barrier, finished };

struct Site {
  const char* operation;
  const char* file;
  int line;
};

struct Thread {
  Context context;
  State state;
  Site site;           // of the barrier or collective it waits at
  unsigned mask;       // of the collective
  int source;          // lane a shuffle reads; -1: the operation is a vote
  uint64_t in, out;
};

struct Outcome {
  char message[512];
  uint64_t fault_address;
};

struct Machine {
  Thread threads[MAX_BLOCK];
  int count;
  bool reverse;
  int current;  // -1: the scheduler runs
  unsigned block;
  Context scheduler;
  void (*body)(void*);
  void* call;
  Outcome* outcome;
};

static Machine machine;

struct Index { unsigned x, y, z; };

// -- errors --------------------------------------------------------------------------------------

__attribute__((format(printf, 1, 2))) static void report(const char* format, ...) {
  va_list values;
  va_start(values, format);
  char* message = machine.outcome->message;
  const size_t room = sizeof machine.outcome->message;
  vsnprintf(message, room, format, values);
  va_end(values);
  const size_t used = strlen(message);
  if (machine.current >= 0)
    snprintf(message + used, room - used, " (block %u, thread %d)", machine.block, machine.current);
  else
    snprintf(message + used, room - used, " (block %u)", machine.block);
}

// Leave the running fibre for good; nothing on its stack needs a destructor.
[[noreturn]] static void abandon() {
  Context nowhere;
  shim_switch(&nowhere, &machine.scheduler);
  __builtin_unreachable();
}

static const char* describe(int thread, char (&text)[160]) {
  if (thread >= machine.count) return "does not exist";
  const Thread& it = machine.threads[thread];
  if (it.state == State::finished) return "has finished";
  snprintf(text, sizeof text, "waits at %s (%s:%d)", it.site.operation, it.site.file, it.site.line);
  return text;
}

static bool refuse(int thread, int other) {
  char mine[160], its[160];
  report("deadlock: thread %d %s, but thread %d %s", thread, describe(thread, mine), other,
         describe(other, its));
  return false;
}

static bool same(const Site& a, const Site& b) {
  return a.operation == b.operation && a.line == b.line &&
         (a.file == b.file || strcmp(a.file, b.file) == 0);
}

// -- what a thread does --------------------------------------------------------------------------

static uint64_t wait(State state, const Site& site, uint64_t in, unsigned mask, int source) {
  Thread& self = machine.threads[machine.current];
  self.state = state;
  self.site = site;
  self.in = in;
  self.mask = mask;
  self.source = source;
  shim_switch(&self.context, &machine.scheduler);
  return self.out;
}

// Number of threads of the block for which the predicate holds.
static int barrier(const Site& site, bool predicate) {
  return static_cast<int>(wait(State::at_barrier, site, predicate, 0, -1));
}

// A shuffle (source: the lane to read) or a vote (source -1; the lanes for which `in` is not 0).
static uint64_t collective(const Site& site, unsigned mask, uint64_t in, int source) {
  if (!(mask >> (machine.current % WARP) & 1u)) {
    report("%s (%s:%d): mask 0x%08x leaves out the calling thread", site.operation, site.file,
           site.line, mask);
    abandon();
  }
  return wait(State::at_collective, site, in, mask, source);
}

static void thread_main() {
  machine.body(machine.call);
  machine.threads[machine.current].state = State::finished;
  abandon();
}

// -- the scheduler -------------------------------------------------------------------------------

// 0, 1, ... count - 1, or backwards.
static int nth(int i, int count) { return machine.reverse ? count - 1 - i : i; }

static bool resume(int thread, Index& thread_index) {
  thread_index.x = static_cast<unsigned>(thread);
  machine.current = thread;
  shim_switch(&machine.scheduler, &machine.threads[thread].context);
  machine.current = -1;
  return machine.outcome->message[0] == 0;
}

static void release(int first, unsigned mask) {
  Thread* lanes = machine.threads + first;
  unsigned votes = 0;
  for (int i = 0; i < WARP; ++i)
    if (mask >> i & 1u) votes |= static_cast<unsigned>(lanes[i].in != 0) << i;
  for (int i = 0; i < WARP; ++i) {
    if (!(mask >> i & 1u)) continue;
    const int source = lanes[i].source;
    if (source < 0)
      lanes[i].out = votes;
    else if (mask >> source & 1u)
      lanes[i].out = lanes[source].in;
    else  // CUDA leaves it undefined
      lanes[i].out = static_cast<uint64_t>(POISON) << 32 | POISON;
    lanes[i].state = State::ready;
  }
}

enum class Group { complete, waits, impossible };

// Whether all lanes named in the mask of this thread's collective have come to it.
static Group arrived(int thread, int& missing) {
  const Thread& self = machine.threads[thread];
  const int first = thread / WARP * WARP;
  for (int i = 0; i < WARP; ++i) {
    if (!(self.mask >> i & 1u)) continue;
    missing = first + i;
    if (missing >= machine.count) return Group::impossible;
    const Thread& other = machine.threads[missing];
    if (other.state == State::finished) return Group::impossible;
    if (other.state != State::at_collective || other.mask != self.mask) return Group::waits;
    if (!same(other.site, self.site)) return Group::impossible;
  }
  return Group::complete;
}

// Run one warp until each of its threads has finished or stands at a block barrier.
static bool run_warp(int first, Index& thread_index) {
  const int size = machine.count - first < WARP ? machine.count - first : WARP;
  for (;;) {
    for (int i = 0; i < size; ++i) {
      const int thread = first + nth(i, size);
      if (machine.threads[thread].state == State::ready && !resume(thread, thread_index))
        return false;
    }
    bool released = false;
    int stuck = -1, missing = 0;
    for (int thread = first; thread < first + size; ++thread) {
      if (machine.threads[thread].state != State::at_collective) continue;
      int other = 0;
      const Group group = arrived(thread, other);
      if (group == Group::impossible) return refuse(thread, other);
      if (group == Group::waits) {
        stuck = thread;
        missing = other;
      } else {
        release(first, machine.threads[thread].mask);
        released = true;
      }
    }
    if (!released) return stuck < 0 || refuse(stuck, missing);
  }
}

// Every thread has finished (done) or all stand at one barrier, which opens; else an error.
static bool open_barrier(bool& done) {
  const Thread* threads = machine.threads;
  uint64_t holds = 0;
  for (int i = 0; i < machine.count; ++i) {
    if (threads[i].state != threads[0].state) return refuse(0, i);
    if (threads[0].state == State::finished) continue;
    if (!same(threads[i].site, threads[0].site)) return refuse(0, i);
    holds += threads[i].in;
  }
  done = threads[0].state == State::finished;
  for (int i = 0; i < machine.count && !done; ++i) {
    machine.threads[i].out = holds;
    machine.threads[i].state = State::ready;
  }
  return true;
}

// Stacks are kept between launches; a frame too large for one is refused by the compiler.
static char* stacks;

static bool make_stacks() {
  if (stacks != nullptr) return true;
  void* memory = mmap(nullptr, MAX_BLOCK * STACK_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory != MAP_FAILED) stacks = static_cast<char*>(memory);
  return stacks != nullptr;
}

static bool run_block(Index& thread_index) {
  for (int i = 0; i < machine.count; ++i) {
    // Tops at different places in a page, or all stacks would share a few cache lines.
    const size_t colour = i % 16 * 256;
    prepare(machine.threads[i].context, stacks + i * STACK_BYTES, STACK_BYTES - colour,
            thread_main);
    machine.threads[i].state = State::ready;
  }
  for (bool done = false; !done;) {
    const int warps = (machine.count + WARP - 1) / WARP;
    for (int i = 0; i < warps; ++i)
      if (!run_warp(nth(i, warps) * WARP, thread_index)) return false;
    if (!open_barrier(done)) return false;
  }
  return true;
}

}  // namespace shim
