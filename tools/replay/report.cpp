// The table of a replay, and its JSON.
// SPDX-License-Identifier: MIT
#include "replay/report.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace cairn::replay {

namespace {

using nlohmann::ordered_json;

double seconds(std::uint64_t ns) {
    return static_cast<double>(ns) / 1e9;
}

std::string mib(std::uint64_t bytes) {
    return fmt::format("{:.2f}", static_cast<double>(bytes) / (1 << 20));
}

std::string grouped(std::uint64_t number) {
    std::string digits = std::to_string(number);
    for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
    return digits;
}

std::uint64_t played(const Result& result) {
    // acquire: the last complete sample
    const std::uint32_t moments = result.outcome().moments.load(std::memory_order_acquire);
    return moments == 0 ? 0 : result.outcome().moment[moments - 1].event;
}

std::uint64_t spent_ns(const Result& result) {
    // acquire: the last complete sample
    const std::uint32_t moments = result.outcome().moments.load(std::memory_order_acquire);
    return moments == 0 ? 0 : result.outcome().moment[moments - 1].ns;
}

double ns_per_event(const Result& result) {
    return played(result) == 0 ? 0
                               : static_cast<double>(spent_ns(result)) / static_cast<double>(played(result));
}

// ns of the system's malloc, when it was among the policies and finished.
std::uint64_t system_ns(const Comparison& comparison) {
    for (const Result& result : comparison.results)
        if (result.policy.kind == Kind::system && result.is_complete()) return result.outcome().ns;
    return 0;
}

std::string heading(const Comparison& comparison) {
    const Plan& plan = *comparison.plan;
    const PlanHead& head = plan.head();
    std::string command;
    for (const std::string& word : plan.command()) command += (command.empty() ? "" : " ") + word;
    std::string text = fmt::format("{}: {}\n", comparison.trace, command.substr(0, 90));
    text +=
        fmt::format("  {} events of {} thread{} ({} takes, {} resizes, {} gives), recorded in {:.2f} s\n",
                    grouped(head.events), plan.threads(), plan.threads() == 1 ? "" : "s", grouped(head.takes),
                    grouped(head.resizes), grouped(head.gives), seconds(plan.recorded_ns()));
    text += fmt::format("  most alive: {} MiB in {} objects; asked for in all: {} MiB\n",
                        mib(head.peak_live_bytes), grouped(head.peak_live_objects), mib(head.taken_bytes));
    const auto note = [&](std::uint64_t count, const char* what) {
        if (count > 0) text += fmt::format("  not played: {} {}\n", grouped(count), what);
    };
    note(head.unknown_gives, "frees of objects from before the recording");
    note(head.unknown_resizes, "reallocs of objects that are not there");
    note(head.repeated_gives, "frees of objects that were never allocated, or freed before");
    note(head.failures, "requests that got no memory");
    if (!plan.warning().empty()) text += fmt::format("  {}\n", plan.warning());
    return text;
}

std::string row(const Comparison& comparison, const Result& result) {
    const Outcome& outcome = result.outcome();
    const std::uint64_t reference = system_ns(comparison);
    const bool is_complete = result.is_complete();
    std::string text = fmt::format("{:<15}{:>9.3f}{:>9.1f}", result.policy.name.substr(0, 15),
                                   seconds(spent_ns(result)), ns_per_event(result));
    text += reference == 0 || !is_complete
                ? fmt::format("{:>9}", "-")
                : fmt::format("{:>9.2f}", static_cast<double>(outcome.ns) / static_cast<double>(reference));
    text += fmt::format("{:>11}", mib(outcome.peak_footprint_bytes));
    text +=
        is_complete ? fmt::format("{:>9.3f}", fragmentation(comparison, result)) : fmt::format("{:>9}", "-");
    text += fmt::format("{:>9.1f}", 100 * internal_waste(result));
    if (!outcome.is_textbook || result.policy.name == "bump")
        text += fmt::format("{:>12}{:>11}{:>12}{:>12}", "-", "-", "-", "-");
    else
        text += fmt::format("{:>12.2f}{:>11}{:>12}{:>12}", visited_per_operation(result),
                            grouped(outcome.most_visited), grouped(outcome.splits), grouped(outcome.merges));
    const std::string ending = result.ending(*comparison.plan);
    return text + (ending == "complete" ? "\n" : "  " + ending + "\n");
}

ordered_json to_json(const Plan& plan) {
    const PlanHead& head = plan.head();
    return {{"command", plan.command()},
            {"threads", plan.threads()},
            {"recorded_ns", plan.recorded_ns()},
            {"warning", plan.warning()},
            {"events", head.events},
            {"takes", head.takes},
            {"resizes", head.resizes},
            {"gives", head.gives},
            {"taken_bytes", head.taken_bytes},
            {"largest_bytes", head.largest_bytes},
            {"peak_live_bytes", head.peak_live_bytes},
            {"peak_live_objects", head.peak_live_objects},
            {"peak_event", head.peak_event},
            {"not_played",
             {{"unknown_frees", head.unknown_gives},
              {"repeated_frees", head.repeated_gives},
              {"unknown_reallocs", head.unknown_resizes},
              {"failed_requests", head.failures}}}};
}

ordered_json over_time(const Outcome& outcome) {
    ordered_json moments = ordered_json::array();
    // acquire: the last complete sample
    const std::uint32_t count = outcome.moments.load(std::memory_order_acquire);
    for (std::uint32_t i = 0; i < count; ++i) {
        const Moment& m = outcome.moment[i];
        moments.push_back({m.event, m.ns, m.live_bytes, m.footprint_bytes, m.visited});
    }
    ordered_json frames = ordered_json::array();
    for (std::uint32_t i = 0; i < outcome.frames; ++i) {
        const Frame& f = outcome.frame[i];
        frames.push_back({f.event, f.live_bytes, f.live_objects, f.used_bytes, f.footprint_bytes});
    }
    return {{"moment_columns", {"event", "ns", "live_bytes", "footprint_bytes", "visited"}},
            {"moments", std::move(moments)},
            {"frame_columns", {"event", "live_bytes", "live_objects", "used_bytes", "footprint_bytes"}},
            {"frames", std::move(frames)}};
}

ordered_json to_json(const Comparison& comparison, const Result& result) {
    const Outcome& outcome = result.outcome();
    ordered_json one{{"policy", result.policy.name},
                     {"malloc_of", static_cast<const char*>(outcome.provider)},
                     {"ending", result.ending(*comparison.plan)},
                     {"is_complete", result.is_complete()},
                     {"played_events", played(result)},
                     {"runs", result.runs},
                     {"ns", spent_ns(result)},
                     {"cpu_ns", outcome.cpu_ns},
                     {"ns_per_event", ns_per_event(result)},
                     {"peak_footprint_bytes", outcome.peak_footprint_bytes},
                     {"footprint_over_live", fragmentation(comparison, result)},
                     {"internal_waste", internal_waste(result)}};
    if (outcome.is_textbook) {
        one["extent_bytes"] = outcome.extent_bytes;
        one["visited"] = outcome.visited;
        one["visited_per_operation"] = visited_per_operation(result);
        one["most_visited"] = outcome.most_visited;
        one["splits"] = outcome.splits;
        one["merges"] = outcome.merges;
        one["growths"] = outcome.growths;
    }
    one.update(over_time(outcome));
    return one;
}

}  // namespace

