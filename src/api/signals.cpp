// Signal masks: a thread that blocks all signals still hears the one that stops it.
//
// Programs fill a mask and mean their own signals. A thread deaf to ours would make every cycle wait for it,
// so pthread_sigmask() and sigprocmask() are defined here and leave the stop signal open, as libc does with
// the signals it needs itself. They ask the kernel, not libc's functions: they are called before anything is
// loaded, and in signal handlers. Masks of handlers, and those a call such as ppoll() sets while it waits,
// end with these, and are not touched.
//
// A sanitizer has its own definitions and must know of every change: there nothing is defined.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#include <errno.h>
#include <signal.h>

#include "api/gc_runtime.hpp"
#include "os/threads.hpp"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace cairn::api {
namespace {

// 0, or the number of what is wrong.
int change_mask(int how, const sigset_t* set, sigset_t* before) {
    const int chosen = gc_runtime.is_started() ? gc_runtime.collector.world().signal() : 0;
    return os::change_signal_mask(how, set, before, chosen == 0 ? os::default_stop_signal() : chosen);
}

}  // namespace
}  // namespace cairn::api

extern "C" {

__attribute__((visibility("default"))) int pthread_sigmask(int how, const sigset_t* set,
                                                           sigset_t* before) noexcept {
    return cairn::api::change_mask(how, set, before);
}

__attribute__((visibility("default"))) int sigprocmask(int how, const sigset_t* set,
                                                       sigset_t* before) noexcept {
    const int error = cairn::api::change_mask(how, set, before);
    if (error == 0) return 0;
    errno = error;
    return -1;
}

}  // extern "C"

#endif
