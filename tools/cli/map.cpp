// stub
// SPDX-License-Identifier: MIT
#include "verb.hpp"
namespace cairn::cli { int map_verb(Arguments) { return 1; } }
