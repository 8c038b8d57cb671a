// The words of the remarks, as Go's compiler has them.
// SPDX-License-Identifier: MIT
#include "report.hpp"

#include "llvm/IR/DebugInfoMetadata.h"
#include "places.hpp"

namespace cairn::escape {

namespace {

using namespace llvm;
using ore::NV;

constexpr const char* pass_name = "escape";

std::string object_name(const Site& site) {
    if (site.type.empty()) return "object";
    return site.entry == Entry::array ? site.type + "[]" : site.type;
}

}  // namespace

void report_slot(OptimizationRemarkEmitter& emitter, const Site& site) {
    emitter.emit([&] {
        return OptimizationRemark(pass_name, "OnStack", user_location(site.call->getDebugLoc()),
                                  site.call->getParent())
               << NV("Object", object_name(site))
               << " does not escape: " << NV("Size", static_cast<unsigned long long>(site.bytes))
               << " bytes on the stack";
    });
}

void report_heap(OptimizationRemarkEmitter& emitter, const Site& site, const Leak& leak) {
    emitter.emit([&] {
        OptimizationRemarkMissed remark(pass_name, "OnHeap", user_location(site.call->getDebugLoc()),
                                        site.call->getParent());
        remark << NV("Object", object_name(site)) << " escapes to heap: " << NV("Reason", leak.reason);
        const std::string place = leak.at == nullptr ? std::string() : place_of(*leak.at);
        if (!place.empty()) remark << " at " << NV("Where", place);
        return remark;
    });
}

void report_parameter(OptimizationRemarkEmitter& emitter, const Argument& parameter, const Summary& summary) {
    emitter.emit([&] {
        const Function& function = *parameter.getParent();
        const DISubprogram* program = function.getSubprogram();
        OptimizationRemarkAnalysis remark(pass_name, summary.leaks ? "LeakingParam" : "KeptParam",
                                          DiagnosticLocation(program), &function.getEntryBlock());
        const std::string name = parameter.hasName() ? parameter.getName().str()
                                                     : "parameter " + std::to_string(parameter.getArgNo());
        if (!summary.leaks && summary.returned == 0) {
            remark << NV("Param", name) << " does not escape";
            return remark;
        }
        remark << "leaking param: " << NV("Param", name);
        if (!summary.leaks) {
            remark << " to result";
            return remark;
        }
        remark << ": " << NV("Reason", summary.leak.reason);
        const std::string place = place_of(*summary.leak.at);
        if (!place.empty()) remark << " at " << NV("Where", place);
        return remark;
    });
}

}  // namespace cairn::escape
