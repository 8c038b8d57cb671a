// Age policy: whether the next cycle should be young or full, by what either has freed for its time.
//
// Two ways of life are tried and compared by bytes the program was given for a nanosecond of the collector's
// time (not by what was freed: a program that grows gives nothing back either way):
//
//   full cycles alone    nothing is kept, nothing is watched
//   young ones between   pays where most of what is new dies. Where what is new lives on for a while and dies
//                        then, garbage is kept, and keeps more of its kind
//
// And in young cycles: whether what survives one is old for the next ones, or stays young until a full cycle.
// Where most of what they kept dies before that, it stays young; that is another way of life, so the first
// time it is found out young cycles get another trial at once.
//
// Each is tried shortly, then the better one is lived for a while, twice as long each time it wins again.
// While young cycles are the way, they follow each other as long as each frees, for its time, at least
// what cycles have freed on the whole, from one full cycle to the next. (The rule by which an animal leaves a
// patch of berries: Charnov 1976.)
//
// Pure. Floor: gc.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

namespace cairn::gc {

class AgePolicy {
public:
    constexpr AgePolicy() = default;

    // A cycle has ended. `allocated` bytes since the last one, of all there were `freed`, for `cost_ns` of
    // marking and of what watching costs the program.
    void note(bool is_young, std::uint64_t allocated, std::uint64_t freed, std::uint64_t cost_ns) {
        const double bytes = static_cast<double>(freed);
        const double ns = static_cast<double>(std::max<std::uint64_t>(cost_ns, 1));
        trial_.add(static_cast<double>(allocated), ns);
        period_.add(bytes, ns);
        double& usual = way(has_young_).freed_an_ns;
        if (is_young) {
            is_patch_good_ = bytes >= usual * ns;
        } else {
            usual = usual == 0 ? period_.yield() : (usual + period_.yield()) / 2;
            period_ = {};
            is_patch_good_ = true;
        }
        if (left_ != 0) --left_;
        // Young cycles are judged with the full one that pays for them.
        if (left_ == 0 && (!has_young_ || !is_young)) end_trial();
    }
    // A full cycle after young ones: of the bytes that those kept beyond what was old, so many were dead.
    void note_fate(std::uint64_t kept, std::uint64_t dead) {
        if (kept < least_kept) return;
        // To begin to is a risk: garbage that is old keeps garbage.
        const bool should_age = (ages_ ? 2 : 4) * dead < kept;
        if (should_age == ages_) return;
        ages_ = should_age;
        if (has_changed_) return;
        has_changed_ = true;
        way(true) = {};
        if (!has_young_) return;
        trial_ = {};
        period_ = {};
        is_trial_ = true;
        left_ = trial_cycles;
    }
    // What survives a young cycle should be old.
    [[nodiscard]] bool ages_survivors() const { return ages_; }
    // Marks should stay at the end of a cycle.
    [[nodiscard]] bool wants_young_cycles() const { return has_young_; }
    // Now, with marks there.
    [[nodiscard]] bool prefers_young() const { return has_young_ && is_patch_good_; }

private:
    struct Sum {
        double bytes = 0;
        double ns = 0;

        void add(double more_bytes, double more_ns) {
            bytes += more_bytes;
            ns += more_ns;
        }
        [[nodiscard]] double yield() const { return bytes / ns; }
    };
    static constexpr unsigned first_cycles = 3;
    static constexpr unsigned trial_cycles = 2;  // with young ones to the next full one
    static constexpr unsigned first_stay = 4;
    static constexpr unsigned longest_stay = 512;
    static constexpr std::uint64_t least_kept = 64 << 10;  // tells something

    // What is known of a way of life.
    struct Way {
        bool was_tried = false;
        double given_an_ns = 0;
        double freed_an_ns = 0;  // from one full cycle to the next
    };

    [[nodiscard]] Way& way(bool has_young) { return ways_[has_young ? 1 : 0]; }

    // What was tried is as good as it showed; the other way as good as it was when last tried.
    void end_trial() {
        Way& mine = way(has_young_);
        const Way& other = way(!has_young_);
        mine.was_tried = true;
        mine.given_an_ns = trial_.yield();
        trial_ = {};
        if (!other.was_tried || mine.given_an_ns < other.given_an_ns) {
            if (!is_trial_) stay_ = first_stay;
            is_trial_ = !other.was_tried;
            change(is_trial_ ? trial_cycles : stay_);
        } else if (is_trial_) {
            is_trial_ = false;
            left_ = stay_;
        } else {
            // After a while the other one gets another chance.
            stay_ = std::min(2 * stay_, longest_stay);
            is_trial_ = true;
            change(trial_cycles);
        }
    }
    void change(unsigned cycles) {
        period_ = {};
        has_young_ = !has_young_;
        is_patch_good_ = true;
        double& usual = way(has_young_).freed_an_ns;
        if (usual == 0) usual = way(!has_young_).freed_an_ns;
        left_ = cycles;
    }

    bool has_young_ = false;
    bool ages_ = true;
    bool has_changed_ = false;  // ages_, once at least
    bool is_trial_ = true;
    bool is_patch_good_ = true;
    unsigned left_ = first_cycles;  // cycles until the next decision
    unsigned stay_ = first_stay;
    Sum trial_;
    Sum period_;               // a full cycle and the young ones before it
    Way ways_[2];              // without and with young cycles
};

}  // namespace cairn::gc
