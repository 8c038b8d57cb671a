// The product's instance of the span set, compiled once.
// SPDX-License-Identifier: MIT
#include "heap/span_set.hpp"

namespace cairn::heap {

template class BasicSpanBlockPool<SpanSetAtomics>;
template class BasicSpanSet<SpanSetAtomics>;

}  // namespace cairn::heap
