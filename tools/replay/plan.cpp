// Loading a plan: object numbers become slots, impossible steps are counted and dropped.
// SPDX-License-Identifier: MIT
#include "replay/plan.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "trace/reader.hpp"

namespace cairn::replay {

namespace {

// Slots of dead objects are used again, the latest first, as their cache lines are warm.
class Slots {
public:
    static constexpr std::uint32_t none = ~std::uint32_t{0};

    std::uint32_t take(std::uint64_t id, std::uint64_t bytes) {
        std::uint32_t slot = static_cast<std::uint32_t>(bytes_.size());
        if (free_.empty()) bytes_.push_back(bytes);
        else {
            slot = free_.back();
            free_.pop_back();
            bytes_[slot] = bytes;
        }
        const std::size_t wanted = std::max<std::size_t>(id + 1, slot_of_.size() * 3 / 2);
        if (slot_of_.size() <= id) slot_of_.resize(wanted, none);
        slot_of_[id] = slot;
        return slot;
    }
    [[nodiscard]] std::uint32_t find(std::uint64_t id) const {
        return id < slot_of_.size() ? slot_of_[id] : none;
    }
    void give(std::uint64_t id) {
        free_.push_back(slot_of_[id]);
        slot_of_[id] = none;
    }
    std::uint64_t& bytes(std::uint32_t slot) { return bytes_[slot]; }
    [[nodiscard]] std::uint64_t count() const { return bytes_.size(); }
    [[nodiscard]] std::uint64_t live() const { return bytes_.size() - free_.size(); }

private:
    std::vector<std::uint32_t> slot_of_{none};  // by object number
    std::vector<std::uint64_t> bytes_;          // by slot
    std::vector<std::uint32_t> free_;
};

// Writes the plan as events come.
class Planner {
public:
    Planner() : memory_(SharedMemory::create(sizeof(PlanHead) + 4096 * sizeof(PlannedEvent))) {}

    void add(const trace::Event& event) {
        if (trace::makes_object(event.op)) take(event);
        else if (event.op == trace::Op::reallocate) resize(event);
        else if (event.op == trace::Op::release) give(event);
        else if (event.op == trace::Op::fail) ++head_.failures;
    }

    SharedMemory finish() {
        head_.slots = slots_.count();
        std::memcpy(memory_.data(), &head_, sizeof head_);
        return std::move(memory_);
    }
    [[nodiscard]] bool is_empty() const { return head_.events == 0; }

private:
    void take(const trace::Event& event) {
        const std::uint32_t slot = slots_.take(event.id, event.size);
        const int shift = event.align == 0 ? 0 : std::countr_zero(event.align);
        append({slot, event.op == trace::Op::allocate_zero ? Step::take_zeroed : Step::take,
                static_cast<std::uint8_t>(shift), 0, event.size});
        ++head_.takes;
        grow(event.size);
    }

    void resize(const trace::Event& event) {
        const std::uint32_t slot = slots_.find(event.id);
        if (slot == Slots::none) {
            ++head_.unknown_resizes;
            return;
        }
        append({slot, Step::resize, 0, 0, event.size});
        ++head_.resizes;
        live_bytes_ -= slots_.bytes(slot);
        slots_.bytes(slot) = event.size;
        grow(event.size);
    }

    void give(const trace::Event& event) {
        const std::uint32_t slot = slots_.find(event.id);
        if (slot == Slots::none) {
            ++(event.id == 0 ? head_.unknown_gives : head_.repeated_gives);
            return;
        }
        append({slot, Step::give, 0, 0, 0});
        ++head_.gives;
        live_bytes_ -= slots_.bytes(slot);
        slots_.give(event.id);
    }

    void grow(std::uint64_t bytes) {
        live_bytes_ += bytes;
        head_.taken_bytes += bytes;
        head_.largest_bytes = std::max(head_.largest_bytes, bytes);
        head_.peak_live_objects = std::max(head_.peak_live_objects, slots_.live());
        if (live_bytes_ <= head_.peak_live_bytes) return;
        head_.peak_live_bytes = live_bytes_;
        head_.peak_event = head_.events - 1;
    }

    void append(const PlannedEvent& event) {
        const std::size_t at = sizeof(PlanHead) + head_.events * sizeof event;
        if (at + sizeof event > memory_.bytes()) memory_.grow(memory_.bytes() * 2);
        std::memcpy(static_cast<char*>(memory_.data()) + at, &event, sizeof event);
        ++head_.events;
    }

    SharedMemory memory_;
    PlanHead head_{};
    Slots slots_;
    std::uint64_t live_bytes_ = 0;
};

}  // namespace

bool Plan::load(const std::string& path, const Progress& progress) {
    trace::Reader reader;
    if (!reader.open(path)) {
        error_ = reader.error();
        return false;
    }
    Planner planner;
    trace::Event event;
    while (reader.next(event)) {
        planner.add(event);
        recorded_ns_ = event.time_ns;
        threads_ = std::max(threads_, event.thread + 1);
        if (reader.events_read() % (1 << 18) == 0)
            progress(static_cast<double>(reader.bytes_read()) / static_cast<double>(reader.file_bytes()));
    }
    if (planner.is_empty()) {
        error_ = "has no allocations to replay";
        if (reader.ending() != trace::Ending::complete) error_ += ": " + reader.error();
        return false;
    }
    if (reader.ending() != trace::Ending::complete) warning_ = reader.error();
    command_ = reader.header().command;
    memory_ = planner.finish();
    return true;
}

}  // namespace cairn::replay
