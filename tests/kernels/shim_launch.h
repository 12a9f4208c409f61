// Launching kernels from outside: typed trampolines, poisoned shared memory, faults as errors.
#pragma once

#include <signal.h>
#include <stdlib.h>

#include <type_traits>
#include <utility>

#include "shim_fibers.h"

static shim::Index threadIdx, blockIdx, blockDim, gridDim;
constexpr int warpSize = shim::WARP;

// -- shared memory -------------------------------------------------------------------------------

// Around the static shared variables; shim.ld sets them.
extern "C" __attribute__((visibility("hidden"))) unsigned char shim_shared_begin[];
extern "C" __attribute__((visibility("hidden"))) unsigned char shim_shared_end[];

namespace shim {

constexpr size_t DYNAMIC_BYTES = 256 << 10;

static unsigned char* dynamic_memory;  // of this launch: ends where a page begins that faults

static void poison(unsigned char* begin, unsigned char* end) {
  for (; begin + sizeof POISON <= end; begin += sizeof POISON)
    memcpy(begin, &POISON, sizeof POISON);
}

static unsigned char* dynamic_end;

static bool make_dynamic_memory() {
  if (dynamic_end != nullptr) return true;
  const size_t guard = 64 << 10;  // at least a page on every machine
  void* memory =
      mmap(nullptr, DYNAMIC_BYTES + guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  if (mprotect(memory, DYNAMIC_BYTES, PROT_READ | PROT_WRITE) != 0) return false;
  dynamic_end = static_cast<unsigned char*>(memory) + DYNAMIC_BYTES;
  return true;
}

// -- faults --------------------------------------------------------------------------------------

static void on_fault(int number, siginfo_t* info, void*) {
  if (machine.current < 0) {  // not the kernel's doing: let it end the process
    signal(number, SIG_DFL);
    return;
  }
  if (number == SIGFPE) {
    report("integer division by zero");
  } else {
    machine.outcome->fault_address = reinterpret_cast<uint64_t>(info->si_addr);
    report("invalid memory access at %p", info->si_addr);
  }
  abandon();
}

static char fault_stack[64 << 10];
constexpr int FAULTS[] = {SIGSEGV, SIGBUS, SIGFPE};

// While it lives, faults of a fibre end the launch and not the process.
struct FaultsCaught {
  struct sigaction before[sizeof FAULTS / sizeof FAULTS[0]];
  stack_t stack_before;

  FaultsCaught() {
    stack_t stack = {};
    stack.ss_sp = fault_stack;
    stack.ss_size = sizeof fault_stack;
    sigaltstack(&stack, &stack_before);
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    // NODEFER: the handler is left by a switch of stacks, after which no signal may stay blocked.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; ++i)
      sigaction(FAULTS[i], &action, &before[i]);
  }

  ~FaultsCaught() {
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; ++i)
      sigaction(FAULTS[i], &before[i], nullptr);
    sigaltstack(&stack_before, nullptr);
  }
};

// -- launching -----------------------------------------------------------------------------------

struct Shape {
  unsigned grid, block, shared_bytes, reverse;
};

static int run_grid(const Shape& shape, void (*body)(void*), void* call, Outcome* outcome) {
  *outcome = {};
  machine.outcome = outcome;
  machine.body = body;
  machine.call = call;
  machine.count = static_cast<int>(shape.block);
  machine.reverse = shape.reverse != 0;
  machine.current = -1;
  threadIdx = blockIdx = {0, 0, 0};
  blockDim = {shape.block, 1, 1};
  gridDim = {shape.grid, 1, 1};
  if (!make_stacks() || !make_dynamic_memory()) {
    report("no memory for stacks or shared memory");
    return 1;
  }
  dynamic_memory = dynamic_end - (shape.shared_bytes + 15) / 16 * 16;
  const FaultsCaught caught;
  for (unsigned i = 0; i < shape.grid; ++i) {
    blockIdx.x = machine.block = machine.reverse ? shape.grid - 1 - i : i;
    poison(shim_shared_begin, shim_shared_end);
    poison(dynamic_memory, dynamic_end);
    if (!run_block(threadIdx)) return 1;
  }
  return 0;
}

template <class T> constexpr const char* dtype() {
  static_assert(std::is_arithmetic_v<T>, "kernels take numbers and pointers to numbers");
  if (std::is_same_v<T, bool>) return "bool";
  if (std::is_floating_point_v<T>) return sizeof(T) == 8 ? "float64" : "float32";
  switch (sizeof(T)) {
    case 1: return std::is_signed_v<T> ? "int8" : "uint8";
    case 2: return std::is_signed_v<T> ? "int16" : "uint16";
    case 4: return std::is_signed_v<T> ? "int32" : "uint32";
    default: return std::is_signed_v<T> ? "int64" : "uint64";
  }
}

template <class T> struct Parameter {
  static void append(char* text) { strcat(text, dtype<T>()); }
};
template <class T> struct Parameter<T*> {
  static void append(char* text) { strcat(strcat(text, dtype<T>()), "*"); }
};
template <class T> struct Parameter<const T*> {
  static void append(char* text) { strcat(strcat(strcat(text, "const "), dtype<T>()), "*"); }
};

// A kernel and the places of its arguments, as cuLaunchKernel takes them.
template <class... A> struct Call {
  void (*kernel)(A...);
  void** arguments;

  template <size_t... I> void spread(std::index_sequence<I...>) {
    kernel(*static_cast<A*>(arguments[I])...);
  }
  static void run(void* call) {
    static_cast<Call*>(call)->spread(std::index_sequence_for<A...>());
  }
};

template <class... A>
static int launch(void (*kernel)(A...), const Shape& shape, void** arguments, Outcome* outcome) {
  Call<A...> call = {kernel, arguments};
  return run_grid(shape, Call<A...>::run, &call, outcome);
}

// The parameters' types, each ended by a comma; `text` has 16 bytes for each.
template <class... A> static void signature(void (*)(A...), char* text) {
  text[0] = 0;
  ((Parameter<A>::append(text), strcat(text, ",")), ...);
}

}  // namespace shim