std::size_t fullest_frame_index(const Outcome& outcome) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < outcome.frames; ++i)
        if (outcome.frame[i].live_bytes > outcome.frame[best].live_bytes) best = i;
    return best;
}

const Frame* fullest_frame(const Outcome& outcome) {
    return outcome.frames == 0 ? nullptr : &outcome.frame[fullest_frame_index(outcome)];
}

double fragmentation(const Comparison& comparison, const Result& result) {
    const std::uint64_t live = comparison.plan->head().peak_live_bytes;
    const std::uint64_t footprint = result.outcome().peak_footprint_bytes;
    return live == 0 ? 0 : static_cast<double>(footprint) / static_cast<double>(live);
}

double internal_waste(const Result& result) {
    const Frame* frame = fullest_frame(result.outcome());
    if (frame == nullptr || frame->used_bytes <= frame->live_bytes) return 0;
    return 1 - static_cast<double>(frame->live_bytes) / static_cast<double>(frame->used_bytes);
}

double visited_per_operation(const Result& result) {
    const Outcome& outcome = result.outcome();
    return outcome.operations == 0
               ? 0
               : static_cast<double>(outcome.visited) / static_cast<double>(outcome.operations);
}

std::string table(const Comparison& comparison) {
    std::string text = heading(comparison);
    text += fmt::format("\n{:<15}{:>9}{:>9}{:>9}{:>11}{:>9}{:>9}{:>12}{:>11}{:>12}{:>12}\n", "policy",
                        "seconds", "ns/event", "/ system", "peak MiB", "/ live", "waste %", "visited/op",
                        "most", "splits", "merges");
    for (const Result& result : comparison.results) text += row(comparison, result);
    text += fmt::format("\nPlaying alone, without any allocator: {:.3f} s, which is in all of these.\n",
                        seconds(comparison.player_ns));
    return text;
}

ordered_json to_json(const Comparison& comparison) {
    ordered_json results = ordered_json::array();
    for (const Result& result : comparison.results) results.push_back(to_json(comparison, result));
    return {{"trace", comparison.trace},
            {"program", to_json(*comparison.plan)},
            {"region_bytes", comparison.limits.region_bytes},
            {"player_ns", comparison.player_ns},
            {"policies", std::move(results)}};
}

}  // namespace cairn::replay
