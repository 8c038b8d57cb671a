// Where the program's C++ functions are called from: what a finalizer or destructor throws is reported and
// ends here.
//
// The library needs no C++ library: what catching takes is found by weak symbols, which every program that
// throws has. In a program without them there is nothing to catch, and the unwinder passes by a frame whose
// personality is null.
//
// Floor: api. Compiled with exceptions and RTTI, alone in the library.
// SPDX-License-Identifier: MIT
#include <cxxabi.h>

#include <exception>

#include "api/gc_runtime.hpp"
#include "base/check.hpp"

__asm__(
    ".weak __gxx_personality_v0\n.weak __cxa_begin_catch\n.weak __cxa_end_catch\n.weak __cxa_rethrow\n"
    ".weak _Unwind_Resume\n.weak _ZTISt9exception\n.weak _ZTIN10__cxxabiv115__forced_unwindE\n"
    ".weak _ZSt9terminatev");

namespace cairn::api {

namespace {

void call(const gc::FinalizerCall& call) {
    if (call.finalizer != nullptr) call.finalizer(call.object, call.argument);
    else call.cleanup(call.argument);
}

void report(const gc::FinalizerCall& call, std::string_view what) {
    base::Message line;
    line << "exception in a " << (call.finalizer != nullptr ? "finalizer" : "cleanup");
    if (call.object != nullptr) {
        line << " of ";
        line.hex(reinterpret_cast<std::uintptr_t>(call.object));
    }
    if (!what.empty()) line << ": " << what;
    base::report(line.view());
}

}  // namespace

void call_finalizer(const gc::FinalizerCall& due) {
    try {
        call(due);
    } catch (abi::__forced_unwind&) {
        throw;  // pthread_exit() or a cancellation: may not be stopped
    } catch (const std::exception& exception) {
        report(due, exception.what());
    } catch (...) {
        report(due, {});
    }
}

}  // namespace cairn::api