#define SHIM_EXPORT extern "C" __attribute__((visibility("default")))
#define SHIM_KERNEL(name)                                                                  \
  SHIM_EXPORT void shim_signature_##name(char* text) { shim::signature(shim_##name, text); } \
  SHIM_EXPORT int shim_launch_##name(const shim::Shape* shape, void** arguments,             \
                                     shim::Outcome* outcome) {                               \
    return shim::launch(shim_##name, *shape, arguments, outcome);                            \
  }

// -- undefined behaviour -------------------------------------------------------------------------

// What -fsanitize calls; its own library would print and go on.
namespace shim {

struct Location {
  const char* file;
  unsigned line, column;
};

static void undefined(const char* what, const Location* where) {
  if (machine.current < 0) abort();
  report("%s (%s:%u)", what, where->file, where->line);
  abandon();
}

}  // namespace shim

#define SHIM_UNDEFINED(name, what)                                              \
  extern "C" __attribute__((visibility("hidden"))) void __ubsan_handle_##name(  \
      const shim::Location* where) {                                            \
    shim::undefined(what, where);                                               \
  }
SHIM_UNDEFINED(add_overflow, "signed overflow of +")
SHIM_UNDEFINED(sub_overflow, "signed overflow of -")
SHIM_UNDEFINED(mul_overflow, "signed overflow of *")
SHIM_UNDEFINED(negate_overflow, "signed overflow of unary -")
SHIM_UNDEFINED(divrem_overflow, "integer division by zero")
SHIM_UNDEFINED(shift_out_of_bounds, "shift by a negative or too large amount")
SHIM_UNDEFINED(out_of_bounds, "index out of the bounds of an array")
SHIM_UNDEFINED(type_mismatch_v1, "access outside an object, misaligned or null")
SHIM_UNDEFINED(float_cast_overflow, "conversion of a float beyond the integer's range")
#undef SHIM_UNDEFINED
