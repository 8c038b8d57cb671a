// Root jobs: the jobs of the root set (roots.hpp) as work in the pool, while the world is stopped.
//
// A marker that has followed all it knows of takes the next job. So no marker waits while another one reads
// static data, and what roots lead to is followed at once instead of being kept.
//
// Floor: gc. offer() by the leader of a cycle; visit() by any marker, each job once.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "gc/roots.hpp"
#include "gc/work_pool.hpp"

namespace cairn::gc {

class RootJobs {
public:
    constexpr RootJobs() = default;

    void initialize(const RootSet& roots) { roots_ = &roots; }

    // All roots; with a tracker, of the parts those alone that were written since they were armed, which are
    // armed again if so told. Needs: the world stopped; RootSet::prepare_jobs(); none of the last jobs left.
    void offer(WorkPool& pool, os::DirtyTracker* written, bool is_rearmed) {
        written_ = written;
        is_rearmed_ = is_rearmed;
        pool.offer_jobs(roots_->job_count());
    }
    void visit(std::size_t job, RootSet::Visit visit, void* context) const {
        const bool is_all = written_ == nullptr || job < roots_->cell_job_count();
        if (is_all) roots_->visit_job(job, Reading::while_stopped, nullptr, visit, context);
        else roots_->visit_changed(job, Reading::while_stopped, written_, is_rearmed_, visit, context);
    }

private:
    const RootSet* roots_ = nullptr;       // [fixed]
    os::DirtyTracker* written_ = nullptr;  // [stopped] by offer(); the pool publishes both
    bool is_rearmed_ = false;              // [stopped]
};

}  // namespace cairn::gc
